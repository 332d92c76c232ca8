"""Determine from a metric's name whether higher or lower is better."""

import re

__all__ = ['is_lower_better']

# Parts of metric names, in lower case.
_LOWER = ('loss', 'error', 'err', 'mae', 'mse', 'rmse', 'perplexity', 'nll', 'ece', 'miss', 'eer', 'fid')
_HIGHER = ('acc', 'aacc', 'macc', 'accuracy', 'top', 'map', 'ap', 'ar', 'recall', 'precision', 'f1', 'iou',
           'miou', 'dice', 'mdice', 'auc', 'psnr', 'ssim')  # fmt: skip


def is_lower_better(metric: str) -> bool | None:
    """Return True for losses and errors, False for accuracies, None if the name does not tell.

    Args:
        metric: such as ``val/loss_cls``, ``coco/bbox_mAP_50`` or ``accuracy/top1``.
    """
    words = re.split(r'[^a-z0-9]+', metric.lower())
    words += [word.rstrip('0123456789') for word in words]  # top1, map50
    if any(word in words for word in _LOWER):
        return True
    return False if any(word in words for word in _HIGHER) else None
