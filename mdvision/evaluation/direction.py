"""Whether more or less of a metric is better, by its name."""

import re

__all__ = ['is_lower_better']

# Parts of the names of metrics, in small letters.
_LOWER = ('loss', 'error', 'err', 'mae', 'mse', 'rmse', 'perplexity', 'nll', 'ece', 'miss', 'eer', 'fid')
_HIGHER = ('acc', 'aacc', 'macc', 'accuracy', 'top', 'map', 'ap', 'ar', 'recall', 'precision', 'f1', 'iou',
           'miou', 'dice', 'mdice', 'auc', 'psnr', 'ssim')  # fmt: skip


def is_lower_better(metric: str) -> bool | None:
    """True for losses and errors, False for accuracies; None where the name does not tell.

    Args:
        metric: such as ``val/loss_cls``, ``coco/bbox_mAP_50`` or ``accuracy/top1``.
    """
    words = re.split(r'[^a-z0-9]+', metric.lower())
    words += [word.rstrip('0123456789') for word in words]  # top1, map50
    if any(word in words for word in _LOWER):
        return True
    return False if any(word in words for word in _HIGHER) else None
