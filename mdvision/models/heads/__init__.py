"""What detection heads need and the hosts lack."""

from .c4 import BoxLinearWithBackground, StageHead

__all__ = ['BoxLinearWithBackground', 'StageHead']
