"""Attention at sampled points of several feature maps, with the signatures of mmcv's compiled operators.

mmcv has an implementation in PyTorch but uses it only on CPUs. Here it serves every device.

Shapes: N batch, K pixels of all feature maps, M heads, D channels per head, Q queries, L feature maps, P
points.

value (N, K, M, D), the feature maps concatenated; value_spatial_shapes (L, 2) with rows (height, width);
sampling_locations (N, Q, M, L, P, 2), x before y, 0 to 1 across a feature map; attention_weights (N, Q, M, L,
P). ``value_level_start_index`` follows from the shapes, and ``im2col_step`` is mmcv's chunk size; both are
unused here.
"""

import torch
from torch import Tensor

from mdvision.ops.numerics import gradients, wide

__all__ = ['ms_deform_attn_backward', 'ms_deform_attn_forward']


def ms_deform_attn_forward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int,
) -> Tensor:
    """Return the weighted sum of bilinear samples, 0 outside a feature map: (N, Q, M * D)."""
    attend = _attention(value_spatial_shapes)
    return attend(*map(wide, (value, sampling_locations, attention_weights))).to(value.dtype)


def ms_deform_attn_backward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int,
) -> None:
    """Write the gradients: that of ``value`` is accumulated, the others are overwritten, as in mmcv."""
    inputs = (value, sampling_locations, attention_weights)
    grads = gradients(_attention(value_spatial_shapes), inputs, grad_output)
    grad_value += grads[0]
    grad_sampling_loc.copy_(grads[1])
    grad_attn_weight.copy_(grads[2])


def _attention(value_spatial_shapes: Tensor):
    """Return ``(value, sampling_locations, attention_weights) -> output``."""
    from mmcv.ops.multi_scale_deform_attn import (
        multi_scale_deformable_attn_pytorch,
    )  # it imports this package

    shapes = value_spatial_shapes.tolist()

    def attend(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
        locations = _fixed_outside(locations, value_spatial_shapes)
        return multi_scale_deformable_attn_pytorch(value, shapes, locations, weights)

    return attend


def _fixed_outside(locations: Tensor, value_spatial_shapes: Tensor) -> Tensor:
    """Return ``locations``, without gradients for points a pixel or more outside their feature map."""
    size = value_spatial_shapes.flip(1)[:, None].to(locations)  # (L, 1, 2), x before y
    pixel = locations.detach() * size - 0.5
    inside = ((pixel > -1) & (pixel < size)).all(dim=-1, keepdim=True)
    return torch.where(inside, locations, locations.detach())
