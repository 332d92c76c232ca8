"""Overlaps of boxes, with the signature of mmcv's compiled operator."""

import torch
from torch import Tensor

__all__ = ['bbox_overlaps']


def bbox_overlaps(
    bboxes1: Tensor, bboxes2: Tensor, ious: Tensor, mode: int, aligned: bool, offset: int
) -> None:
    """Write the overlaps to ``ious``. Unlike mmcv's, their gradients reach the boxes.

    Two boxes without area have the overlap 0 / 0, as in mmcv.

    Args:
        bboxes1: (M, 4).
        bboxes2: (N, 4).
        ious: output, (M, N), or (M,) if ``aligned``.
        mode: 0: intersection over union; 1: intersection over the area of the first box.
        aligned: compare boxes with equal indices instead of all pairs.
        offset: 0 or 1; widths are ``x2 - x1 + offset``.
    """
    first, second = (
        boxes if boxes.dtype in (torch.float32, torch.float64) else boxes.float()
        for boxes in (bboxes1, bboxes2)
    )
    if not aligned:
        first = first[:, None]
    top_left = torch.maximum(first[..., :2], second[..., :2])
    bottom_right = torch.minimum(first[..., 2:], second[..., 2:])
    intersection = (bottom_right - top_left + offset).clamp(min=0).prod(dim=-1)
    area, other = ((boxes[..., 2:] - boxes[..., :2] + offset).prod(dim=-1) for boxes in (first, second))
    ious.copy_(intersection / (area if mode else area + other - intersection))
