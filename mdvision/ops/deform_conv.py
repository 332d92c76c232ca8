"""Deformable convolution, version 1 (DCN) and 2 (DCNv2), with the signatures of mmcv's operators.

Shapes: N batch, C_in and C_out channels, H x W input, OH x OW output, KH x KW kernel, G deformable groups.

input (N, C_in, H, W); weight (C_out, C_in / group, KH, KW); bias (C_out,); output (N, C_out, OH, OW); offset
(N, G * KH * KW * 2, OH, OW) in input pixels, y before x; mask (N, G * KH * KW, OH, OW), one factor per
sample. ``columns`` and ``ones`` are mmcv's scratch space, ``im2col_step`` its chunk size; they are unused
here. The group counts follow from the shapes. Gradients of input, weight and bias are accumulated, those of
offset and mask overwritten, as in the compiled operators.
"""

# ruff: noqa: N803, N806  (mmcv passes its camelCase arguments by name)

from functools import partial

import torch
from torch import Tensor
from torchvision.ops import deform_conv2d

from mdvision.ops.numerics import gradients, wide

__all__ = [
    'deform_conv_backward_input',
    'deform_conv_backward_parameters',
    'deform_conv_forward',
    'modulated_deform_conv_backward',
    'modulated_deform_conv_forward',
]


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Write to ``output`` the convolution of ``input``, sampled ``offset`` pixels away from the grid."""
    convolve = _version_1((dH, dW), (padH, padW), (dilationH, dilationW))
    output.copy_(convolve(wide(input), wide(offset), wide(weight)))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,
    gradInput: Tensor,
    gradOffset: Tensor,
    weight: Tensor,
    columns: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Write the gradients of ``input`` and ``offset``."""
    convolve = _version_1((dH, dW), (padH, padW), (dilationH, dilationW))
    grads = gradients(partial(convolve, weight=wide(weight)), (input, offset), gradOutput)
    gradInput += grads[0]
    gradOffset.copy_(grads[1])


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,
    gradWeight: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    scale: float,
    im2col_step: int,
) -> None:
    """Accumulate ``scale`` times the gradient of ``weight``."""
    convolve = _version_1((dH, dW), (padH, padW), (dilationH, dilationW))

    def of_weight(weight: Tensor) -> Tensor:
        return convolve(wide(input), wide(offset), weight)

    (grad,) = gradients(of_weight, (gradWeight,), gradOutput)
    gradWeight += scale * grad


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Like :func:`deform_conv_forward`, with samples scaled by ``mask``, plus ``bias`` if ``with_bias``."""
    convolve = _version_2((stride_h, stride_w), (pad_h, pad_w), (dilation_h, dilation_w))
    inputs = (input, offset, mask, weight, *([bias] if with_bias else []))
    output.copy_(convolve(*map(wide, inputs)))


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Write the gradients of all inputs; ``grad_bias`` is unchanged without ``with_bias``."""
    convolve = _version_2((stride_h, stride_w), (pad_h, pad_w), (dilation_h, dilation_w))
    inputs = (input, offset, mask, weight, *([bias] if with_bias else []))
    grads = gradients(convolve, inputs, grad_output)
    grad_input += grads[0]
    grad_offset.copy_(grads[1])
    grad_mask.copy_(grads[2])
    grad_weight += grads[3]
    if with_bias:
        grad_bias += grads[4]


def _version_1(stride: tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int]):
    """Return ``(input, offset, weight) -> output``."""

    def convolve(input: Tensor, offset: Tensor, weight: Tensor):
        offset = _fixed_outside(offset, input, weight, stride, padding, dilation)
        return deform_conv2d(input, offset, weight, None, stride, padding, dilation)

    return convolve


def _version_2(stride: tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int]):
    """Return ``(input, offset, mask, weight[, bias]) -> output``."""

    def convolve(input: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor | None = None):
        size = [
            (side + 2 * pad - dilate * (kernel - 1) - 1) // step + 1
            for side, pad, dilate, kernel, step in zip(
                input.shape[2:], padding, dilation, weight.shape[2:], stride, strict=True
            )
        ]
        offset, mask = _first_values(offset, size), _first_values(mask, size)
        offset = _fixed_outside(offset, input, weight, stride, padding, dilation)
        return deform_conv2d(input, offset, weight, bias, stride, padding, dilation, mask)

    return convolve


def _first_values(larger: Tensor, size: list[int]) -> Tensor:
    """Return what mmcv reads from a tensor (N, C, h, w) that is larger than the output, as (N, C, *size).

    mmcv's kernels index the values of an image as if the tensor had the size of the output. They therefore
    use the first values in memory, which are not the top-left corner of each channel. DyHead, whose published
    weights were trained this way, passes offsets and masks of twice the output's side length to a stride-2
    convolution.
    """
    values = larger.flatten(1)
    count = larger.shape[1] * size[0] * size[1]
    if values.shape[1] <= count:
        return larger  # of the right size, or too small, which torchvision reports
    return values[:, :count].unflatten(1, (larger.shape[1], *size))


def _fixed_outside(
    offset: Tensor,
    input: Tensor,
    weight: Tensor,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> Tensor:
    """Return ``offset``, without gradients for samples a pixel or more outside ``input``.

    Such samples are 0 whatever the offset is, but torchvision lets those at coordinate -1 move inwards. Every
    deformable convolution with padding starts there, since its offsets start at zero.
    """
    if not offset.requires_grad:
        return offset
    height, width = input.shape[2:]
    rows, columns = (
        torch.arange(kernel, device=offset.device)[:, None] * dilate
        + torch.arange(count, device=offset.device) * step
        - pad
        for kernel, dilate, count, step, pad in zip(
            weight.shape[2:], dilation, offset.shape[2:], stride, padding, strict=True
        )
    )  # (KH, OH), (KW, OW)
    samples = offset.detach().unflatten(1, (-1, *weight.shape[2:], 2))  # (N, G, KH, KW, 2, OH, OW)
    y = samples[..., 0, :, :] + rows[:, None, :, None]
    x = samples[..., 1, :, :] + columns[:, None, :]
    inside = (y > -1) & (y < height) & (x > -1) & (x < width)
    inside = inside.unsqueeze(4).expand_as(samples).flatten(1, 4)
    return torch.where(inside, offset, offset.detach())
