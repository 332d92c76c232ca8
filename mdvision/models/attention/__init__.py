"""Attention modules: ``in_channels`` first, output shape = input shape (at stride 1)."""

from .cbam import CBAM
from .efficient_channel import EfficientChannelAttention
from .frequency_channel import FrequencyChannelAttention
from .lightweight_mixed_domain import LightweightMixedDomainAttention
from .multi_scale import MultiScaleAttention
from .pyramid_split import PyramidSplitAttention
from .shuffle import ShuffleAttention
from .squeeze_excite import SqueezeExcite

__all__ = [
    'CBAM',
    'EfficientChannelAttention',
    'FrequencyChannelAttention',
    'LightweightMixedDomainAttention',
    'MultiScaleAttention',
    'PyramidSplitAttention',
    'ShuffleAttention',
    'SqueezeExcite',
]
