"""Attention modules: ``in_channels`` first, output shape = input shape (at stride 1)."""

from .multi_scale import MultiScaleAttention
from .squeeze_excite import SqueezeExcite

__all__ = ['MultiScaleAttention', 'SqueezeExcite']
