"""Replacing a method of an upstream library, where it has no public point for what is wanted.

Every such place does it with :func:`replace_method`, and docs/upstream.md lists it with its reason. A library
that is no longer made as expected is an error: what the replacement is for would be lost in silence.
"""

import inspect
from collections.abc import Callable, Sequence

from mdvision.errors import UserError

__all__ = ['UnknownUpstreamError', 'expect', 'replace_method', 'restore_method']


class UnknownUpstreamError(UserError, ImportError):
    """What mdvision replaces or reads in an upstream library is not there."""

    def __init__(self, what: str):
        super().__init__(
            f'mdvision does not know this version of an upstream library: {what}. Install the versions in '
            'requirements/lock.txt.'
        )


def expect(owner: object, *names: str) -> None:
    """Make sure that what mdvision overrides or sets in ``owner`` is what the library has.

    Raises:
        UnknownUpstreamError: one of the names is missing.
    """
    for name in names:
        if not hasattr(owner, name):
            raise UnknownUpstreamError(f'{_called(owner)} has no {name}')


def _called(owner: object) -> str:
    return owner.__name__ if hasattr(owner, '__name__') else type(owner).__name__


def replace_method(
    owner: object, name: str, make: Callable[[Callable], Callable], parameters: Sequence[str] | None = None
) -> None:
    """Put ``make(method)`` in the place of the method ``name`` of ``owner``.

    Args:
        owner: a module, a class or an object.
        name: of its function or method.
        make: gets the method and returns the new one.
        parameters: the names of its parameters, where the new one depends on them.

    Raises:
        UnknownUpstreamError: there is no such method, or it has other parameters.
    """
    method = getattr(owner, name, None)
    if not callable(method):
        raise UnknownUpstreamError(f'{_called(owner)} has no method {name}')
    found = list(inspect.signature(method).parameters) if parameters is not None else None
    if found is not None and found != list(parameters):
        raise UnknownUpstreamError(
            f'{_called(owner)}.{name} takes ({", ".join(found)}), expected ({", ".join(parameters)})'
        )
    static = isinstance(inspect.getattr_static(owner, name, None), staticmethod)
    setattr(owner, name, staticmethod(make(method)) if static else make(method))


def restore_method(owner: object, name: str) -> None:
    """Let the method of its class show again, where :func:`replace_method` replaced that of an object."""
    vars(owner).pop(name, None)
