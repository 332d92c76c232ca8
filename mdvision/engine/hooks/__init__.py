"""Hooks of MMEngine: checkpoints, logs, interruption, divergence and the others."""
