"""Look at a training before it is started: config, data, model, run, and a few real steps."""

from _start import start

start('check')
