"""Deformable convolution, version 1 (DCN) and 2 (DCNv2), with the signatures of mmcv's compiled operators.

Shapes: N batch, C_in and C_out channels, H x W input, OH x OW output, KH x KW kernel, G deformable groups.

input (N, C_in, H, W); weight (C_out, C_in / group, KH, KW); bias (C_out,); output (N, C_out, OH, OW);
offset (N, G * KH * KW * 2, OH, OW) in input pixels, y before x; mask (N, G * KH * KW, OH, OW), a factor for
each sample. ``columns`` and ``ones`` are mmcv's scratch space, ``im2col_step`` its chunk size, unused here.
The group counts follow from the shapes. Gradients of input, weight and bias are added to what is there, those
of offset and mask replace it, as the compiled operators do.
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
    """Writes the convolution of ``input``, sampled ``offset`` pixels beside the grid, to ``output``."""
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
    """The gradients for ``input`` and ``offset``."""
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
    """``scale`` times the gradient for ``weight``."""
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
    """As :func:`deform_conv_forward`, each sample times its ``mask``, plus ``bias`` where ``with_bias``."""
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
    """The gradients for all inputs; ``grad_bias`` stays as it is without ``with_bias``."""
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
    """``(input, offset, weight) -> output``."""

    def convolve(input: Tensor, offset: Tensor, weight: Tensor):
        offset = _fixed_outside(offset, input, weight, stride, padding, dilation)
        return deform_conv2d(input, offset, weight, None, stride, padding, dilation)

    return convolve


def _version_2(stride: tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int]):
    """``(input, offset, mask, weight[, bias]) -> output``."""

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
    """Of a map (N, C, h, w) that is larger than the output what mmcv reads, as (N, C, *size).

    mmcv's kernels count through the values of an image as if the map had the size of the output. So they
    take the first ones in memory, which is not the upper left corner of each channel. DyHead, whose published
    weights were trained so, hands maps of twice the output's side to a convolution of stride 2.
    """
    values = larger.flatten(1)
    count = larger.shape[1] * size[0] * size[1]
    if values.shape[1] <= count:
        return larger  # of the right size, or too small: torchvision says so
    return values[:, :count].unflatten(1, (larger.shape[1], *size))


def _fixed_outside(
    offset: Tensor,
    input: Tensor,
    weight: Tensor,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> Tensor:
    """``offset``, without a gradient for the samples that lie a pixel or more outside ``input``.

    They are 0 whatever the offset; torchvision lets those at coordinate -1 itself move inwards. That is where
    every deformable convolution with padding starts, since its offsets start at zero.
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
