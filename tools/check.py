"""Check a training run before it starts: config, data, model, run, and a few real steps."""

from _start import start

start('check')
