"""Models: torch, mmengine and mmcv only, never a host library."""

from .attention import MultiScaleAttention, SqueezeExcite
from .backbones import AttentionResNet, EMANet
from .heads import BoxLinearWithBackground, MaxPoolRoIExtractor, StageHead
from .layers import SoftBAN

__all__ = [
    'AttentionResNet',
    'BoxLinearWithBackground',
    'EMANet',
    'MaxPoolRoIExtractor',
    'MultiScaleAttention',
    'SoftBAN',
    'SqueezeExcite',
    'StageHead',
]
