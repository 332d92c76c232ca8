"""What detection heads need and the hosts lack."""

from .c4 import BoxLinearWithBackground, MaxPoolRoIExtractor, StageHead

__all__ = ['BoxLinearWithBackground', 'MaxPoolRoIExtractor', 'StageHead']
