"""Parts shared by two or more networks."""

from .init import he_out_
from .soft_ban import SoftBAN

__all__ = ['SoftBAN', 'he_out_']
