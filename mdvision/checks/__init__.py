"""Checks before training, and quick trials: data, model, run, memory, a miniature run."""
