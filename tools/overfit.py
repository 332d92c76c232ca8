"""Overfitting sanity check: train detectors on eight synthetic images until they are memorized."""

from _start import start

start('overfit')
