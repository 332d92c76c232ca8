"""What runs around a training step: runner, loops, schedulers, log processor and hooks."""
