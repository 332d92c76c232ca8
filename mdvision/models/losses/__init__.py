"""Losses that the upstream libraries lack."""

from .label_smooth import UnnormalizedLabelSmoothLoss

__all__ = ['UnnormalizedLabelSmoothLoss']
