"""Train several variants with the same seeds and report which differences are statistically distinguishable."""

from _start import start

start('compare')
