"""The transformer block of MDNet: differential channel attention and a multi-scale feed-forward net.

Paper: MDNet (Gaojinghan1/MDNET). Submodule names are the authors', so that their checkpoints need
almost no conversion.

Shapes: B batch, D channels, n heads, c = D / n channels of a head, H x W feature map, N = H W positions.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mdvision.errors import UserError
from mdvision.registry import MODELS

__all__ = ['DifferentialChannelAttention', 'MDNetBlock', 'MultiScaleFeedForward']

# The constant part of lambda, 0.8 - 0.6 exp(-0.3 depth), at the depth of 10 that the authors fixed.
_LAMBDA_INIT = 0.8 - 0.6 * math.exp(-0.3 * 10)


def _grouped(in_channels: int, out_channels: int, kernel_size: int, groups: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, groups=groups)


class _ChannelNorm(nn.Module):
    """Layer normalization over the channels at every position: (B, D, H, W) -> the same."""

    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class DifferentialChannelAttention(nn.Module):
    """Attention between the channels of a head: the difference of two softmax maps times the values.

    ``u = conv1x1(x)``; q, k and v are grouped 3x3, 5x5 and 7x7 convolutions of u, where channel i
    sees the three channels 3i to 3i+2 of u. Then for each head

        M = softmax(t1 * q1 k1^T) - lambda softmax(t2 * q2 k2^T),   (c, c)
        lambda = exp(lq1 . lk1) - exp(lq2 . lk2) + 0.77,

    with q and k of unit length over the positions, and the output is ``conv1x1(M v)``.

    With one head per channel (the default, the authors' only form) M is 1 x 1, a softmax of one
    number is 1, and so M = 1 - lambda whatever q, k and the temperatures are. Hence they are not
    computed; their parameters exist for the authors' checkpoints and get gradients of exactly zero.
    With fewer heads the attention is real: the 3x3 and the 5x5 convolution then have two outputs per
    channel, one for each of q1, q2 and k1, k2.

    Args:
        channels: D.
        num_heads: n, D or a divisor of it; D by default.

    Raises:
        UserError: when ``num_heads`` does not divide ``channels``.
    """

    def __init__(self, channels: int, num_heads: int | None = None):
        super().__init__()
        num_heads = channels if num_heads is None else num_heads
        if num_heads < 1 or channels % num_heads:
            divisors = [n for n in range(1, channels + 1) if channels % n == 0]
            raise UserError(
                f'DifferentialChannelAttention: num_heads must divide the {channels} channels, '
                f"got {num_heads}. Use one of {divisors}; {channels} is the authors' form."
            )
        self.num_heads = num_heads
        self.is_constant = num_heads == channels
        maps = 1 if self.is_constant else 2

        self.temperature = nn.Parameter(torch.ones(2 * num_heads, 1, 1))
        for name in ('lambda_q1', 'lambda_k1', 'lambda_q2', 'lambda_k2'):
            self.register_parameter(name, nn.Parameter(0.1 * torch.randn(channels)))
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.qkv_dwconv3x3 = _grouped(3 * channels, maps * channels, 3, channels)
        self.qkv_dwconv5x5 = _grouped(3 * channels, maps * channels, 5, channels)
        self.qkv_dwconv7x7 = _grouped(3 * channels, channels, 7, channels)
        self.project_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, H, W) -> (B, D, H, W)."""
        u = self.qkv(x)  # (B, 3D, H, W)
        v = self.qkv_dwconv7x7(u)
        if not self.is_constant:
            return self.project_out(self._attend(u, v))
        out = self.project_out((1 - self._lambda()) * v)
        if torch.is_grad_enabled():
            # q and k have no effect, but their parameters need a gradient of zero rather than none:
            # AdamW decays only parameters with a gradient, and DDP waits for all. An empty sum gives
            # such a zero whatever the values are, without computing q and k.
            out = out + sum(parameter.flatten()[:0].sum() for parameter in self._without_effect())
        return out

    def _lambda(self) -> Tensor:
        first = (self.lambda_q1 * self.lambda_k1).sum().exp()
        second = (self.lambda_q2 * self.lambda_k2).sum().exp()
        return first - second + _LAMBDA_INIT

    def _without_effect(self) -> list[nn.Parameter]:
        return [self.temperature, *self.qkv_dwconv3x3.parameters(), *self.qkv_dwconv5x5.parameters()]

    def _attend(self, u: Tensor, v: Tensor) -> Tensor:
        """``M v`` for u (B, 3D, H, W) and v (B, D, H, W): (B, D, H, W)."""
        # As in the authors' code, the softmax is computed in at least single precision.
        dtype = torch.promote_types(v.dtype, torch.float32)
        q, k = (
            F.normalize(self._two_maps(conv(u)).to(dtype), dim=-1)
            for conv in (self.qkv_dwconv3x3, self.qkv_dwconv5x5)
        )
        scores = q @ k.transpose(-2, -1) * self.temperature.view(self.num_heads, 2, 1, 1)  # (B, n, 2, c, c)
        first, second = scores.softmax(dim=-1, dtype=dtype).unbind(2)
        attention = (first - self._lambda() * second).to(v.dtype)  # (B, n, c, c)
        out = attention @ v.flatten(2).unflatten(1, (self.num_heads, -1))  # (B, n, c, N)
        return out.reshape(v.shape)

    def _two_maps(self, x: Tensor) -> Tensor:
        """(B, 2D, H, W), the two feature maps of a channel side by side -> (B, n, 2, c, N)."""
        return x.flatten(2).unflatten(1, (self.num_heads, -1, 2)).transpose(2, 3)


class MultiScaleFeedForward(nn.Module):
    """``conv1x1([relu(g3(x1)) | relu(g5(x2))])``, two kernels in each of two steps.

    ``p = conv1x1(x)``; ``a = relu(d3(p))`` and ``b = relu(d5(p))`` with depthwise 3x3 and 5x5
    convolutions; x1 is the first half of the channels of a and of b, x2 the second; g3 and g5 are
    grouped convolutions that take two channels to one.

    Args:
        channels: D.
        expansion: d3, d5, g3 and g5 have ``expansion * D`` groups, or twice that.
    """

    def __init__(self, channels: int, expansion: int = 2):
        super().__init__()
        hidden = channels * expansion
        self.project_in = nn.Conv2d(channels, 2 * hidden, 1)
        self.dwconv3x3 = _grouped(2 * hidden, 2 * hidden, 3, 2 * hidden)
        self.dwconv5x5 = _grouped(2 * hidden, 2 * hidden, 5, 2 * hidden)
        self.dwconv3x3_1 = _grouped(2 * hidden, hidden, 3, hidden)
        self.dwconv5x5_1 = _grouped(2 * hidden, hidden, 5, hidden)
        self.project_out = nn.Conv2d(2 * hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, H, W) -> (B, D, H, W)."""
        p = self.project_in(x)
        a1, a2 = F.relu(self.dwconv3x3(p)).chunk(2, dim=1)
        b1, b2 = F.relu(self.dwconv5x5(p)).chunk(2, dim=1)
        y1 = F.relu(self.dwconv3x3_1(torch.cat([a1, b1], dim=1)))
        y2 = F.relu(self.dwconv5x5_1(torch.cat([a2, b2], dim=1)))
        return self.project_out(torch.cat([y1, y2], dim=1))


@MODELS.register_module()
class MDNetBlock(nn.Module):
    """``x <- x + attn(norm1(x))``, then ``x <- x + ffn(norm2(x))``; the norms are over the channels.

    Args:
        channels: D.
        num_heads: heads of the attention; one per channel by default.
    """

    def __init__(self, channels: int, num_heads: int | None = None):
        super().__init__()
        self.norm1 = _ChannelNorm(channels)
        self.attn = DifferentialChannelAttention(channels, num_heads)
        self.norm2 = _ChannelNorm(channels)
        self.ffn = MultiScaleFeedForward(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, H, W) -> (B, D, H, W)."""
        x = x + self.attn(self.norm1(x))
        return x + self.ffn(self.norm2(x))
