"""Open what ``torch.save`` wrote without executing anything in it."""

import io
import pickle
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

from mdvision.errors import UserError

__all__ = ['allow_code_in_checkpoints', 'code_allowed', 'is_readable', 'origin_of_text', 'unpickle']

_HISTORY_METHODS = {'current', 'max', 'min', 'mean'}

_NUMBERS = {'b1', 'f2', 'f4', 'f8', 'i1', 'i2', 'i4', 'i8', 'u1', 'u2', 'u4', 'u8'}

_code_allowed = False
# How torch's messages name what a file asks for.
_ASKED = re.compile(r"GLOBAL ([\w.]+)|unrecognized function <?(?:\w+ )?([\w.]+)|got <class '([\w.]+)")
# Every string in the files that were read, with its file: a config among them is a program.
_origins: dict[str, str] = {}


def allow_code_in_checkpoints() -> None:
    """Allow checkpoints to execute code when they are read, in this process, from now on.

    For files that you trust as much as a program: mmengine, mmdet, mmpretrain and mdvision then read pickles
    of any class, and build models from the config in a checkpoint. This cannot be undone within the process.
    """
    global _code_allowed
    _code_allowed = True
    warnings.warn(
        'mdvision.allow_code_in_checkpoints(): reading a checkpoint now executes the code in it, with your '
        'permissions. Do not read files that you would not run as a program.',
        stacklevel=2,
    )


def code_allowed() -> bool:
    """Return whether :func:`allow_code_in_checkpoints` was called."""
    return _code_allowed


def origin_of_text(text: str) -> str | None:
    """Return the checkpoint from which this string was read; None if it was in none."""
    return _origins.get(text)


def unpickle(file: Path, map_location=None) -> object:
    """Run ``torch.load`` for tensors, plain values and mmengine's histories only.

    Args:
        file: a local file.
        map_location: see ``torch.load``; without a GPU, None means the CPU.

    Raises:
        UserError: the file asks for anything else, or was not written by ``torch.save``.
    """
    if map_location is None and not torch.cuda.is_available():
        map_location = 'cpu'
    if _code_allowed:
        return torch.load(file, map_location=map_location, weights_only=False)
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_safe_globals()):
            # For damaged files, for example a pickle with protocol 87.
            warnings.simplefilter('ignore')
            content = torch.load(file, map_location=map_location, weights_only=True)
    except UserError:
        raise
    except Exception as error:
        raise UserError(_in_plain_words(error)) from error
    for text in _texts(content):
        _origins[text] = str(file)
    return content


def is_readable(value: object) -> bool:
    """Return whether :func:`unpickle` would read what ``torch.save`` writes of an object."""
    file = io.BytesIO()
    try:
        torch.save(value, file)
        file.seek(0)
        with torch.serialization.safe_globals(_safe_globals()):
            torch.load(file, weights_only=True)
    except Exception:  # whatever a user's class does
        return False
    return True


def _restricted_getattr(obj, name: str):
    """Allow the only use of ``getattr`` in a genuine checkpoint: naming a statistic of a history buffer."""
    if obj is HistoryBuffer and name in _HISTORY_METHODS:
        return getattr(HistoryBuffer, name)
    raise UserError(f'it asks for {obj!r}.{name}, which no genuine checkpoint does: nothing was executed')


class _Number:
    """Stand in for ``numpy.dtype`` in a file: a plain numeric type with a byte order.

    The real one takes any state from a file, even one that turns numbers into addresses.
    """

    def __init__(self, name: str, *_):
        if name not in _NUMBERS:
            raise UserError(f'it asks for arrays of {name!r}, which no genuine checkpoint does')
        self.dtype = np.dtype(name)

    def __setstate__(self, state: tuple) -> None:
        self.dtype = self.dtype.newbyteorder({'>': '>', '<': '<'}.get(state[1], '='))


class _Array(np.ndarray):
    """Stand in for ``numpy.ndarray`` in a file; it is saved again as a plain one."""

    def __setstate__(self, state: tuple) -> None:
        version, shape, number, fortran, content = state
        super().__setstate__((version, shape, number.dtype, fortran, content))

    def __reduce__(self) -> tuple:
        return self.view(np.ndarray).__reduce__()


def _empty_array(*_) -> _Array:
    return _Array((0,), np.int8)


def _scalar(number: _Number, content: bytes) -> np.generic:
    return np.frombuffer(content, number.dtype)[0]


def _safe_globals() -> list:
    # The current names, and those in files from before numpy 2.
    modules = ('numpy._core.multiarray', 'numpy.core.multiarray')
    return [
        HistoryBuffer,
        (_Number, 'numpy.dtype'),
        (_Array, 'numpy.ndarray'),
        *((_empty_array, f'{module}._reconstruct') for module in modules),
        *((_scalar, f'{module}.scalar') for module in modules),
        (_restricted_getattr, 'builtins.getattr'),
    ]


def _in_plain_words(error: Exception) -> str:
    """Rephrase torch's message, which advises to execute the file."""
    text = re.sub(r'\x1b\[\d*m', '', str(error)).strip()
    if isinstance(error, pickle.UnpicklingError) or 'weights_only' in text:
        asked = _ASKED.search(text)
        if asked:
            return (
                f'it holds more than tensors: it asks for {next(filter(None, asked.groups()))}. Nothing was '
                'executed'
            )
        return 'it is damaged, truncated, or not a torch.save file'
    lines = text.splitlines()
    reason = f'{type(error).__name__}: {lines[0][:120]}' if lines else type(error).__name__
    return f'it is damaged, truncated, or not a torch.save file ({reason})'


def _texts(content: object) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, Mapping):
        for value in content.values():
            yield from _texts(value)
    elif isinstance(content, list | tuple | set | frozenset):
        for value in content:
            yield from _texts(value)
