"""Backbones: they return a tuple, declare ``out_channels`` and ``out_strides``, and have no task head."""

from .base import Backbone
from .dems_vit import DEMSViT
from .dems_vit_pyramid import DEMSViTPyramid
from .diff_vit import DiffViT
from .emanet import EMANet
from .mdnet import CIFARMobileNetV2, MDMobileNetV2, MDNet
from .mobilenet import CIFARMobileNet, MDMobileNet
from .mobilenet_v2 import AttentionMobileNetV2
from .resnet import AttentionResNet

__all__ = [
    'AttentionMobileNetV2',
    'AttentionResNet',
    'Backbone',
    'CIFARMobileNet',
    'CIFARMobileNetV2',
    'DEMSViT',
    'DEMSViTPyramid',
    'DiffViT',
    'EMANet',
    'MDMobileNet',
    'MDMobileNetV2',
    'MDNet',
]
