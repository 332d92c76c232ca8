"""Models: torch, mmengine and mmcv only, neither MMPretrain nor MMDetection.

What the ``__init__`` of ``attention``, ``backbones``, ``heads``, ``losses`` and ``necks`` lists in its
``__all__`` is here, and in ``mdvision``, by itself. ``layers`` are parts, of which few are of use outside.
"""

from . import attention, backbones, heads, losses, named, necks
from .attention import *
from .backbones import *
from .classifier import Classifier
from .heads import *
from .layers import MDNetBlock, SoftBAN
from .losses import *
from .named import *
from .necks import *

__all__ = [
    'Classifier',
    'MDNetBlock',
    'SoftBAN',
    *attention.__all__,
    *backbones.__all__,
    *heads.__all__,
    *losses.__all__,
    *named.__all__,
    *necks.__all__,
]
