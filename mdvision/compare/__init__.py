"""Comparing variants over seeds: training them, and saying what can be told from the numbers.

* ``plan`` and ``record``: what runs there are, and with what settings
* ``run``: training them, and continuing what was interrupted
* ``budget`` and ``probe``: how many epochs fit into a given time
* ``values`` and ``statistics``: which numbers count, and what follows from them
* ``costs``: parameters, multiply-adds, speed, memory
* ``table`` and ``plot``: how it is shown
"""
