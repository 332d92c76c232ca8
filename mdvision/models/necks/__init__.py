"""Necks, between a backbone and its head, that the upstream libraries lack."""

from .global_pool import GlobalPool
from .mlp_logits import MLPLogits
from .simple_pyramid import SimplePyramid

__all__ = ['GlobalPool', 'MLPLogits', 'SimplePyramid']
