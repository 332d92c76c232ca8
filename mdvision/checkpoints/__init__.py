"""Checkpoint files: read without executing anything, found whole or damaged, matched to a model."""
