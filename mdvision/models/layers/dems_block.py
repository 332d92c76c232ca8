"""The parts that DEMS-ViT and its pyramid for detection share: patches, positions, blocks.

Code of the authors: visresearch/dems. Most submodule names are theirs.

Shapes: B batch, c image channels, H x W image, D width, N tokens.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import StochasticDepth

from mdvision.errors import UserError

from .gelu_mlp import GELUMLP

__all__ = [
    'REGION',
    'SCALES',
    'DEMSAttention',
    'DEMSBlock',
    'FactorizedPatchEmbed',
    'PatchEmbed',
    'by_cell',
    'check_width',
    'init_linear_',
    'patch_embeds',
    'sine_cosine_positions',
]

# Patch sizes in units of p, with the authors' suffix of the names. The largest is a region.
SCALES = {1: '', 2: '_2', 4: '_4', 8: '_8'}
REGION = 8


def sine_cosine_positions(height: int, width: int, dim: int, device: torch.device | None = None) -> Tensor:
    """Return the fixed position table of a grid, (height * width, dim) in float32, row by row.

    ``[sin(r w) | cos(r w) | sin(c w) | cos(c w)]`` for the token in row r and column c, with
    ``w_k = 10000^(-k / (dim/4))``, k = 0 .. dim/4 - 1.

    Args:
        height: rows of the grid.
        width: its columns.
        dim: a multiple of 4.
        device: where to create it.
    """
    steps = torch.arange(dim // 4, dtype=torch.float64, device=device)
    frequencies = 10000.0 ** (-steps / (dim // 4))
    halves = []
    for length in (height, width):
        angles = torch.arange(length, dtype=torch.float64, device=device)[:, None] * frequencies
        halves.append(torch.cat([angles.sin(), angles.cos()], 1))  # (length, dim / 2)
    of_rows = halves[0][:, None].expand(-1, width, -1)
    of_columns = halves[1][None].expand(height, -1, -1)
    return torch.cat([of_rows, of_columns], 2).reshape(height * width, dim).float()


def by_cell(x: Tensor, rows: int, columns: int, height: int, width: int) -> Tensor:
    """Tokens of a grid, row by row, sorted into its cells: rows x columns of height x width tokens each.

    (B, rows * height * columns * width, D) -> (B, rows * columns, height * width, D), row by row in a cell.
    """
    x = x.unflatten(1, (rows, height, columns, width)).transpose(2, 3)
    return x.flatten(1, 2).flatten(2, 3)


class PatchEmbed(nn.Module):
    """One token per patch, by one convolution: (B, c, H, W) -> (B, N, D), row by row."""

    def __init__(self, in_channels: int, embed_dim: int, patch_size: int):
        super().__init__()
        self.proj = nn.Conv2d(in_channels, embed_dim, patch_size, patch_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).flatten(2).transpose(1, 2)


class FactorizedPatchEmbed(nn.Module):
    """``pointwise(depthwise2(depthwise1(x)))``, without non-linearity: (B, c, H, W) -> (B, N, D).

    The depthwise kernels are patch_size / 4 and 4. Between them and the pointwise convolution a
    patch is c numbers, so the tokens of an RGB image differ in three directions only.
    """

    def __init__(self, in_channels: int, embed_dim: int, patch_size: int):
        super().__init__()
        first = patch_size // 4
        groups = in_channels
        self.depthwise1 = nn.Conv2d(in_channels, in_channels, first, first, groups=groups, bias=False)
        self.depthwise2 = nn.Conv2d(in_channels, in_channels, 4, 4, groups=groups, bias=False)
        self.pointwise = nn.Conv2d(in_channels, embed_dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.depthwise2(self.depthwise1(x))).flatten(2).transpose(1, 2)


def patch_embeds(in_channels: int, embed_dim: int, patch_size: int) -> dict[str, nn.Module]:
    """Return the embedding of each of :data:`SCALES` by the authors' names; the two largest are factorized.

    Args:
        in_channels: c.
        embed_dim: D.
        patch_size: of the finest scale, pixels.
    """
    return {
        f'patch_embed{suffix}': (PatchEmbed if scale < 4 else FactorizedPatchEmbed)(
            in_channels, embed_dim, scale * patch_size
        )
        for scale, suffix in SCALES.items()
    }


class DEMSAttention(nn.Module):
    """``proj(softmax(q k^T / sqrt(D / heads)) v)``; q, k, v without bias: (B, N, D) -> (B, N, D)."""

    def __init__(self, in_channels: int, num_heads: int, attn_drop_rate: float, drop_rate: float):
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(in_channels, 3 * in_channels, bias=False)
        # Holds the rate, so that code that sets the rate of all dropouts finds this one.
        self.attn_drop = nn.Dropout(attn_drop_rate)
        self.proj = nn.Linear(in_channels, in_channels)
        self.proj_drop = nn.Dropout(drop_rate)

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """(B, M, heads, D / heads) and twice (B, N, heads, D / heads) -> (B, M, heads, D / heads)."""
        query, key, value = (tensor.transpose(1, 2) for tensor in (query, key, value))
        dropout = self.attn_drop.p if self.training else 0.0
        return F.scaled_dot_product_attention(query, key, value, dropout_p=dropout).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.qkv(x).unflatten(2, (3, self.num_heads, -1))  # (B, N, 3, heads, D / heads)
        return self.proj_drop(self.proj(self.attend(*qkv.unbind(2)).flatten(2)))


class DEMSBlock(nn.Module):
    """``x = x + drop_path(attention(LN(x)))``, then ``x + drop_path(MLP(LN(x)))``."""

    attention = DEMSAttention

    def __init__(
        self,
        in_channels: int,
        num_heads: int,
        hidden_channels: int,
        drop_rate: float,
        attn_drop_rate: float,
        drop_path_rate: float,
    ):
        super().__init__()
        self.norm1 = nn.LayerNorm(in_channels)
        self.attn = self.attention(in_channels, num_heads, attn_drop_rate, drop_rate)
        self.norm2 = nn.LayerNorm(in_channels)
        self.mlp = GELUMLP(in_channels, hidden_channels, drop_rate=drop_rate)
        self.drop_path = StochasticDepth(drop_path_rate, mode='row')

    def forward(self, x: Tensor, **arguments) -> Tensor:
        """(B, N, D) -> (B, N, D); the arguments are those of the attention."""
        x = x + self.drop_path(self.attn(self.norm1(x), **arguments))
        return x + self.drop_path(self.mlp(self.norm2(x)))


def check_width(name: str, embed_dim: int, num_heads: int) -> None:
    """Refuse a width that is not divisible as positions and heads require.

    Args:
        name: of the backbone, for the message.
        embed_dim: D.
        num_heads: heads of the attention.

    Raises:
        UserError: it is not a multiple of 4, or not of ``num_heads``.
    """
    if embed_dim % 4:
        raise UserError(
            f'{name}: embed_dim must be a multiple of 4 (positions are sines and cosines of row and '
            f'column), got {embed_dim}.'
        )
    if num_heads < 1 or embed_dim % num_heads:
        raise UserError(f'{name}: num_heads must divide embed_dim={embed_dim}, got num_heads={num_heads}.')


def init_linear_(module: nn.Module) -> None:
    """Truncated Normal(0, 0.02) for the weights of linear layers, 0 for their biases."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
