"""What can be known before a training, or tried in a minute: data, model, run, memory, a miniature run."""
