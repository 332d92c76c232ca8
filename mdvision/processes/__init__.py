"""Processes: several of one training, those that are lost, and the signals that tell one to stop."""
