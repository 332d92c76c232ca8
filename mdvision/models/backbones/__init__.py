"""Backbones: a tuple of maps out, ``out_channels`` and ``out_strides`` declared, no task head."""

from .emanet import EMANet
from .resnet import AttentionResNet

__all__ = ['AttentionResNet', 'EMANet']
