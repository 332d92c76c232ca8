"""Pyramid split attention (PSA, of EPSANet).

Paper: EPSANet: An Efficient Pyramid Squeeze Attention Block on Convolutional Neural Network,
https://arxiv.org/abs/2105.14447

Shapes: B batch, P channels in and out, Q = P / 4 channels of a branch, H x W feature map, s stride.
"""

from collections.abc import Sequence

from torch import nn

from mdvision.registry import MODELS

from .branch import BranchAttention

__all__ = ['PyramidSplitAttention']


@MODELS.register_module()
class PyramidSplitAttention(BranchAttention):
    """Convolutions with increasing kernel sizes and branch attention, in place of a block's 3x3 convolution.

    ``x_j = conv_j(x)``, (B, P, H, W) -> (B, Q, H/s, W/s) without bias, weighted and concatenated
    as described in :class:`BranchAttention`.

    Args:
        in_channels: P. Output channels are the same.
        stride: stride of the convolutions; at 1 the output has the shape of the input.
        kernels: kernel size of each branch, odd.
        groups: groups of each branch's convolution.
        gate_reduction: the gate has P / branches / gate_reduction hidden units, at least one.

    Raises:
        UserError: if P is not divisible by the branches, their groups, or the gate.
    """

    def __init__(
        self,
        in_channels: int,
        stride: int = 1,
        kernels: Sequence[int] = (3, 5, 7, 9),
        groups: Sequence[int] = (1, 4, 8, 16),
        gate_reduction: int = 16,
    ):
        def convolution(out_channels: int, kernel_size: int, groups: int) -> nn.Module:
            return nn.Conv2d(
                in_channels, out_channels, kernel_size, stride, kernel_size // 2, groups=groups, bias=False
            )

        super().__init__(in_channels, kernels, groups, gate_reduction, convolution)
