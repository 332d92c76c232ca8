"""Count the parameters, multiply-adds (GFLOPs/MACs), activations and training memory of a model."""

from _start import start

start('complexity')
