"""DEMS-ViT for detection: its four patch sizes as four feature maps, with attention in windows of regions.

The network is DEMS-ViT before its first merge. The windows, the padding and the norms of the feature maps
are mdvision's: the authors have no detector.

Shapes: B batch, c image channels, H x W image, p patch, D width, h heads, W windows of a x b regions, each
with T = 85 a b tokens, of which r = a b belong to the largest patches; N = W T.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mdvision.errors import UserError
from mdvision.registry import MODELS

from ..layers.dems_block import (
    REGION,
    SCALES,
    DEMSAttention,
    DEMSBlock,
    by_cell,
    check_width,
    init_linear_,
    patch_embeds,
    sine_cosine_positions,
)
from .base import Backbone, run_block

__all__ = ['DEMSViTPyramid']

_REGION_TOKENS = sum((REGION // scale) ** 2 for scale in SCALES)  # 85


class _WindowAttention(DEMSAttention):
    """DEMS-ViT's attention in windows, with the coarsest tokens attending to the whole image.

    A token attends to the class token and to the tokens of its window. The class token and the tokens
    of the largest patches, one per region, attend to everything: this costs 1/85 of full attention and
    brings information from outside into each window. A single window is full attention.
    """

    def forward(self, x: Tensor, windows: int = 1) -> Tensor:
        """(B, 1 + N, D), ordered by window with the coarsest tokens first in each -> (B, 1 + N, D)."""
        if windows == 1:
            return super().forward(x)
        qkv = self.qkv(x).unflatten(2, (3, self.num_heads, -1))
        of_class, tokens = qkv.tensor_split((1,), dim=1)
        tokens = tokens.unflatten(1, (windows, -1))  # (B, W, T, 3, h, D / h)
        regions = tokens.shape[2] // _REGION_TOKENS
        coarse, fine = tokens[:, :, :, 0].tensor_split((regions,), dim=2)

        query = torch.cat([of_class[:, :, 0], coarse.flatten(1, 2)], 1)
        wide = self.attend(query, qkv[:, :, 1], qkv[:, :, 2])  # (B, 1 + W r, h, D / h)

        key_value = [part[:, :, :, 1:] for part in (of_class[:, None].expand(-1, windows, *[-1] * 4), tokens)]
        key, value = torch.cat(key_value, 2).flatten(0, 1).unbind(2)  # (B W, 1 + T, h, D / h)
        near = self.attend(fine.flatten(0, 1), key, value).unflatten(0, (-1, windows))

        of_class, coarse = wide.tensor_split((1,), dim=1)
        tokens = torch.cat([coarse.unflatten(1, (windows, -1)), near], 2).flatten(1, 2)
        return self.proj_drop(self.proj(torch.cat([of_class, tokens], 1).flatten(2)))


class _WindowBlock(DEMSBlock):
    attention = _WindowAttention


def _split(length: int, largest: int | None) -> tuple[int, int]:
    """Return (windows, regions per window) along a side: the fewest equal windows, with the least padding."""
    windows = -(-length // (largest or length))
    return windows, -(-length // windows)


def _to_map(x: Tensor, rows: int, height: int, columns: int, width: int) -> Tensor:
    """Undo ``by_cell``: (B, W, height * width, D) -> (B, D, rows * height, columns * width)."""
    x = x.unflatten(2, (height, width)).unflatten(1, (rows, columns))
    return x.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)


@MODELS.register_module()
class DEMSViTPyramid(Backbone):
    """DEMS-ViT's tokens as feature maps (B, D, ceil(H/s), ceil(W/s)) of strides s = p, 2p, 4p, 8p.

    The blocks run without merges. Those after the authors' first merge have only seen merged tokens, so
    there are 5 by default. Parameters have the names of :class:`DEMSViT`, and the weights of a classifier
    with the same p and D initialize everything but the new norms of the feature maps::

        init_cfg=dict(type='Pretrained', checkpoint='...', prefix='backbone.')

    Images of any size are zero-padded on the right and bottom to whole regions of 8p x 8p and to whole
    windows; the latter adds fewer regions along a side than there are windows. The padding takes part in
    the attention, as the padding of a batch does, and is cropped from the feature maps. Positions are
    computed for the actual grid, so nothing is resized.

    Attention is within windows of regions; the class token, which is in no feature map, and the token of
    each region's largest patch attend to the whole image and so carry information between windows. For
    time and memory, see docs/architecture.md.

    Args:
        patch_size: p; 4 gives the strides 4 to 32 that detectors expect.
        embed_dim: D, a multiple of 4.
        num_heads: heads of the attention; divides D.
        depth: number of blocks.
        window: the maximum number of regions along a side of a window; None for full attention in all blocks.
        global_blocks: the blocks with full attention, counted from 0; its cost is quadratic in the pixels.
        mlp_ratio: hidden width of the blocks' MLPs over D.
        in_channels: c.
        drop_rate: of the dropouts after the embedding, the attention and in the MLPs.
        attn_drop_rate: of the dropout on the attention weights.
        drop_path_rate: of stochastic depth in the last block; it grows linearly from 0 in the first.
        out_indices: the feature maps to return, 0 for stride p to 3 for stride 8p. Each has a LayerNorm.
        frozen_stages: -1 trains everything; 0 freezes the embedding and the class token; n those and
            the first n blocks; ``depth`` everything.
        norm_eval: accepted for the common contract; there is no batch norm.
        with_cp: recompute the blocks in the backward pass to save memory.
        init_cfg: mmengine initialization, see above.

    Raises:
        UserError: if sizes are not divisible, or blocks, windows or feature maps do not exist.
    """

    def __init__(
        self,
        patch_size: int = 4,
        embed_dim: int = 192,
        num_heads: int = 3,
        depth: int = 5,
        window: int | None = 4,
        global_blocks: Sequence[int] = (),
        mlp_ratio: float = 4.0,
        in_channels: int = 3,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ):
        self._check(patch_size, embed_dim, num_heads, depth, window, global_blocks)
        # Frozen stages are counted by block, outputs by scale.
        super().__init__(
            depth, out_indices, frozen_stages, norm_eval, with_cp, init_cfg, num_outputs=len(SCALES)
        )
        self.embed_dim = embed_dim
        self.patch_size = patch_size
        self.window = window
        self.global_blocks = tuple(global_blocks)

        self.cls_token = nn.Parameter(torch.empty(1, 1, embed_dim))
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        for name, embed in patch_embeds(in_channels, embed_dim, patch_size).items():
            self.add_module(name, embed)
        self.drop = nn.Dropout(drop_rate)
        self.blocks = nn.ModuleList(
            _WindowBlock(
                embed_dim,
                num_heads,
                int(embed_dim * mlp_ratio),
                drop_rate,
                attn_drop_rate,
                drop_path_rate * index / max(depth - 1, 1),
            )
            for index in range(depth)
        )
        self.map_norms = nn.ModuleDict({str(index): nn.LayerNorm(embed_dim) for index in self.out_indices})
        self.apply(init_linear_)
        self._declare_outputs([embed_dim] * len(SCALES), [scale * patch_size for scale in SCALES])

    @staticmethod
    def _check(patch_size, embed_dim, num_heads, depth, window, global_blocks) -> None:
        for name, value in (('patch_size', patch_size), ('depth', depth), ('window', window)):
            if value is not None and value < 1:
                raise UserError(f'DEMSViTPyramid: {name} must be positive, got {value}.')
        check_width('DEMSViTPyramid', embed_dim, num_heads)
        if not set(global_blocks) <= set(range(depth)):
            raise UserError(
                f'DEMSViTPyramid: global_blocks must be blocks 0 to {depth - 1} (depth={depth}), got '
                f'{tuple(global_blocks)}.'
            )

    def _stem_and_stages(self):
        stem = [self.cls_token, *(getattr(self, f'patch_embed{suffix}') for suffix in SCALES.values())]
        stages = [[block] for block in self.blocks]
        stages[-1].append(self.map_norms)
        return [stem, *stages]

    def _embed(self, x: Tensor, scale: int, rows: int, columns: int) -> Tensor:
        """Tokens of one patch size, by window: (B, c, H, W) -> (B, W, tokens, D)."""
        side = scale * self.patch_size
        height, width = x.shape[-2] // side, x.shape[-1] // side
        # In the parameters' dtype, so that the tokens have it under autocast too.
        table = sine_cosine_positions(height, width, self.embed_dim, x.device).to(self.cls_token)
        x = getattr(self, f'patch_embed{SCALES[scale]}')(x) + table
        return by_cell(x, rows, columns, height // rows, width // columns)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(B, c, H, W) -> (B, D, ceil(H/s), ceil(W/s)) for the stride s of each of ``out_indices``."""
        size = x.shape[-2:]
        side = REGION * self.patch_size
        (rows, high), (columns, wide) = (_split(-(-length // side), self.window) for length in size)
        x = F.pad(x, (0, columns * wide * side - size[1], 0, rows * high * side - size[0]))

        # The coarsest first, where the attention looks for them.
        scales = tuple(reversed(SCALES))
        counts = [(REGION // scale) ** 2 * high * wide for scale in scales]
        tokens = torch.cat([self._embed(x, scale, rows, columns) for scale in scales], 2)  # (B, W, T, D)
        cls_token = self.cls_token.expand(x.shape[0], -1, -1)
        x = self.drop(torch.cat([cls_token, tokens.flatten(1, 2)], 1))  # (B, 1 + N, D)
        for index, block in enumerate(self.blocks):
            windows = 1 if index in self.global_blocks else rows * columns
            x = run_block(partial(block, windows=windows), x, self.with_cp)

        of_scales = x[:, 1:].unflatten(1, (rows * columns, -1)).split(counts, dim=2)
        maps = []
        for index in self.out_indices:
            tokens = self.map_norms[str(index)](of_scales[-1 - index])
            side = REGION // 2**index
            feature_map = _to_map(tokens, rows, high * side, columns, wide * side)
            height, width = (-(-length // (2**index * self.patch_size)) for length in size)
            maps.append(feature_map[:, :, :height, :width])
        return tuple(maps)
