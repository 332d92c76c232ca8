"""One run per folder: a lock that the operating system releases when its process ends, however it ends."""

import contextlib
import errno
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from mmengine.dist import is_main_process

from mdvision.console import say
from mdvision.errors import UserError

from .files import TEMPORARY

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

__all__ = ['LOCK', 'lock_work_dir']

LOCK = 'run.lock'
# A file system without locks reports one of these.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}

_held: set[int] = set()


def _let_go() -> None:
    # A data worker that outlives a killed run for some seconds must not keep its lock.
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=_let_go)


@contextlib.contextmanager
def lock_work_dir(work_dir: Path) -> Iterator[None]:
    """Keep other runs out of ``work_dir``; the file ``run.lock`` says which run is in it.

    The operating system holds the lock for as long as the process lives: no lock is ever stale. Incomplete
    checkpoints of killed runs are removed. A folder that was created for the lock is removed with it if
    nothing else is in it.

    Raises:
        UserError: another run is in the folder, or it is not writable.
    """
    if not is_main_process():
        yield
        return
    if fcntl is None:
        say(f'note: this system has no file locks: nothing keeps a second run out of {work_dir}')
        yield
        return
    new = not work_dir.exists()
    held = None
    try:
        try:
            work_dir.mkdir(parents=True, exist_ok=True)
            held = _take(work_dir / LOCK)
            _introduce(held)
        except OSError as error:
            raise UserError(
                f'The work directory {work_dir} is not writable: {error}. Choose another --work-dir.'
            ) from error
        for torn in work_dir.glob(TEMPORARY):
            torn.unlink()
        yield
    finally:
        if held is not None:
            # Deleted while it is held: see _take.
            (work_dir / LOCK).unlink(missing_ok=True)
            _held.discard(held)
            os.close(held)
        if new:
            with contextlib.suppress(OSError):  # not empty, or never created
                work_dir.rmdir()


def _take(lock: Path) -> int:
    """Return the locked open file."""
    while True:
        held = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            # The previous holder may have deleted this very file between the two calls: then the lock
            # protects nothing.
            taken = not _lock(held, lock) or _is(held, lock)
        except BaseException:
            os.close(held)
            raise
        if taken:
            break
        os.close(held)
    _held.add(held)
    return held


def _introduce(held: int) -> None:
    """Write into the file who holds it."""
    owner = dict(pid=os.getpid(), host=socket.gethostname(), since=time.time())
    os.ftruncate(held, 0)
    os.write(held, json.dumps(owner).encode())


def _lock(held: int, lock: Path) -> bool:
    """Return whether the file is locked now; False if there are no locks."""
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        raise UserError(
            f'Another run is active in {lock.parent}: {_owner(held)}. Give this one its own --work-dir, or '
            'wait until that one has ended.'
        ) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        say(
            f'note: the file system of {lock.parent} has no file locks ({error.strerror}): nothing keeps a '
            'second run out of it'
        )
        return False


def _is(held: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(held), path.stat())
    except FileNotFoundError:
        return False


def _owner(held: int) -> str:
    """Return who holds the lock; the holder may not have written its name yet."""
    try:
        owner = json.loads(os.pread(held, 4096, 0))
        since = time.strftime('%Y-%m-%d %H:%M', time.localtime(owner['since']))
        return f'process {owner["pid"]} on {owner["host"]} since {since}'
    except (ValueError, KeyError, TypeError):
        return 'a process that has just started'
