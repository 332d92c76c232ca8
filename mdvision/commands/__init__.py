"""The commands, one file per command: its arguments, and what it does, in order.

``arguments`` and ``switches`` are what several have in common on the command line, ``start`` is what train,
test and check begin with, ``report`` what train and test end with, ``faults`` how an error of any command
reaches the user.
"""
