"""Models: torch, mmengine and mmcv only, neither MMPretrain nor MMDetection."""

from .attention import (
    CBAM,
    EfficientChannelAttention,
    FrequencyChannelAttention,
    LightweightMixedDomainAttention,
    MultiScaleAttention,
    PyramidSplitAttention,
    ShuffleAttention,
    SqueezeExcite,
)
from .backbones import (
    AttentionMobileNetV2,
    AttentionResNet,
    Backbone,
    CIFARMobileNet,
    CIFARMobileNetV2,
    DEMSViT,
    DEMSViTPyramid,
    DiffViT,
    EMANet,
    MDMobileNet,
    MDMobileNetV2,
    MDNet,
)
from .classifier import Classifier
from .heads import BoxLinearWithBackground, MaxPoolRoIExtractor, StageHead
from .layers import MDNetBlock, SoftBAN
from .losses import UnnormalizedLabelSmoothLoss
from .named import (
    backbone_config,
    classifier_config,
    create_backbone,
    create_model,
    find_model,
    list_models,
)
from .necks import GlobalPool, MLPLogits, SimplePyramid

__all__ = [
    'CBAM',
    'AttentionMobileNetV2',
    'AttentionResNet',
    'Backbone',
    'BoxLinearWithBackground',
    'CIFARMobileNet',
    'CIFARMobileNetV2',
    'Classifier',
    'DEMSViT',
    'DEMSViTPyramid',
    'DiffViT',
    'EMANet',
    'EfficientChannelAttention',
    'FrequencyChannelAttention',
    'GlobalPool',
    'LightweightMixedDomainAttention',
    'MDMobileNet',
    'MDMobileNetV2',
    'MDNet',
    'MDNetBlock',
    'MLPLogits',
    'MaxPoolRoIExtractor',
    'MultiScaleAttention',
    'PyramidSplitAttention',
    'ShuffleAttention',
    'SimplePyramid',
    'SoftBAN',
    'SqueezeExcite',
    'StageHead',
    'UnnormalizedLabelSmoothLoss',
    'backbone_config',
    'classifier_config',
    'create_backbone',
    'create_model',
    'find_model',
    'list_models',
]
