"""Errors that a user can act on, and the nearest-name hint that many of them carry."""

import difflib
from collections.abc import Iterable

__all__ = ['UserError', 'did_you_mean']


class UserError(Exception):
    """A fault in what the user gave: a file, a config key, a checkpoint, a class name.

    The message is the whole report: what was expected, what came, in which file or key, and what
    to do. The tools print it without a traceback and exit with status 1; ``--debug`` shows the
    traceback too.
    """


def did_you_mean(name: str, candidates: Iterable[str], count: int = 3, cutoff: float = 0.6) -> str:
    """A hint ``" Did you mean 'x' or 'y'?"``, or ``""`` when nothing is near.

    Case is ignored when comparing, so ``Cat`` finds ``cat``. ``cutoff`` is how near is near, from 0 to 1.
    """
    by_lower = {}
    for candidate in candidates:
        by_lower.setdefault(candidate.lower(), candidate)
    near = difflib.get_close_matches(name.lower(), by_lower, n=count, cutoff=cutoff)
    if not near:
        return ''
    return f' Did you mean {" or ".join(repr(by_lower[n]) for n in near)}?'
