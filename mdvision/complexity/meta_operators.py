"""Run operators on the meta device, each combination of shapes once.

Torch computes the result of many operators there in Python; a batch norm takes milliseconds. A network
repeats the same few hundred combinations thousands of times.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

__all__ = ['run_operator']

# Maps an operator and the layouts of its inputs to the container and layouts of its outputs, or to None if
# they cannot be recreated because they share memory.
_RESULTS: dict[tuple, tuple | None] = {}
_MOST_RESULTS = 100_000


def run_operator(func: Callable, args: tuple, kwargs: dict) -> object:
    """Run ``func(*args, **kwargs)`` for an operator received by a ``TorchDispatchMode``.

    On the meta device, a result that is already known is created with the same shapes, strides and types, and
    with its own memory, as the operator would have done.
    """
    try:
        key = (func, _layout(args), _layout(tuple(kwargs.items())), torch.get_default_dtype())
        known = key in _RESULTS  # a TypeError if something is not hashable
    except (TypeError, _NotMetaError):
        return func(*args, **kwargs)
    if known and _RESULTS[key] is not None:
        container, layouts = _RESULTS[key]
        made = [None if layout is None else _make(layout) for layout in layouts]
        return made[0] if container is None else container(made)
    out = func(*args, **kwargs)
    if not known and len(_RESULTS) < _MOST_RESULTS:
        _RESULTS[key] = _repeatable(args, kwargs, out)
    return out


class _NotMetaError(Exception):
    """A tensor has contents, which must be computed."""


def _is_plain(value: object) -> bool:
    return type(value) in (Tensor, nn.Parameter) and value.is_meta


def _layout(value: object) -> object:
    """Return a hashable summary of an argument that determines the layout of the result."""
    if isinstance(value, Tensor):
        if not _is_plain(value):
            raise _NotMetaError
        return value.shape, value.stride(), value.dtype
    if isinstance(value, (tuple, list)):
        return type(value), tuple(map(_layout, value))
    return type(value), value  # 1, 1.0 and True are equal, but give different types


def _make(layout: tuple) -> Tensor:
    shape, stride, dtype = layout
    return torch.empty_strided(shape, stride, dtype=dtype, device='meta')


def _repeatable(args: tuple, kwargs: dict, out: object) -> tuple | None:
    """Return container and layouts of a result that owns its memory; None for other results."""
    results = [out] if isinstance(out, Tensor) else out
    if not isinstance(results, (tuple, list)) or not all(t is None or _is_plain(t) for t in results):
        return None
    seen = {t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
    for tensor in results:
        if tensor is None:
            continue
        storage = tensor.untyped_storage()
        whole = _make(_layout(tensor)).untyped_storage().nbytes() == storage.nbytes()
        if storage._cdata in seen or tensor.storage_offset() or not whole:
            return None
        seen.add(storage._cdata)
    layouts = tuple(None if tensor is None else _layout(tensor) for tensor in results)
    return (None if isinstance(out, Tensor) else type(out)), layouts
