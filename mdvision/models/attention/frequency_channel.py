"""Frequency channel attention (FcaNet).

Paper: FcaNet: Frequency Channel Attention Networks, https://arxiv.org/abs/2012.11879

Shapes: B batch, C channels in 16 equal parts, H x W feature map, D x D grid of the transform.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mdvision.errors import UserError
from mdvision.registry import MODELS

__all__ = ['FrequencyChannelAttention', 'dct_filters']

# The authors' 16 strongest frequencies, as indices on a 7 x 7 grid.
_ROW_FREQUENCIES = (0, 0, 6, 0, 0, 1, 1, 4, 5, 1, 3, 0, 0, 0, 3, 2)
_COLUMN_FREQUENCIES = (0, 1, 0, 5, 2, 0, 2, 0, 0, 6, 0, 4, 6, 3, 5, 2)
_PARTS = len(_ROW_FREQUENCIES)


def _cosines(frequencies: Tensor, size: int, dtype: torch.dtype) -> Tensor:
    """Orthonormal cosines (16, size); index f of the 7-point grid becomes ``floor(f * size / 7)``.

    ``cos(pi u (i + 1/2) / size) / sqrt(size)``, times sqrt(2) where u > 0.
    """
    u = (frequencies * size // 7)[:, None]
    positions = torch.arange(size, device=frequencies.device, dtype=dtype) + 0.5
    scale = torch.where(u > 0, math.sqrt(2), 1.0).to(dtype) / size**0.5
    return (u * positions * (math.pi / size)).cos() * scale


def _through_pooling(cosines: Tensor, size: int) -> Tensor:
    """Cosines of D grid cells (16, D) as weights of ``size`` positions (16, size).

    Average pooling to the grid and then weighting the cells is linear in the feature map, so the
    weights can be pulled back through the pooling. No pooled feature map is created: on CIFAR it
    would be three times the size of the original.
    """
    eye = torch.eye(size, device=cosines.device, dtype=cosines.dtype)
    pooling = F.adaptive_avg_pool1d(eye, cosines.shape[1])  # (size, D): share of a position in each cell
    return (cosines[:, None, :] * pooling).sum(-1)


def _part_channels(channels: int) -> int:
    if channels < _PARTS or channels % _PARTS:
        raise UserError(
            f'FrequencyChannelAttention: in_channels must be divisible by its {_PARTS} frequencies, '
            f'got {channels}. Use {max(1, -(-channels // _PARTS)) * _PARTS}.'
        )
    return channels // _PARTS


def dct_filters(channels: int, grid: int) -> Tensor:
    """The table (C, D, D) that the authors store as ``dct_layer.weight``, in float32."""
    rows = _cosines(torch.tensor(_ROW_FREQUENCIES), grid, torch.float64)
    columns = _cosines(torch.tensor(_COLUMN_FREQUENCIES), grid, torch.float64)
    filters = (rows[:, :, None] * columns[:, None, :]).float()
    return filters.repeat_interleave(_part_channels(channels), dim=0)


def _make_tables(module: 'FrequencyChannelAttention', _unmatched: object = None) -> None:
    """The cosines of each axis, (16, D), or their frequencies (16,), on the device of the weights."""
    weight = module.fc[0].weight
    for name, frequencies in (('rows', _ROW_FREQUENCIES), ('columns', _COLUMN_FREQUENCIES)):
        table = torch.tensor(frequencies, device=weight.device)
        if module.grid is not None:
            table = _cosines(table, module.grid, torch.float64).float().to(weight.dtype)
        setattr(module, name, table)


@MODELS.register_module()
class FrequencyChannelAttention(nn.Module):
    """Squeeze-and-excitation whose squeeze is a cosine transform: ``y = x * sigmoid(W2 relu(W1 q))``.

    ``q[c] = sum_ij pooled[c,i,j] * f_u(i) * f_v(j)``, where ``pooled`` is the feature map average-pooled
    to D x D (a smaller one is enlarged by repeating cells) and
    ``f_u(i) = cos(pi u (i + 1/2) / D) / sqrt(D)``, times sqrt(2) where u > 0. Each sixteenth of the
    channels has its own frequencies (u, v). The linear layers have no bias.

    Args:
        in_channels: C, a multiple of 16.
        grid: D. The authors use 56, 28, 14, 7 in the stages of a ResNet, the feature map sizes of a
            224-pixel image. ``None`` is the corrected form for any other size: the transform of
            the H x W feature map itself, at the frequencies ``floor(u * H / 7), floor(v * W / 7)`` of
            the 7 x 7 grid, without pooling.
        reduction: the hidden layer has C / reduction units, at least one.

    Raises:
        UserError: if the channels are not divisible by 16, or the reduction leaves no hidden unit.
    """

    def __init__(self, in_channels: int, grid: int | None = 7, reduction: int = 16):
        super().__init__()
        _part_channels(in_channels)
        if not 1 <= reduction <= in_channels:
            raise UserError(
                f'FrequencyChannelAttention: in_channels={in_channels} leaves no hidden unit at '
                f'reduction={reduction}. Use reduction={in_channels} or less, at least 1.'
            )
        if grid is not None and grid < 1:
            raise UserError(
                f'FrequencyChannelAttention: grid must be a positive number of cells, or None for no '
                f'pooling, got {grid}. Use 7.'
            )
        self.grid = grid
        # Not in the state dict: the tables are determined by the arguments.
        self.register_buffer('rows', None, persistent=False)
        self.register_buffer('columns', None, persistent=False)
        self.fc = nn.Sequential(
            nn.Linear(in_channels, in_channels // reduction, bias=False),
            nn.ReLU(),
            nn.Linear(in_channels // reduction, in_channels, bias=False),
            nn.Sigmoid(),
        )
        _make_tables(self)
        # A model that was built on the meta device has no tables until it gets its weights.
        self.register_load_state_dict_post_hook(_make_tables)

    def _weights(self, table: Tensor, size: int, dtype: torch.dtype) -> Tensor:
        """Return the weight of each of ``size`` positions along an axis in the transform, (16, size)."""
        if self.grid is None:
            return _cosines(table, size, dtype)
        return _through_pooling(table.to(dtype), size)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        dtype = torch.promote_types(x.dtype, torch.float32)
        rows = self._weights(self.rows, x.shape[2], dtype)
        columns = self._weights(self.columns, x.shape[3], dtype)
        filters = (rows[:, :, None] * columns[:, None, :]).to(x.dtype)  # (16, H, W)
        parts = x.unflatten(1, (_PARTS, -1))  # (B, 16, C/16, H, W)
        # A product and a sum: einsum would copy the feature map into another layout first.
        q = (parts * filters[:, None]).sum((3, 4)).flatten(1)  # (B, C)
        return x * self.fc(q)[:, :, None, None]

    def transform_macs(self, x: Tensor) -> int:
        """Return the multiply-adds of the transform, for counting: one per element of the feature map."""
        return x.numel()

    def extra_repr(self) -> str:
        return f'grid={self.grid}'
