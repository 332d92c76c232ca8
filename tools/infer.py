"""Predict with a trained model on images, folders and videos."""

from _start import start

start('infer')
