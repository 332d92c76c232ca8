"""Convert a checkpoint of the authors, or of torchvision, into ours."""

from _start import start

start('convert')
