"""The learning test of detectors: eight drawn images, until they are learnt; fails if they are not."""

from _start import start

start('overfit')
