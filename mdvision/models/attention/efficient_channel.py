"""Efficient channel attention (ECA).

Paper: ECA-Net: Efficient Channel Attention for Deep Convolutional Neural Networks,
https://arxiv.org/abs/1910.03151

Shapes: B batch, C channels, H x W feature map, k kernel size.
"""

import math

from torch import Tensor, nn

from mdvision.errors import UserError
from mdvision.registry import MODELS

__all__ = ['EfficientChannelAttention']


def _kernel_size(channels: int) -> int:
    """The paper's rule: ``(log2(C) + 1) / 2``, truncated to an integer, then rounded up to an odd one."""
    size = int(abs((math.log2(channels) + 1) / 2))
    return size if size % 2 else size + 1


@MODELS.register_module()
class EfficientChannelAttention(nn.Module):
    """``y = x * sigmoid(conv1d(mean_hw(x)))``: a convolution along the channel axis, without bias.

    Args:
        in_channels: C.
        kernel_size: k, odd. By default it grows with C by the paper's rule: 3 for 8 to 127
            channels, 5 for 128 to 2047, 7 from 2048. The authors of the CIFAR baseline use
            3, 5, 5, 7 in the stages of their ResNet-50.

    Raises:
        UserError: if the kernel size is even.
    """

    def __init__(self, in_channels: int, kernel_size: int | None = None):
        super().__init__()
        if kernel_size is None:
            kernel_size = _kernel_size(in_channels)
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise UserError(
                f'EfficientChannelAttention: kernel_size must be odd to keep the channel count, '
                f'got {kernel_size}. Use {max(1, kernel_size + 1)}.'
            )
        self.conv = nn.Conv1d(1, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        gate = self.conv(x.mean((2, 3)).unsqueeze(1)).sigmoid()  # (B, 1, C)
        return x * gate[:, 0, :, None, None]
