"""Where mdvision registers its classes: in mmengine's root registries.

The registries of MMPretrain and MMDetection are children of the root ones, so both find every
class of ours by its bare name once ``import mdvision`` has run. In configs every class of ours is
written with the prefix, nested ones too, ``type='mdvision.EMANet'``: mmengine then imports mdvision by
itself and no ``custom_imports`` is needed. A child registry with a scope of our own would break nested
bare names under ``default_scope='mmdet'``.

Data sets that build on an upstream library are not registered under a bare name, because it may
own that name (mmdet has a ``VOCDataset`` too): they are reached by their full name only,
``type='mdvision.VOCDataset'``.
"""

import copy
from collections.abc import Mapping

from mmengine.registry import MODELS
from torch import nn

from mdvision.meta_device import meta_device

__all__ = ['MODELS', 'build_for_shapes']


def build_for_shapes(cfg: Mapping) -> nn.Module:
    """A module on the meta device, to look at its shapes; on the CPU where it cannot be built there."""
    try:
        with meta_device():
            return MODELS.build(copy.deepcopy(cfg))
    except (RuntimeError, NotImplementedError):  # it looks at the values of a tensor while it is built
        return MODELS.build(copy.deepcopy(cfg))
