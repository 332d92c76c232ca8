"""Whether less or more of a metric is better."""

__all__ = ['is_lower_better']

# Parts of names of metrics of which less is better; all others are taken to be better when higher.
_LOWER = ('loss', 'error', 'mae', 'mse', 'rmse', 'perplexity', 'nll', 'ece', 'miss_rate')


def is_lower_better(metric: str) -> bool:
    """By its name."""
    parts = metric.lower().replace('/', '_').split('_')
    return any(word in parts or word == metric.lower().rpartition('/')[2] for word in _LOWER)
