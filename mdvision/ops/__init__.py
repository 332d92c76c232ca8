"""The operators behind ``mmcv.ops``: mmcv's compiled ones if they load, otherwise torchvision's.

``mmcv.ops`` gets every operator from one module, ``mmcv._ext``. A plain ``pip install onedl-mmcv`` leaves it
out, so ``import mmcv.ops``, ``mmdet.apis`` and ``mmdet.models`` fail. :func:`activate` substitutes
:mod:`mdvision.ops.torchvision_backend`, and leaves alone a compiled extension that loads.
"""

import ast
import importlib
import importlib.util
import sys
from pathlib import Path

from mdvision.errors import UserError

__all__ = ['BUILD_COMMAND', 'MissingOpError', 'activate', 'backend_of', 'failed_extension', 'op_names']

BUILD_COMMAND = (
    'pip install "setuptools>=80,<82" ninja && pip install --no-build-isolation --no-deps '
    '--no-cache-dir --force-reinstall onedl-mmcv==2.3.6'
)

_EXTENSION = 'mmcv._ext'
_failure: str | None = None


class MissingOpError(UserError, NotImplementedError):
    """An mmcv operator was called that only the compiled extension provides."""

    @classmethod
    def of(cls, op: str) -> 'MissingOpError':
        """Return the error for an operator such as ``'carafe_forward'``, with the command that builds it."""
        return cls(
            f"the mmcv operator '{op}' needs mmcv's compiled extension, which is not in use here, and "
            f'torchvision has no equivalent. Build it (a C++ compiler, about 7 minutes): {BUILD_COMMAND}'
        )


def activate() -> str:
    """Make ``mmcv._ext`` importable and return what provides it.

    Call it before the first import of ``mmcv.ops``, or after one that failed: a failed import leaves nothing
    behind. Further calls change nothing. A compiled extension that exists but does not load (for example,
    built for another torch) counts as absent and is reported in one line on stderr.

    Returns:
        ``'compiled'`` or ``'torchvision'``.

    Raises:
        ImportError: mmcv itself, or torchvision where it is needed, cannot be imported.
    """
    global _failure
    import mmcv  # separately: an error in mmcv itself is not about the extension

    try:
        extension = importlib.import_module(_EXTENSION)
    except (ImportError, OSError) as error:
        if not (isinstance(error, ModuleNotFoundError) and error.name == _EXTENSION):
            _failure = _describe(error)
            print(f'mdvision: {_failure}', file=sys.stderr)
    else:
        return 'torchvision' if extension.__name__ == f'{__name__}.torchvision_backend' else 'compiled'

    from mdvision.ops import torchvision_backend

    # Its own __spec__ stays: importlib.util.find_spec('mmcv._ext') returns it, and would raise without one.
    sys.modules[_EXTENSION] = torchvision_backend
    mmcv._ext = torchvision_backend
    return 'torchvision'


def failed_extension() -> str | None:
    """Return one line on the compiled extension that did not load: file, reason, fix; None if none failed."""
    return _failure


def backend_of(op_name: str) -> str:
    """Return what provides an mmcv operator, activating first if necessary.

    Args:
        op_name: a function of ``mmcv._ext`` such as ``'roi_align_forward'``; see :func:`op_names`.

    Returns:
        ``'compiled'``, ``'torchvision'`` or ``'missing'`` (calling it raises :class:`MissingOpError`).
    """
    backend = activate()
    extension = sys.modules[_EXTENSION]
    # The torchvision backend has an attribute for any name; what it does not implement raises when called.
    there = hasattr(extension, op_name) if backend == 'compiled' else op_name in extension.__all__
    return backend if there else 'missing'


def op_names() -> tuple[str, ...]:
    """Return the sorted operators that mmcv requests from its extension, read from mmcv's source."""
    import mmcv

    names = set()
    for path in (Path(mmcv.__file__).parent / 'ops').glob('*.py'):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith('load_ext'):
                names.update(ast.literal_eval(node.args[1]))
    return tuple(sorted(names))


def _describe(error: ImportError | OSError) -> str:
    """Return file, reason and fix in one line."""
    spec = importlib.util.find_spec(_EXTENSION)
    path = getattr(error, 'path', None) or (spec.origin if spec else None) or _EXTENSION
    reason = ' '.join(str(error).split()).removeprefix(f'{path}: ')
    return (
        f"{path} does not load ({reason}); torchvision's operators are used instead. "
        f'Rebuild it: {BUILD_COMMAND}'
    )
