"""What a model costs: parameters, multiply-adds, activations and the memory of a training step."""
