"""The part of mmcv's compiled extension ``mmcv._ext`` that mmdet's models need, on PyTorch and torchvision.

Names, argument names and in-place outputs are those used by ``mmcv/ops/*.py``; results agree with the
compiled operators. Every function runs on any device that torchvision supports. float32 and float64 are
computed in their own precision; any other dtype (float16, bfloat16) is computed in float32 and the result
rounded once.

Shapes: N batch, C channels, H x W feature map, K boxes or RoIs, PH x PW pooled size. Boxes are ``(x1, y1, x2,
y2)`` in pixels, RoIs ``(batch index, x1, y1, x2, y2)``.
"""

from collections.abc import Callable

import numpy as np
import torch
import torchvision
from torch import Tensor
from torch.nn import functional as F

from mdvision.ops import MissingOpError
from mdvision.ops.box_overlaps import bbox_overlaps
from mdvision.ops.deform_attention import ms_deform_attn_backward, ms_deform_attn_forward
from mdvision.ops.deform_conv import (
    deform_conv_backward_input,
    deform_conv_backward_parameters,
    deform_conv_forward,
    modulated_deform_conv_backward,
    modulated_deform_conv_forward,
)
from mdvision.ops.numerics import gradients, wide

__all__ = [
    'bbox_overlaps',
    'deform_conv_backward_input',
    'deform_conv_backward_parameters',
    'deform_conv_forward',
    'get_compiler_version',
    'get_compiling_cuda_version',
    'modulated_deform_conv_backward',
    'modulated_deform_conv_forward',
    'ms_deform_attn_backward',
    'ms_deform_attn_forward',
    'nms',
    'roi_align_backward',
    'roi_align_forward',
    'roi_pool_backward',
    'roi_pool_forward',
    'sigmoid_focal_loss_backward',
    'sigmoid_focal_loss_forward',
    'softnms',
]


def __getattr__(name: str) -> Callable:
    """Return a stub for any other operator: mmcv checks for it on import, but calling it raises."""
    if name.startswith('_'):
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')

    def missing(*args, **kwargs):
        raise MissingOpError.of(name)

    missing.__name__ = name
    return missing


def get_compiler_version() -> str:
    """Stand in for the version of mmcv's C++ compiler."""
    return 'none (torchvision backend)'


def get_compiling_cuda_version() -> str:
    """Stand in for the CUDA version that mmcv was compiled with."""
    return 'none (torchvision backend)'


# ---------------------------------------------------------------------------------------------- suppression


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Return the indices of the kept boxes, best score first; the earlier of two equal scores wins.

    Args:
        boxes: (K, 4).
        scores: (K,).
        iou_threshold: a box is dropped if its IoU with a kept one is greater than this.
        offset: 0 or 1; widths are ``x2 - x1 + offset``.
    """
    boxes, scores = wide(boxes), wide(scores)
    if offset:
        boxes = torch.cat([boxes[:, :2], boxes[:, 2:] + offset], dim=1)
    if boxes.dtype == torch.float32:
        # mmcv compares two float32 numbers. An IoU of exactly 3/5 is 0.60000002 in float32, which would be
        # greater than the double 0.6.
        iou_threshold = float(np.float32(iou_threshold))
    return torchvision.ops.nms(boxes, scores.to(boxes.dtype), iou_threshold)


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Soft-NMS: lower the score of boxes that overlap a better one, instead of dropping them.

    Args:
        boxes: (K, 4).
        scores: (K,).
        dets: output, (K, 5); its first rows become ``(x1, y1, x2, y2, decayed score)`` of the kept boxes.
        iou_threshold: the overlap above which methods 0 and 1 act.
        sigma: the width of the Gaussian of method 2.
        min_score: boxes whose decayed score is below this are dropped; the best box always stays.
        method: 0 naive (score times 0), 1 linear (1 - IoU), 2 Gaussian (exp(-IoU^2 / sigma)).
        offset: 0 or 1; widths are ``x2 - x1 + offset``.

    Returns:
        Indices of the kept boxes into ``boxes``, in the order of ``dets``.
    """
    boxes, scores = wide(boxes), wide(scores).clone()
    areas = (boxes[:, 2:] - boxes[:, :2] + offset).prod(dim=1)
    rest = torch.arange(len(boxes), device=boxes.device)
    kept = []
    while len(rest):
        best = int(scores[rest].argmax())
        top = int(rest[best])
        kept.append(top)
        # Here and below, repeat the moves that mmcv makes in its arrays, because they determine the order of
        # equal scores: the first candidate takes the place of the best one,
        rest[best] = rest[0].clone()
        rest = rest[1:]
        size = torch.minimum(boxes[rest, 2:], boxes[top, 2:]) - torch.maximum(boxes[rest, :2], boxes[top, :2])
        inter = (size + offset).clamp(min=0).prod(dim=1)
        # two boxes without area have the IoU 0 / 0
        overlap = (inter / (areas[rest] + areas[top] - inter)).nan_to_num(0)
        if method == 2:
            scores[rest] *= torch.exp(-(overlap**2) / sigma)
        else:
            decayed = 1 - overlap if method == 1 else torch.zeros_like(overlap)
            scores[rest] *= torch.where(overlap >= iou_threshold, decayed, 1)
        alive = scores[rest] >= min_score
        # and candidates from the end fill the places of dropped ones.
        count = int(alive.sum())
        head, tail = rest[:count].clone(), rest[count:]
        head[~alive[:count]] = tail[alive[count:]].flip(0)
        rest = head
    kept = torch.tensor(kept, dtype=torch.long, device=boxes.device)
    dets[: len(kept), :4] = boxes[kept].to(dets)
    dets[: len(kept), 4] = scores[kept].to(dets)
    return kept


# ---------------------------------------------------------------------------------------------- pooling


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Write the mean of bilinear samples in each bin of each RoI.

    Args:
        input: (N, C, H, W).
        rois: (K, 5), in pixels of the image.
        output: output, (K, C, aligned_height, aligned_width).
        argmax_y, argmax_x: unused, for max pooling.
        spatial_scale: feature-map pixels per image pixel.
        sampling_ratio: samples along each side of a bin; 0: one per feature-map pixel.
        pool_mode: 0 max, 1 mean.
        aligned: shift by half a pixel, so that pixel centers lie at .5.

    Raises:
        MissingOpError: ``pool_mode`` is 0.
    """
    if pool_mode == 0:
        raise MissingOpError.of("roi_align with pool_mode='max'")
    pool = _roi_align(rois, aligned_height, aligned_width, spatial_scale, sampling_ratio, aligned)
    output.copy_(pool(wide(input)))


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Add the gradient of :func:`roi_align_forward` to ``grad_input`` (N, C, H, W)."""
    if pool_mode == 0:
        raise MissingOpError.of("roi_align with pool_mode='max'")
    pool = _roi_align(rois, aligned_height, aligned_width, spatial_scale, sampling_ratio, aligned)
    # linear in its input, so the gradient is the same at any input
    grad_input += gradients(pool, (torch.zeros_like(grad_input),), grad_output)[0]


def _roi_align(rois: Tensor, *options) -> Callable[[Tensor], Tensor]:
    """Return ``features -> output``.

    Call the operator itself: if deterministic algorithms are requested, torchvision's function around it
    switches on a GPU to a Python implementation, which needs a compiler and samples the whole feature map for
    each bin.
    """
    height, width, scale, ratio, aligned = options
    return lambda features: torch.ops.torchvision.roi_align(
        features, wide(rois).to(features), scale, height, width, ratio, aligned
    )


def roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Write the maximum in each bin of each RoI.

    torchvision rounds RoIs to whole feature-map pixels first, mmcv does not. The bins are therefore laid out
    here as in mmcv, and each is passed to torchvision as an RoI of whole pixels with a single bin.

    Args:
        input: (N, C, H, W).
        rois: (K, 5), in pixels of the image; ``x2`` and ``y2`` belong to the RoI.
        output: output, (K, C, pooled_height, pooled_width); 0 for a bin outside the feature map.
        argmax: output, like ``output``; the position of the maximum, ``y * W + x``, or -1 for a bin outside.
        spatial_scale: feature-map pixels per image pixel.
    """
    features = wide(input)
    rois = wide(rois).to(features)
    height, width = features.shape[-2:]
    left, right = _bin_edges(rois[:, 1], rois[:, 3], spatial_scale, pooled_width, width)  # (K, PW)
    top, bottom = _bin_edges(rois[:, 2], rois[:, 4], spatial_scale, pooled_height, height)  # (K, PH)
    bins = torch.stack(
        torch.broadcast_tensors(
            rois[:, 0, None, None],
            left[:, None, :],
            top[:, :, None],
            right[:, None, :] - 1,  # in torchvision, the last column and row belong to the RoI
            bottom[:, :, None] - 1,
        ),
        dim=-1,
    )  # (K, PH, PW, 5)
    empty = (bins[..., 3] < bins[..., 1]) | (bins[..., 4] < bins[..., 2])
    maximum, index = torch.ops.torchvision.roi_pool(features, bins.reshape(-1, 5), 1.0, 1, 1)
    by_bin = (*empty.shape, features.shape[1])  # (K, PH, PW, C)
    empty = empty[..., None]
    output.copy_(maximum.reshape(by_bin).masked_fill(empty, 0).permute(0, 3, 1, 2))
    argmax.copy_(index.reshape(by_bin).masked_fill(empty, -1).permute(0, 3, 1, 2))


def _bin_edges(start: Tensor, end: Tensor, scale: float, bins: int, limit: int) -> tuple[Tensor, Tensor]:
    """Return the first pixel of each bin along one side and the one after its last, (K, bins).

    If the two are equal, the bin is empty.
    """
    start = start * scale
    step = ((end + 1) * scale - start) / bins
    index = torch.arange(bins, device=start.device)
    first = (index * step[:, None] + start[:, None]).floor().clamp(0, limit)
    last = ((index + 1) * step[:, None] + start[:, None]).ceil().clamp(0, limit)
    # an RoI without extent has no bins
    return first, torch.where(step[:, None] > 0, last, first)


def roi_pool_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax: Tensor,
    grad_input: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Add the gradient of :func:`roi_pool_forward` to ``grad_input`` (N, C, H, W)."""
    channels, height, width = grad_input.shape[1:]
    # Each (RoI, channel) sends its gradient to one plane of the batch.
    plane = rois[:, :1].long() * channels + torch.arange(channels, device=rois.device)  # (K, C)
    target = plane[:, :, None, None] * (height * width) + argmax  # (K, C, PH, PW)
    inside = argmax >= 0
    grad = torch.zeros_like(wide(grad_input)).flatten()
    grad.index_add_(0, target[inside], wide(grad_output)[inside])
    grad_input += grad.view_as(grad_input)


# ---------------------------------------------------------------------------------------------- focal loss


def _focal_terms(input: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return log p and log(1 - p) of p = sigmoid(input), and the one-hot target as bool; each (K, C)."""
    logits = wide(input)
    positive = target[:, None] == torch.arange(logits.shape[1], device=target.device)
    return F.logsigmoid(logits), F.logsigmoid(-logits), positive


def _weighted(values: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Scale rows by the weight of their target class; a target outside the classes (background) weighs 1."""
    if weight.numel() == 0:
        return values
    known = (target >= 0) & (target < len(weight))
    row_weight = torch.where(known, weight.to(values)[target.clamp(0, len(weight) - 1)], 1)
    return values * row_weight[:, None]


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Write ``-alpha (1-p)^gamma log p`` in the target's column, ``-(1-alpha) p^gamma log(1-p)`` elsewhere.

    Computed from log-sigmoids, exact for any logit. mmcv's kernel takes the logarithm of a rounded
    probability, so its loss jumps to 87 for a confident mistake beyond a logit of about 17.

    Args:
        input: (K, C) logits; p is their sigmoid.
        target: (K,) class indices; ``C`` or more, or negative: no column is the target's.
        weight: (C,) weights of the target classes, or empty.
        output: output, (K, C).
    """
    log_p, log_not_p, positive = _focal_terms(input, target)
    loss_positive = -alpha * torch.exp(gamma * log_not_p) * log_p
    loss_negative = -(1 - alpha) * torch.exp(gamma * log_p) * log_not_p
    output.copy_(_weighted(torch.where(positive, loss_positive, loss_negative), target, weight))


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Write the derivative of each element of :func:`sigmoid_focal_loss_forward` to ``grad_input`` (K, C)."""
    log_p, log_not_p, positive = _focal_terms(input, target)
    p, not_p = log_p.exp(), log_not_p.exp()
    grad_positive = -alpha * torch.exp(gamma * log_not_p) * (not_p - gamma * p * log_p)
    grad_negative = -(1 - alpha) * torch.exp(gamma * log_p) * (gamma * not_p * log_not_p - p)
    grad_input.copy_(_weighted(torch.where(positive, grad_positive, grad_negative), target, weight))
