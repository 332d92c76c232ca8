"""A small ViT with self-attention or differential attention, for digits and other tiny images.

Code of the authors: eithannak29/NanoDiffVision. Submodule names are theirs.

Shapes: B batch, c image channels, H x W image, p patch, D width, N = (H/p)(W/p) tokens of the image.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mdvision.errors import UserError, did_you_mean
from mdvision.registry import MODELS

from ..layers import GELUMLP, DifferentialAttention, LegacyDifferentialAttention, SelfAttention
from .base import Backbone, run_block

__all__ = ['DiffViT']

# name: (class, which of the arguments it takes)
_ATTENTIONS = {
    'self': (SelfAttention, ('key_bias',)),
    'differential': (DifferentialAttention, ('layer_index', 'head_norm', 'lambda_per_head')),
    'legacy': (LegacyDifferentialAttention, ('layer_index', 'head_norm', 'key_bias')),
}
_OUT_TYPES = ('cls_token', 'featmap')


def _build_attention(name: str, embed_dim: int, num_heads: int, **arguments) -> nn.Module:
    attention, accepted = _ATTENTIONS[name]
    for option in ('head_norm', 'lambda_per_head'):
        if arguments[option] and option not in accepted:
            having = [repr(other) for other, (_, options) in _ATTENTIONS.items() if option in options]
            raise UserError(
                f'DiffViT: attention={name!r} has no {option}, got {option}=True. It belongs to '
                f'attention={" or ".join(having)}.'
            )
    return attention(embed_dim, num_heads, **{option: arguments[option] for option in accepted})


class _PatchEmbeddings(nn.Module):
    """``LN(conv(x))``, one token per patch: (B, c, H, W) -> (B, N, D), row by row."""

    def __init__(self, in_channels: int, embed_dim: int, patch_size: int):
        super().__init__()
        self.projection = nn.Conv2d(in_channels, embed_dim, patch_size, patch_size)
        self.norm = nn.LayerNorm(embed_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.projection(x).flatten(2).transpose(1, 2))


class _Block(nn.Module):
    """``x = x + attention(LN(x))``, then ``x + MLP(LN(x))``."""

    def __init__(self, attention: nn.Module, ffn: nn.Module, embed_dim: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(embed_dim)
        self.attention = attention
        self.norm2 = nn.LayerNorm(embed_dim)
        self.ffn = ffn

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.ffn(self.norm2(x))


@MODELS.register_module()
class DiffViT(Backbone):
    """ViT with a class token, learned positions and no norm at the end; a stage is a block.

    The defaults are the authors' network of the 38.1 K result, except for its ``attention='legacy'``.
    Classify with :class:`MLPLogits`. The arguments from ``layer_index_start`` to
    ``mlp_activation_out`` undo peculiarities of the authors' code that their checkpoints need.

    Args:
        attention: ``'self'``, ``'differential'`` (:class:`DifferentialAttention`) or ``'legacy'``
            (:class:`LegacyDifferentialAttention`).
        image_size: pixels per side, or (H, W): determines the number of tokens with learned positions.
        patch_size: p.
        in_channels: c.
        embed_dim: D.
        hidden_dim: hidden width of the blocks' MLPs.
        depth: number of blocks.
        num_heads: heads of the attention; divides D.
        drop_rate: of the dropouts in the blocks' MLPs.
        layer_index_start: index of the first block in ``l0(i) = 0.8 - 0.6 exp(-0.3 (i - 1))``; 1 is
            the paper's (0.2 in the first block instead of -0.01).
        head_norm: an RMS norm of each head and the factor 1 - l0 before the output projection, as
            in the paper, instead of the layer norm after it or, in ``'legacy'``, the group norm.
        lambda_per_head: a lambda for each head; only for ``'differential'``, ``'legacy'`` has it.
        key_bias: False omits the bias of the keys, which has no effect; ``'differential'`` has none.
        unused_norm: False omits the layer norm in each MLP that is never applied; it is frozen.
        mlp_activation_out: False omits the GELU after the second linear layer of the blocks' MLPs.
        out_type: ``'cls_token'`` returns (B, D) per stage, ``out_strides`` is empty, and the image size
            must be a multiple of the patch size; ``'featmap'`` drops the class token and returns
            feature maps (B, D, H/p, W/p), where images of any size are zero-padded on the right and
            bottom. In both, for any size other than ``image_size``, the positions are resized (bicubic).
        out_indices: the blocks to return, counted from 0; the last by default.
        frozen_stages: -1 trains everything; 0 freezes the embedding; n that and the first n blocks.
        norm_eval: accepted for the common contract; there is no batch norm.
        with_cp: recompute the blocks in the backward pass to save memory.
        init_cfg: mmengine initialization, usually ``dict(type='Pretrained', checkpoint=...)``.

    Raises:
        UserError: if sizes are not divisible, or an attention, output or option does not exist.
    """

    def __init__(
        self,
        attention: str = 'differential',
        image_size: int | Sequence[int] = 28,
        patch_size: int = 7,
        in_channels: int = 1,
        embed_dim: int = 32,
        hidden_dim: int = 128,
        depth: int = 2,
        num_heads: int = 2,
        drop_rate: float = 0.1,
        layer_index_start: int = 0,
        head_norm: bool = False,
        lambda_per_head: bool = False,
        key_bias: bool = True,
        unused_norm: bool = True,
        mlp_activation_out: bool = True,
        out_type: str = 'cls_token',
        out_indices: Sequence[int] | None = None,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ):
        self._check(attention, out_type, patch_size)
        if out_indices is None:
            out_indices = (depth - 1,)
        super().__init__(depth, out_indices, frozen_stages, norm_eval, with_cp, init_cfg)
        height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.patch_size = patch_size
        self._check_multiple(height, width, 'image_size', 'Use another patch_size or image_size.')
        self.grid = (height // patch_size, width // patch_size)
        self.out_type = out_type

        self.cls_token = nn.Parameter(torch.randn(1, 1, embed_dim))
        self.positional_embeddings = nn.Parameter(torch.randn(1, self.grid[0] * self.grid[1] + 1, embed_dim))
        self.patch_embeddings = _PatchEmbeddings(in_channels, embed_dim, patch_size)
        attention_options = dict(head_norm=head_norm, lambda_per_head=lambda_per_head, key_bias=key_bias)
        mlp_options = dict(drop_rate=drop_rate, activation_out=mlp_activation_out, unused_norm=unused_norm)
        self.transformer_encoder = nn.ModuleList(
            _Block(
                _build_attention(
                    attention,
                    embed_dim,
                    num_heads,
                    layer_index=index + layer_index_start,
                    **attention_options,
                ),
                GELUMLP(embed_dim, hidden_dim, **mlp_options),
                embed_dim,
            )
            for index in range(depth)
        )
        strides = None if out_type == 'cls_token' else [patch_size] * depth
        self._declare_outputs([embed_dim] * depth, strides)

    @staticmethod
    def _check(attention, out_type, patch_size) -> None:
        for name, value, known in (
            ('attention', attention, tuple(_ATTENTIONS)),
            ('out_type', out_type, _OUT_TYPES),
        ):
            if value not in known:
                raise UserError(
                    f'DiffViT: {name} must be one of {", ".join(known)}, got {value!r}.'
                    + did_you_mean(str(value), known)
                )
        if patch_size < 1:
            raise UserError(f'DiffViT: patch_size must be positive, got {patch_size}.')

    def _check_multiple(self, height: int, width: int, what: str, hint: str) -> None:
        if height % self.patch_size or width % self.patch_size:
            raise UserError(
                f'DiffViT: {what} must be a multiple of patch_size={self.patch_size}, got {height} x '
                f'{width}. {hint}'
            )

    def _stem_and_stages(self):
        stem = [self.cls_token, self.positional_embeddings, self.patch_embeddings]
        return [stem, *([block] for block in self.transformer_encoder)]

    def _positions(self, grid: tuple[int, int]) -> Tensor:
        """Return (1, 1 + N, D): the learned table, resized if the image has another grid of patches."""
        if grid == self.grid:
            return self.positional_embeddings
        of_class, of_patches = self.positional_embeddings.tensor_split((1,), dim=1)
        of_patches = of_patches.transpose(1, 2).unflatten(2, self.grid)  # (1, D, H0/p, W0/p)
        of_patches = F.interpolate(of_patches, grid, mode='bicubic', align_corners=False)
        return torch.cat([of_class, of_patches.flatten(2).transpose(1, 2)], 1)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(B, c, H, W) -> for each of ``out_indices`` (B, D), or (B, D, H/p, W/p) with 'featmap'."""
        height, width = x.shape[-2:]
        if self.out_type == 'cls_token':
            hint = "Resize or pad the images; with out_type='featmap' the network pads them."
            self._check_multiple(height, width, 'the image', hint)
        elif height % self.patch_size or width % self.patch_size:
            x = F.pad(x, (0, -width % self.patch_size, 0, -height % self.patch_size))
        grid = (x.shape[-2] // self.patch_size, x.shape[-1] // self.patch_size)

        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), self.patch_embeddings(x)], 1)
        x = x + self._positions(grid)  # (B, 1 + N, D)
        outs = []
        for index, block in enumerate(self.transformer_encoder):
            x = run_block(block, x, self.with_cp)
            if index in self.out_indices:
                outs.append(self._output(x, grid))
        return tuple(outs)

    def _output(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        if self.out_type == 'cls_token':
            return x[:, 0]
        return x[:, 1:].transpose(1, 2).unflatten(2, grid)  # (B, D, H/p, W/p)
