"""Checkpoint files: read without executing code, checked for damage, matched to a model."""
