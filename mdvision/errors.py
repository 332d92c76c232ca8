"""Errors that a user can act on, and the nearest-name hint that many of them carry."""

import difflib
from collections.abc import Iterable

__all__ = [
    'MISSPELLED_EXTRA_KEY',
    'MISSPELLED_HOOK',
    'MISSPELLED_KEY',
    'MISSPELLED_SECTION',
    'UserError',
    'did_you_mean',
]

# How near is near: the share of letters in common, from 0 to 1, as difflib counts them.
# For a hint in what is an error anyway; difflib's own.
HINT = 0.6
# Where only the nearness makes a name an error. Each is as low as the stock configs allow: none of their
# valid names is that near to another one.
MISSPELLED_SECTION = 0.75  # a variable of a config file, like a section
MISSPELLED_HOOK = 0.8  # a name in default_hooks, where any name is valid; csv_logger is no logger
MISSPELLED_KEY = 0.81  # a key of a part of the config, like one that the part accepts
MISSPELLED_EXTRA_KEY = 0.87  # the same where the class takes further keys, **kwargs


class UserError(Exception):
    """A fault in what the user gave: a file, a config key, a checkpoint, a class name.

    The message is the whole report: what was expected, what came, in which file or key, and what
    to do. The tools print it without a traceback and exit with status 1; ``--debug`` shows the
    traceback too.
    """


def did_you_mean(name: str, candidates: Iterable[str], cutoff: float = HINT) -> str:
    """A hint ``" Did you mean 'x' or 'y'?"`` with up to three names, or ``""`` when nothing is near.

    Case is ignored when comparing, so ``Cat`` finds ``cat``. ``cutoff`` is one of the constants above.
    """
    by_lower = {}
    for candidate in candidates:
        by_lower.setdefault(candidate.lower(), candidate)
    near = difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=cutoff)
    if not near:
        return ''
    return f' Did you mean {" or ".join(repr(by_lower[n]) for n in near)}?'
