"""Train several variants with the same seeds and report the statistically distinguishable differences."""

from _start import start

start('compare')
