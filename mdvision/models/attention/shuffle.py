"""Shuffle attention (SA).

Paper: SA-Net: Shuffle Attention for Deep Convolutional Neural Networks,
https://arxiv.org/abs/2102.00240

Shapes: B batch, C channels, G groups, c = C / 2G channels of half a group, H x W feature map.
"""

import torch
from torch import Tensor, nn

from mdvision.errors import UserError
from mdvision.registry import MODELS

__all__ = ['ShuffleAttention']


@MODELS.register_module()
class ShuffleAttention(nn.Module):
    """Half of each channel group gets a channel gate, half a spatial gate; then channels are shuffled.

    A group of 2c consecutive channels is split into halves a and b:
    ``a' = a * sigmoid(cweight * mean_hw(a) + cbias)``,
    ``b' = b * sigmoid(sweight * norm_hw(b) + sbias)``, where ``norm_hw`` is instance norm with an
    affine. All groups share these 6c numbers. The shuffle moves channel ``i * C/2 + j`` to
    ``2j + i`` (i in {0, 1}). At the start both gates are the constant sigmoid(1).

    Args:
        in_channels: C, a multiple of 2G.
        groups: G.

    Raises:
        UserError: if C is not divisible into halves of groups.
    """

    def __init__(self, in_channels: int, groups: int = 64):
        super().__init__()
        if groups < 1 or in_channels < 1 or in_channels % (2 * groups):
            raise UserError(
                f'ShuffleAttention: in_channels must be divisible by 2 * groups, got in_channels='
                f'{in_channels} and groups={groups}. {_advice(in_channels, groups)}'
            )
        self.groups = groups
        half_channels = in_channels // (2 * groups)
        shape = (1, half_channels, 1, 1)
        self.cweight = nn.Parameter(torch.zeros(shape))
        self.cbias = nn.Parameter(torch.ones(shape))
        self.sweight = nn.Parameter(torch.zeros(shape))
        self.sbias = nn.Parameter(torch.ones(shape))
        self.gn = nn.GroupNorm(half_channels, half_channels)

    def _norm(self, x: Tensor) -> Tensor:
        # nn.GroupNorm itself rejects a single value per channel (B = G = H = W = 1), for which the
        # result is the bias.
        return torch.group_norm(x, self.gn.num_groups, self.gn.weight, self.gn.bias, self.gn.eps)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        batch, channels, height, width = x.shape
        grouped = x.reshape(batch * self.groups, channels // self.groups, height, width)  # (BG, 2c, H, W)
        a, b = grouped.chunk(2, dim=1)
        a = a * (self.cweight * a.mean((2, 3), keepdim=True) + self.cbias).sigmoid()
        b = b * (self.sweight * self._norm(b) + self.sbias).sigmoid()
        halves = torch.cat([a, b], dim=1).reshape(batch, 2, channels // 2, height, width)
        return halves.transpose(1, 2).reshape(batch, channels, height, width)


def _advice(in_channels: int, groups: int) -> str:
    fitting = [g for g in range(1, min(groups, in_channels // 2) + 1) if in_channels % (2 * g) == 0]
    if fitting:
        return f'Use groups={fitting[-1]}.'
    return 'Use an even in_channels and groups of 1 or more.'
