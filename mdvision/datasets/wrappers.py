"""Find the data sets within wrappers such as RepeatDataset and ConcatDataset."""

__all__ = ['unwrapped']


def unwrapped(dataset: object) -> list:
    """Return the innermost data sets of a built one: itself if it wraps none."""
    inner = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    return [part for one in inner if one is not None for part in unwrapped(one)] or [dataset]
