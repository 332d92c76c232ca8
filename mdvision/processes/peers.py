"""Which of several processes is gone or hangs, and whose message to read."""

import os
import re
import threading
import time
from collections.abc import Callable

import torch.distributed as dist

__all__ = ['announce_end', 'ask_store', 'describe_lost', 'says_it_first']

_END = 'mdvision_end_{}'
# Messages of gloo and NCCL when another process is gone or does not join.
_LOST = r'gloo|NCCL|Connection (closed|reset) by peer|Broken pipe|Timed out waiting|Socket Timeout'
# All live processes notice the loss of one at nearly the same time.
_SECONDS = 3.0


def announce_end(kind: str) -> None:
    """Tell the others that this process ends because of an ``'error'`` or because another is ``'lost'``.

    The first process, which holds the messages they exchange, then gives the others time to report.
    """
    if _is_running():
        _within_seconds(lambda store: store.set(_END.format(dist.get_rank()), kind))
        if kind == 'error' and dist.get_rank() == 0:
            _within_seconds(lambda store: _ends_of_the_others(store, enough=()))


def says_it_first(message: str) -> bool:
    """Return whether this process should print ``message``: an input error is the same in all processes."""
    if int(os.environ.get('WORLD_SIZE', '1')) == 1:
        return True
    rank = os.environ.get('RANK', '0')
    if not _is_running():
        return rank == '0'
    key = f'mdvision_said_{message}'
    speaker = _within_seconds(lambda store: store.compare_set(key, '', rank).decode())
    # No answer: the first process, which holds the store, has ended, perhaps with another message.
    return speaker in (rank, None)


def describe_lost(error: Exception) -> str | None:
    """Return who is missing if ``error`` says that another process is; None for other errors."""
    if not _is_running() or not isinstance(error, RuntimeError) or not re.search(_LOST, str(error)):
        return None
    announce_end('lost')
    ends = _within_seconds(_ends_of_the_others)
    if ends is None:
        who, what = [0], 'has ended or does not respond'
    elif failed := [rank for rank, end in ends.items() if end == 'error']:
        who, what = failed, 'failed with an error that it printed itself'
    else:
        who = [rank for rank, end in ends.items() if end is None]
        what = 'does not respond: it was killed, is suspended, or is waiting for data'
    names = f'process{"es" * (len(who) > 1)} {", ".join(map(str, who))}' if who else 'another process'
    waited = re.search(r'[Tt]imed out waiting (\d+)ms|Timeout\(ms\)=(\d+)', str(error))
    seconds = f' within {int(waited[1] or waited[2]) / 1000:g} s (env_cfg.dist_cfg.timeout)' if waited else ''
    return f'{names} {what}{seconds if ends is not None else ""}.'


def _ends_of_the_others(store: dist.Store, enough: tuple[str, ...] = ('error',)) -> dict[int, str | None]:
    """Return how the others ended, once one ended in a way that is ``enough``, all have, or time is up."""
    others = [rank for rank in range(dist.get_world_size()) if rank != dist.get_rank()]
    until = time.monotonic() + _SECONDS - 1
    while True:
        ends = {}
        for rank in others:
            known = store.check([_END.format(rank)])
            ends[rank] = store.get(_END.format(rank)).decode() if known else None
        if set(enough) & set(ends.values()) or None not in ends.values() or time.monotonic() > until:
            return ends
        time.sleep(0.1)


def _is_running() -> bool:
    return dist.is_available() and dist.is_initialized()


def ask_store(question: Callable[[dist.Store], object], seconds: float | None = None) -> object:
    """Return the answer to ``question`` from the store that all processes share.

    torch's own calls wait forever when the process that holds the store is suspended.

    Args:
        question: called with the store.
        seconds: time to wait; by default as long as for the processes themselves.

    Raises:
        RuntimeError: no answer came; the store is gone or its process is suspended.
    """
    store = dist.distributed_c10d._get_default_store()
    seconds = store.timeout.total_seconds() if seconds is None else seconds
    answers, errors = [], []

    def ask() -> None:
        try:
            answers.append(question(store))
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    if not answers:
        raise (
            errors[0]
            if errors
            else RuntimeError(f'Timed out waiting {round(1000 * seconds)}ms for the store')
        )
    return answers[0]


def _within_seconds(question: Callable[[dist.Store], object]) -> object:
    """Return the store's answer or None: another process may have ended, and this one is about to."""
    try:
        return ask_store(question, _SECONDS)
    except RuntimeError:
        return None
