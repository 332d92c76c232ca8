"""Evaluate a checkpoint."""

from _start import start

start('test')
