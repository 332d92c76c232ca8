"""DEMS-ViT: tokens of four patch sizes, ordered by region, and merged region by region.

Code of the authors: visresearch/dems. Most submodule names are theirs.

Shapes: B batch, c image channels, H x W image, p patch, D width, R = (H/8p)(W/8p) regions, T tokens of
a region: 64 + 16 + 4 + 1 = 85 at the start, K after a merge.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mdvision.errors import UserError
from mdvision.registry import MODELS

from ..layers.dems_block import (
    REGION,
    SCALES,
    DEMSBlock,
    by_cell,
    check_width,
    init_linear_,
    patch_embeds,
    sine_cosine_positions,
)
from .base import Backbone, run_block

__all__ = ['DEMSViT', 'RegionMerge']


class RegionMerge(nn.Module):
    """Merge T tokens per region into K: ``Y = softmax_T(scale * h)^T X``, (B, R, T, D) -> (B, R, K, D).

    ``h = W3 GELU(W2 GELU(W1 LN(X) + b1) + b2) + b3`` with widths D -> 2D -> D/2 -> K. The softmax
    is over the tokens of a region, so each of the K is a convex combination of them, in any order.

    Args:
        in_channels: D.
        num_tokens: K.
        bias: whether there is a b3. The softmax cancels it, so it has no effect and gets no gradient,
            but checkpoints contain it.
    """

    def __init__(self, in_channels: int, num_tokens: int, bias: bool = True):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, 1, 1, 1))
        self.norm = nn.LayerNorm(in_channels)
        self.fc1 = nn.Linear(in_channels, 2 * in_channels)
        self.fc2 = nn.Linear(2 * in_channels, in_channels // 2)
        self.fc3 = nn.Linear(in_channels // 2, num_tokens, bias=bias)

    def weights(self, x: Tensor) -> Tensor:
        """(B, R, T, D) -> (B, R, T, K): the weight of each token in each of the K sums."""
        x = F.gelu(self.fc1(self.norm(x)))
        x = self.fc3(F.gelu(self.fc2(x)))
        return (self.scale * x).softmax(dim=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.weights(x).transpose(2, 3) @ x


def _restore_tables(model: 'DEMSViT', _unmatched: object) -> None:
    model._make_tables(model.cls_token)


@MODELS.register_module()
class DEMSViT(Backbone):
    """Multi-scale ViT with regional merging; the output is the class token after the last norm.

    The image is cut into patches of p, 2p, 4p and 8p pixels. All tokens of an 8p x 8p region are
    contiguous; before each of the blocks ``merge_layers`` a :class:`RegionMerge` turns the tokens of
    each region into K. The class token is not merged and has no position.

    The output is a tuple of class tokens (B, D). There are no feature maps: the merges dissolve the
    grid, so ``out_strides`` is empty. A stage is a block, together with the merge before it.

    =====  =========  =========  ============
    named  embed_dim  num_heads  merge_counts
    =====  =========  =========  ============
    Ti     192        3          64, 64
    S      384        6          64, 32
    =====  =========  =========  ============

    Args:
        image_size: pixels per side, or (H, W): multiples of 8p. Position tables are stored for this
            size only; other sizes work too, and compute theirs in each call.
        patch_size: p, the patch size of the finest scale.
        embed_dim: D, a multiple of 4.
        num_heads: heads of the attention; divides D.
        depth: number of blocks.
        merge_counts: K of each merge.
        merge_layers: the block before which each merge is placed, counted from 1.
        mlp_ratio: hidden width of the blocks' MLPs over D: one number, or one for each range of
            blocks between merges.
        in_channels: c.
        drop_rate: of the dropouts after the embedding, the attention and in the MLPs.
        attn_drop_rate: of the dropout on the attention weights.
        drop_path_rate: of stochastic depth in the last block; it grows linearly from 0 in the first.
        merge_bias: False omits the last bias of the merges, which has no effect.
        out_indices: the blocks whose class token is returned, counted from 0; the last by default, which
            alone is normalized.
        frozen_stages: -1 trains everything; 0 freezes the embedding and the class token; n those and
            the first n blocks; ``depth`` everything.
        norm_eval: accepted for the common contract; there is no batch norm.
        with_cp: recompute the blocks in the backward pass to save memory.
        init_cfg: mmengine initialization, usually ``dict(type='Pretrained', checkpoint=...)``.

    Raises:
        UserError: if sizes are not divisible, or merges do not fit the depth.
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
        for name, embed in patch_embeds(in_channels, embed_dim, patch_size).items():
            self.add_module(name, embed)
        for suffix in SCALES.values():
            self.register_buffer(f'pos_embed{suffix}', None, persistent=False)
        self._make_tables(self.cls_token)
        # A model that was built on the meta device has no tables until it gets its weights.
        self.register_load_state_dict_post_hook(_restore_tables)
        self.drop = nn.Dropout(drop_rate)

        self.blocks = nn.ModuleList()
        for index in range(depth):
            ratio = mlp_ratios[sum(index >= layer - 1 for layer in merge_layers)]
            drop_path = drop_path_rate * index / max(depth - 1, 1)
            block = DEMSBlock(
                embed_dim, num_heads, int(embed_dim * ratio), drop_rate, attn_drop_rate, drop_path
            )
            self.blocks.append(block)
        self.merges = nn.ModuleList(RegionMerge(embed_dim, count, merge_bias) for count in merge_counts)
        self.norm = nn.LayerNorm(embed_dim)
        self.apply(init_linear_)
        self._declare_outputs([embed_dim] * depth)  # tokens: no strides

    @staticmethod
    def _check(embed_dim, num_heads, depth, merge_counts, merge_layers, mlp_ratios) -> None:
        check_width('DEMSViT', embed_dim, num_heads)
        if len(merge_counts) != len(merge_layers):
            raise UserError(
                f'DEMSViT: expected one of merge_counts for each of merge_layers, got {merge_counts} and '
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
                f'blocks between merges, got {mlp_ratios}.'
            )

    def _count_regions(self, height: int, width: int, what: str) -> tuple[int, int]:
        """Return the rows and columns of regions; a remainder would leave tokens outside all regions."""
        if self.patch_size < 1:
            raise UserError(f'DEMSViT: patch_size must be positive, got {self.patch_size}.')
        side = REGION * self.patch_size
        if height % side or width % side:
            nearest = f'{-(-height // side) * side} x {-(-width // side) * side}'
            raise UserError(
                f'DEMSViT: height and width of {what} must be multiples of {side} (8 x patch_size), got '
                f'{height} x {width}. Resize or pad the images, for example to {nearest}.'
            )
        return height // side, width // side

    def _make_tables(self, like: Tensor) -> None:
        """Return the positions of each scale for ``image_size``, with the type and device of ``like``."""
        for scale, suffix in SCALES.items():
            rows, columns = (count * REGION // scale for count in self.regions)
            table = sine_cosine_positions(rows, columns, self.embed_dim, like.device)[None]
            setattr(self, f'pos_embed{suffix}', table.to(like.dtype))

    def _stem_and_stages(self):
        stem = [self.cls_token, *(getattr(self, f'patch_embed{suffix}') for suffix in SCALES.values())]
        stages = [[block] for block in self.blocks]
        for block, merge in self.merge_before.items():
            stages[block].append(self.merges[merge])
        stages[-1].append(self.norm)
        return [stem, *stages]

    def _embed(self, x: Tensor, scale: int, regions: tuple[int, int]) -> Tensor:
        """Tokens of one patch size, by region: (B, c, H, W) -> (B, R, (8/scale)^2, D)."""
        suffix, side = SCALES[scale], REGION // scale
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
        tokens = torch.cat([self._embed(x, scale, regions) for scale in SCALES], 2)  # (B, R, 85, D)
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
