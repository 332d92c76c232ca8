"""What stands between a backbone and its head, and the hosts lack."""

from .global_pool import GlobalPool
from .mlp_logits import MLPLogits

__all__ = ['GlobalPool', 'MLPLogits']
