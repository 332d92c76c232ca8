"""Convert a checkpoint of the authors, or of torchvision, to mdvision's format."""

from _start import start

start('convert_weights')
