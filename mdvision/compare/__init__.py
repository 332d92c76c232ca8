"""Compare variants over seeds: train them and report which differences are distinguishable.

* ``plan`` and ``record``: which runs there are, and with what settings
* ``run``: training them, and resuming interrupted ones
* ``budget`` and ``probe``: how many epochs fit into a given time
* ``values`` and ``statistics``: which numbers count, and what follows from them
* ``costs``: parameters, multiply-adds, speed, memory
* ``table`` and ``plot``: presentation
"""
