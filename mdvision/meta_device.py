"""Building modules on the meta device, where tensors have shapes and no values."""

import contextlib
from collections.abc import Iterator

import torch
from torch.overrides import TorchFunctionMode

__all__ = ['meta_device']


@contextlib.contextmanager
def meta_device() -> Iterator[None]:
    """Create tensors on the meta device, without initializing weights.

    There is nothing to initialize there; still, ``torch.nn.init`` would take a third of the time of
    ``with torch.device('meta')``.
    """
    with torch.device('meta'), _NoInitialization():
        yield


class _NoInitialization(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, '__module__', None) == 'torch.nn.init':
            return args[0] if args else kwargs['tensor']
        return func(*args, **(kwargs or {}))
