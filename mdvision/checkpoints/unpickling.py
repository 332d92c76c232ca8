"""Opening what ``torch.save`` wrote without executing anything in it."""

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
# In torch's messages, what a file asks for.
_ASKED = re.compile(r"GLOBAL ([\w.]+)|unrecognized function <?(?:\w+ )?([\w.]+)|got <class '([\w.]+)")
# Every text in the files that were read, and the file: a config in one of them is a program.
_origins: dict[str, str] = {}


def allow_code_in_checkpoints() -> None:
    """From here on, whatever code a checkpoint contains is executed when it is read, in this process.

    For files that you would run as programs: mmengine, mmdet, mmpretrain and mdvision then read pickles of
    any class, and build models from the config in a checkpoint. There is no way back but a new process.
    """
    global _code_allowed
    _code_allowed = True
    warnings.warn(
        'mdvision.allow_code_in_checkpoints(): reading a checkpoint now executes the code in it, with your '
        'rights. Read no file that you would not run as a program.',
        stacklevel=2,
    )


def code_allowed() -> bool:
    """Whether :func:`allow_code_in_checkpoints` was called."""
    return _code_allowed


def origin_of_text(text: str) -> str | None:
    """The checkpoint that this text was read from; None for a text that was in none."""
    return _origins.get(text)


def unpickle(file: Path, map_location=None) -> object:
    """``torch.load`` of tensors, plain values and mmengine's histories only.

    Args:
        file: a local file.
        map_location: see ``torch.load``; where there is no GPU, None means the CPU.

    Raises:
        UserError: the file asks for anything else, or is no file of ``torch.save``.
    """
    if map_location is None and not torch.cuda.is_available():
        map_location = 'cpu'
    if _code_allowed:
        return torch.load(file, map_location=map_location, weights_only=False)
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_safe_globals()):
            # Of damaged files, such as that a pickle has the protocol 87.
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
    """Whether :func:`unpickle` would read what ``torch.save`` writes of it."""
    file = io.BytesIO()
    try:
        torch.save(value, file)
        file.seek(0)
        with torch.serialization.safe_globals(_safe_globals()):
            torch.load(file, weights_only=True)
    except Exception:  # whatever a class of the user's makes of it
        return False
    return True


def _restricted_getattr(obj, name: str):
    """The one use of ``getattr`` in a genuine checkpoint: naming a statistic of a history buffer."""
    if obj is HistoryBuffer and name in _HISTORY_METHODS:
        return getattr(HistoryBuffer, name)
    raise UserError(f'it asks for {obj!r}.{name}, which no genuine checkpoint does: nothing was executed')


class _Number:
    """What a file names as ``numpy.dtype``: a plain kind of number, in a byte order.

    The real one takes any state from a file, one that makes numbers into addresses too.
    """

    def __init__(self, name: str, *_):
        if name not in _NUMBERS:
            raise UserError(f'it asks for arrays of {name!r}, which no genuine checkpoint does')
        self.dtype = np.dtype(name)

    def __setstate__(self, state: tuple) -> None:
        self.dtype = self.dtype.newbyteorder({'>': '>', '<': '<'}.get(state[1], '='))


class _Array(np.ndarray):
    """What a file names as ``numpy.ndarray``; it is saved again as a plain one."""

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
    # The names of now, and those in files of before numpy 2.
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
    """Torch's own text advises to execute the file."""
    text = re.sub(r'\x1b\[\d*m', '', str(error)).strip()
    if isinstance(error, pickle.UnpicklingError) or 'weights_only' in text:
        asked = _ASKED.search(text)
        if asked:
            return (
                f'it holds more than tensors: it asks for {next(filter(None, asked.groups()))}. Nothing was '
                'executed'
            )
        return 'it is damaged, cut short, or no file of torch.save'
    lines = text.splitlines()
    reason = f'{type(error).__name__}: {lines[0][:120]}' if lines else type(error).__name__
    return f'it is damaged, cut short, or no file of torch.save ({reason})'


def _texts(content: object) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, Mapping):
        for value in content.values():
            yield from _texts(value)
    elif isinstance(content, list | tuple | set | frozenset):
        for value in content:
            yield from _texts(value)
