"""Parts of detection heads that the upstream libraries lack."""

from .c4 import BoxLinearWithBackground, MaxPoolRoIExtractor, StageHead

__all__ = ['BoxLinearWithBackground', 'MaxPoolRoIExtractor', 'StageHead']
