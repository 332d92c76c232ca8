"""Train several variants with the same seeds, and say which differences can be told from chance."""

from _start import start

start('compare')
