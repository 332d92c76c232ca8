"""Lightweight mixed-domain attention (LMA).

Paper: LMA: lightweight mixed-domain attention for efficient network design, Applied Intelligence
53 (2023).

Shapes: B batch, C channels, H x W feature map, k kernel size.
"""

import math

from torch import Tensor, nn

from mdvision.errors import UserError
from mdvision.registry import MODELS

from ..layers import he_out_

__all__ = ['LightweightMixedDomainAttention']


def _kernel_size(channels: int) -> int:
    """The authors' rule: ``|log2(C) - 1| / 1.5`` rounded, then down to an odd number, at least 1."""
    size = round(abs(math.log2(channels) - 1) / 1.5)
    return max(1, size if size % 2 else size - 1)


@MODELS.register_module()
class LightweightMixedDomainAttention(nn.Module):
    """``y[c,h,w] = x[c,h,w] * sigmoid(R[h,c]) * sigmoid(Q[w,c])``.

    R convolves the row means ``mean_w(x)``, Q the column means ``mean_h(x)``, each along the
    channel axis with one kernel of k taps for all rows or columns: 2k weights in all.

    With random kernels the gates are about 1/2 each, so a pretrained network starts with its
    branches scaled to a quarter. ``identity_start=True`` is the corrected form.

    Args:
        in_channels: C.
        kernel_size: k, odd. By default it grows with C by the authors' rule: 3 from 27
            channels, 5 from 216, 7 from 1723; 1 below.
        identity_start: start both kernels at zero and multiply the gates by 4, so that the layer
            starts as the identity.

    Raises:
        UserError: if the kernel size is even.
    """

    def __init__(self, in_channels: int, kernel_size: int | None = None, identity_start: bool = False):
        super().__init__()
        if kernel_size is None:
            kernel_size = _kernel_size(in_channels)
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise UserError(
                f'LightweightMixedDomainAttention: kernel_size must be odd to keep the channel count, '
                f'got {kernel_size}. Use {max(1, kernel_size + 1)}.'
            )
        self.identity_start = identity_start
        self.conv_h = nn.Conv2d(1, 1, (1, kernel_size), padding=(0, kernel_size // 2), bias=False)
        self.conv_w = nn.Conv2d(1, 1, (1, kernel_size), padding=(0, kernel_size // 2), bias=False)
        he_out_(self)
        if identity_start:
            nn.init.zeros_(self.conv_h.weight)
            nn.init.zeros_(self.conv_w.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        row_gate = _gate(self.conv_h, x.mean(3)).unsqueeze(3)  # (B, C, H, 1)
        column_gate = _gate(self.conv_w, x.mean(2)).unsqueeze(2)  # (B, C, 1, W)
        if self.identity_start:
            row_gate = 4 * row_gate
        return x * row_gate * column_gate


def _gate(conv: nn.Conv2d, means: Tensor) -> Tensor:
    """(B, C, positions) -> (B, C, positions), convolved along C."""
    image = means.transpose(1, 2).unsqueeze(1)  # (B, 1, positions, C)
    return conv(image).sigmoid().squeeze(1).transpose(1, 2)
