"""Where mdvision registers its classes: in mmengine's root registries.

The registries of MMPretrain and MMDetection are children of the root ones, so both find every
class of ours by its bare name once ``import mdvision`` has run. In configs write
``type='mdvision.EMANet'``: mmengine then imports mdvision by itself and no ``custom_imports`` is
needed. A child registry with a scope of our own would break nested bare names under
``default_scope='mmdet'``.

Data sets that build on a host library are not registered under a bare name, because the host may
own that name (mmdet has a ``VOCDataset`` too): they are reached by their full name only,
``type='mdvision.VOCDataset'``.
"""

from mmengine.registry import MODELS

__all__ = ['MODELS']
