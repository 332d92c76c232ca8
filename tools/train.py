"""Train a classifier or a detector."""

from _start import start

start('train')
