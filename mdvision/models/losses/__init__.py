"""Losses that the hosts lack."""

from .label_smooth import UnnormalizedLabelSmoothLoss

__all__ = ['UnnormalizedLabelSmoothLoss']
