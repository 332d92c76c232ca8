"""DEMS-ViT: tokens of four patch sizes, ordered by region, and merged region by region.

Code of the authors: visresearch/dems. Names of children are mostly theirs.

Shapes: B batch, c image channels, H x W image, p patch, D width, R = (H/8p)(W/8p) regions, T tokens of
a region: 64 + 16 + 4 + 1 = 85 at the start, K after a merge.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import StochasticDepth

from mdvision.errors import UserError
from mdvision.registry import MODELS

from ..layers import GELUMLP
from .base import Backbone, run_block

__all__ = ['DEMSViT', 'RegionMerge', 'by_cell', 'sine_cosine_positions']

# Patch sizes in units of p, with the authors' suffix of the names. The largest is a region.
_SCALES = {1: '', 2: '_2', 4: '_4', 8: '_8'}
_REGION = 8


def sine_cosine_positions(height: int, width: int, dim: int, device: torch.device | None = None) -> Tensor:
    """The fixed table of a grid, (height * width, dim) in float32, row by row.

    ``[sin(r w) | cos(r w) | sin(c w) | cos(c w)]`` for the token in row r and column c, with
    ``w_k = 10000^(-k / (dim/4))``, k = 0 .. dim/4 - 1.

    Args:
        height: rows of the grid.
        width: its columns.
        dim: a multiple of 4.
        device: where to make it.
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


class _PatchEmbed(nn.Module):
    """A patch a token, by one convolution: (B, c, H, W) -> (B, N, D), row by row."""

    def __init__(self, in_channels: int, embed_dim: int, patch_size: int):
        super().__init__()
        self.proj = nn.Conv2d(in_channels, embed_dim, patch_size, patch_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).flatten(2).transpose(1, 2)


class _FactorisedPatchEmbed(nn.Module):
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


class RegionMerge(nn.Module):
    """K tokens a region from T: ``Y = softmax_T(scale * h)^T X``, (B, R, T, D) -> (B, R, K, D).

    ``h = W3 GELU(W2 GELU(W1 LN(X) + b1) + b2) + b3`` with widths D -> 2D -> D/2 -> K. The softmax
    is over the tokens of a region, so each of the K is a convex combination of them, whatever their
    order.

    Args:
        in_channels: D.
        num_tokens: K.
        bias: whether there is a b3. The softmax cancels it: it changes nothing and learns nothing,
            but checkpoints have it.
    """

    def __init__(self, in_channels: int, num_tokens: int, bias: bool = True):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, 1, 1, 1))
        self.norm = nn.LayerNorm(in_channels)
        self.fc1 = nn.Linear(in_channels, 2 * in_channels)
        self.fc2 = nn.Linear(2 * in_channels, in_channels // 2)
        self.fc3 = nn.Linear(in_channels // 2, num_tokens, bias=bias)

    def weights(self, x: Tensor) -> Tensor:
        """(B, R, T, D) -> (B, R, T, K): of each token in each of the K sums."""
        x = F.gelu(self.fc1(self.norm(x)))
        x = self.fc3(F.gelu(self.fc2(x)))
        return (self.scale * x).softmax(dim=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.weights(x).transpose(2, 3) @ x


class _Attention(nn.Module):
    """``proj(softmax(q k^T / sqrt(D / heads)) v)``; q, k, v without bias: (B, N, D) -> (B, N, D)."""

    def __init__(self, in_channels: int, num_heads: int, attn_drop_rate: float, drop_rate: float):
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(in_channels, 3 * in_channels, bias=False)
        # Holds the rate, so that what sets the rate of all dropouts finds this one.
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


class _Block(nn.Module):
    """``x = x + drop_path(attention(LN(x)))``, then ``x + drop_path(MLP(LN(x)))``."""

    attention = _Attention

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


def _init_linear(module: nn.Module) -> None:
    """Truncated Normal(0, 0.02) for the weights of linear layers, 0 for their biases."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _restore_tables(model: 'DEMSViT', _unmatched: object) -> None:
    model._make_tables(model.cls_token)


@MODELS.register_module()
class DEMSViT(Backbone):
    """Multi-scale ViT with regional merging; the output is the class token after the last norm.

    The image is cut into patches of p, 2p, 4p and 8p pixels. All tokens of one 8p x 8p region stand
    together; before the blocks ``merge_layers`` a :class:`RegionMerge` turns those of each region
    into K tokens. The class token stays out of that and has no position.

    The output is a tuple of class tokens (B, D). There are no spatial maps: the merges dissolve the
    grid, so ``out_strides`` is empty. A stage is a block, together with the merge before it.

    =====  =========  =========  ============
    named  embed_dim  num_heads  merge_counts
    =====  =========  =========  ============
    Ti     192        3          64, 64
    S      384        6          64, 32
    =====  =========  =========  ============

    Args:
        image_size: pixels of a side, or (H, W): multiples of 8p. Only the size whose tables of
            positions are kept: others work too, and compute theirs in each call.
        patch_size: p, of the finest scale.
        embed_dim: D, a multiple of 4.
        num_heads: heads of the attention; divides D.
        depth: number of blocks.
        merge_counts: K of each merge.
        merge_layers: before which block each merge is, counted from 1.
        mlp_ratio: hidden width of the blocks' MLPs over D: one number, or one for each of the
            ranges of blocks that the merges bound.
        in_channels: c.
        drop_rate: of the dropouts after the embedding, the attention and in the MLPs.
        attn_drop_rate: of the dropout on the attention weights.
        drop_path_rate: of stochastic depth in the last block; it grows linearly from 0 in the first.
        merge_bias: False omits the last bias of the merges, which has no effect.
        out_indices: the blocks whose class token is returned, counted from 0; the last by default, which
            alone is normalised.
        frozen_stages: -1 trains everything; 0 freezes the embedding and the class token; n those and
            the first n blocks; ``depth`` everything.
        norm_eval: accepted for the common contract; there is no batch norm.
        with_cp: recompute the blocks in the backward pass to save memory.
        init_cfg: mmengine initialisation, usually ``dict(type='Pretrained', checkpoint=...)``.

    Raises:
        UserError: for sizes that do not divide, or merges that do not fit the depth.
    """

    def __init__(
        self,
        image_size: int | Sequence[int] = 32,
        patch_size: int = 2,
        embed_dim: int = 192,
        num_heads: int = 3,
        depth: int = 12,
        merge_counts: Sequence[int] = (64, 64),
        merge_layers: Sequence[int] = (6, 10),
        mlp_ratio: float | Sequence[float] = 4.0,
        in_channels: int = 3,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        merge_bias: bool = True,
        out_indices: Sequence[int] | None = None,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ):
        merge_counts, merge_layers = tuple(merge_counts), tuple(merge_layers)
        num_ranges = len(merge_layers) + 1
        mlp_ratios = (mlp_ratio,) * num_ranges if isinstance(mlp_ratio, (int, float)) else tuple(mlp_ratio)
        self._check(embed_dim, num_heads, depth, merge_counts, merge_layers, mlp_ratios)
        out_indices = (depth - 1,) if out_indices is None else out_indices
        super().__init__(depth, out_indices, frozen_stages, norm_eval, with_cp, init_cfg)
        self.embed_dim = embed_dim
        self.patch_size = patch_size
        # Which merge comes before a block, both counted from 0.
        self.merge_before = {layer - 1: index for index, layer in enumerate(merge_layers)}

        height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.regions = self._count_regions(height, width, 'image_size')
        self.cls_token = nn.Parameter(torch.empty(1, 1, embed_dim))
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        for scale, suffix in _SCALES.items():
            embed = _PatchEmbed if scale < 4 else _FactorisedPatchEmbed
            self.add_module(f'patch_embed{suffix}', embed(in_channels, embed_dim, scale * patch_size))
            self.register_buffer(f'pos_embed{suffix}', None, persistent=False)
        self._make_tables(self.cls_token)
        # A model that was built on the meta device has no tables until it gets its weights.
        self.register_load_state_dict_post_hook(_restore_tables)
        self.drop = nn.Dropout(drop_rate)

        self.blocks = nn.ModuleList()
        for index in range(depth):
            ratio = mlp_ratios[sum(index >= layer - 1 for layer in merge_layers)]
            drop_path = drop_path_rate * index / max(depth - 1, 1)
            block = _Block(embed_dim, num_heads, int(embed_dim * ratio), drop_rate, attn_drop_rate, drop_path)
            self.blocks.append(block)
        self.merges = nn.ModuleList(RegionMerge(embed_dim, count, merge_bias) for count in merge_counts)
        self.norm = nn.LayerNorm(embed_dim)
        self.apply(_init_linear)
        self._declare_outputs([embed_dim] * depth, [_REGION * patch_size] * depth)
        self.out_strides = ()

    @staticmethod
    def _check(embed_dim, num_heads, depth, merge_counts, merge_layers, mlp_ratios) -> None:
        if embed_dim % 4:
            raise UserError(
                'DEMSViT: embed_dim must be a multiple of 4 (positions are a sine and a cosine of row and '
                f'column), got {embed_dim}.'
            )
        if num_heads < 1 or embed_dim % num_heads:
            raise UserError(
                f'DEMSViT: num_heads must divide embed_dim={embed_dim}, got num_heads={num_heads}.'
            )
        if len(merge_counts) != len(merge_layers):
            raise UserError(
                f'DEMSViT: one of merge_counts for each of merge_layers is expected, got {merge_counts} and '
                f'{merge_layers}.'
            )
        if merge_layers != tuple(layer for layer in range(1, depth + 1) if layer in merge_layers):
            raise UserError(
                f'DEMSViT: merge_layers must be increasing numbers of blocks, 1 to {depth}, got '
                f'{merge_layers}.'
            )
        if any(count < 1 for count in merge_counts):
            raise UserError(f'DEMSViT: merge_counts must be positive, got {merge_counts}.')
        if len(mlp_ratios) != len(merge_layers) + 1:
            raise UserError(
                f'DEMSViT: mlp_ratio must be one number, or {len(merge_layers) + 1}, one for each range of '
                f'blocks that the merges bound, got {mlp_ratios}.'
            )

    def _count_regions(self, height: int, width: int, what: str) -> tuple[int, int]:
        """Rows and columns of regions; a remainder would be tokens that no region has."""
        if self.patch_size < 1:
            raise UserError(f'DEMSViT: patch_size must be positive, got {self.patch_size}.')
        side = _REGION * self.patch_size
        if height % side or width % side:
            nearest = f'{-(-height // side) * side} x {-(-width // side) * side}'
            raise UserError(
                f'DEMSViT: height and width of {what} must be multiples of {side} (8 x patch_size), got '
                f'{height} x {width}. Resize or pad the images, for example to {nearest}.'
            )
        return height // side, width // side

    def _make_tables(self, like: Tensor) -> None:
        """The positions of each scale for ``image_size``, of the type and on the device of ``like``."""
        for scale, suffix in _SCALES.items():
            rows, columns = (count * _REGION // scale for count in self.regions)
            table = sine_cosine_positions(rows, columns, self.embed_dim, like.device)[None]
            setattr(self, f'pos_embed{suffix}', table.to(like.dtype))

    def _stem_and_stages(self):
        stem = [self.cls_token, *(getattr(self, f'patch_embed{suffix}') for suffix in _SCALES.values())]
        stages = [[block] for block in self.blocks]
        for block, merge in self.merge_before.items():
            stages[block].append(self.merges[merge])
        stages[-1].append(self.norm)
        return [stem, *stages]

    def _embed(self, x: Tensor, scale: int, regions: tuple[int, int]) -> Tensor:
        """Tokens of one patch size, by region: (B, c, H, W) -> (B, R, (8/scale)^2, D)."""
        suffix, side = _SCALES[scale], _REGION // scale
        rows, columns = regions
        table = getattr(self, f'pos_embed{suffix}')
        if regions != self.regions:
            table = sine_cosine_positions(rows * side, columns * side, self.embed_dim, table.device).to(table)
        return by_cell(getattr(self, f'patch_embed{suffix}')(x) + table, rows, columns, side, side)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(B, c, H, W) -> (B, D) for each of ``out_indices``."""
        regions = self._count_regions(*x.shape[-2:], 'the image')
        num_regions = regions[0] * regions[1]
        cls_token = self.cls_token.expand(x.shape[0], -1, -1)
        tokens = torch.cat([self._embed(x, scale, regions) for scale in _SCALES], 2)  # (B, R, 85, D)
        x = self.drop(torch.cat([cls_token, tokens.flatten(1, 2)], 1))  # (B, 1 + 85 R, D)
        outs = []
        for index, block in enumerate(self.blocks):
            if index in self.merge_before:
                cls_token, tokens = x.tensor_split((1,), dim=1)
                tokens = tokens.unflatten(1, (num_regions, -1))  # (B, R, T, D)
                tokens = run_block(self.merges[self.merge_before[index]], tokens, self.with_cp)
                x = torch.cat([cls_token, tokens.flatten(1, 2)], 1)  # (B, 1 + K R, D)
            x = run_block(block, x, self.with_cp)
            if index in self.out_indices:
                outs.append((self.norm(x) if index == len(self.blocks) - 1 else x)[:, 0])
        return tuple(outs)
