"""Convolutional block attention (CBAM).

Paper: CBAM: Convolutional Block Attention Module, https://arxiv.org/abs/1807.06521

Shapes: B batch, C channels, H x W feature map.
"""

import torch
from torch import Tensor, nn

from mdvision.errors import UserError
from mdvision.registry import MODELS

from ..layers import he_out_

__all__ = ['CBAM']


class _ChannelGate(nn.Module):
    """``sigmoid(F(mean_hw(x)) + F(max_hw(x)))``, ``F = W2 relu(W1 .)``: (B, C, H, W) -> (B, C, 1, 1)."""

    def __init__(self, channels: int, hidden_channels: int):
        super().__init__()
        self.fc = nn.Sequential(
            nn.Conv2d(channels, hidden_channels, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(hidden_channels, channels, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        mean, maximum = x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
        return (self.fc(mean) + self.fc(maximum)).sigmoid()


class _SpatialGate(nn.Module):
    """``sigmoid(conv([mean_c(x), max_c(x)]))``: (B, C, H, W) -> (B, 1, H, W)."""

    def __init__(self, kernel_size: int):
        super().__init__()
        self.conv1 = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        mean, maximum = x.mean(1, keepdim=True), x.amax(1, keepdim=True)
        return self.conv1(torch.cat([mean, maximum], dim=1)).sigmoid()


@MODELS.register_module()
class CBAM(nn.Module):
    """A channel gate, then a spatial gate: ``x1 = x * ca(x)``, ``y = x1 * sa(x1)``.

    ``ca(x) = sigmoid(F(mean_hw(x)) + F(max_hw(x)))`` with ``F = W2 relu(W1 .)`` for both poolings;
    ``sa(x) = sigmoid(conv([mean_c(x), max_c(x)]))``. Nothing has a bias.

    Args:
        in_channels: C.
        reduction: F has C / reduction hidden units, at least one.
        kernel_size: of the spatial convolution, odd.

    Raises:
        UserError: if the reduction leaves no hidden unit, or the kernel size is even.
    """

    def __init__(self, in_channels: int, reduction: int = 16, kernel_size: int = 7):
        super().__init__()
        if not 1 <= reduction <= in_channels:
            raise UserError(
                f'CBAM: in_channels={in_channels} leaves no hidden unit at reduction={reduction}. '
                f'Use reduction={in_channels} or less, at least 1.'
            )
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise UserError(
                f'CBAM: kernel_size must be odd to keep the feature map size, got {kernel_size}. '
                f'Use {max(1, kernel_size + 1)}.'
            )
        self.ca = _ChannelGate(in_channels, in_channels // reduction)
        self.sa = _SpatialGate(kernel_size)
        he_out_(self)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        x = x * self.ca(x)
        return x * self.sa(x)
