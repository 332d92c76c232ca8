"""The folder of a run: one run at a time, what to resume, and the checkpoints of an earlier run."""

import contextlib
import json
import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from mmengine.dist import is_main_process

from mdvision.console import say
from mdvision.errors import UserError

from .checkpoint import read_checkpoint
from .saving import INTERRUPTED, TEMPORARY

__all__ = ['find_resumable', 'lock_work_dir', 'set_earlier_run_aside']

LOCK = 'run.lock'


def find_resumable(work_dir: Path) -> Path | None:
    """The newest checkpoint of ``work_dir`` that can be read, or None when there is none at all.

    The file ``last_checkpoint`` is only a hint: it holds an absolute path, which is wrong after the
    folder was copied or moved, and may name a file whose writing was cut short.
    """
    interrupted = work_dir / INTERRUPTED  # deleted when a newer checkpoint is complete
    found = [(_step(p), p) for p in work_dir.glob('*.pth') if re.fullmatch(r'(epoch|iter)_\d+', p.stem)]
    reasons = []
    paths = [interrupted] * interrupted.is_file() + [path for _, path in sorted(found, reverse=True)]
    for path in paths:
        try:
            read_checkpoint(str(path))
        except UserError as error:
            reasons.append(str(error))
            continue
        for reason in reasons:
            say(f'skipped: {reason}')
        return path
    if reasons:
        raise UserError('No checkpoint to resume from can be read:\n  ' + '\n  '.join(reasons))
    return None


def _step(path: Path) -> int:
    return int(path.stem.rsplit('_', 1)[-1])


def set_earlier_run_aside(work_dir: Path) -> Path | None:
    """Move checkpoints and logs of an earlier run to a folder below, so that a new run mixes with none."""
    if not work_dir.is_dir():
        return None
    # Checkpoints as mmengine names them, and its folders of logs; nothing that a user put there.
    ours = r'((epoch|iter)_\d+|best_.*|interrupted)\.pth|last_checkpoint|metrics\.csv|\d{8}_\d{6}'
    files = [path for path in work_dir.iterdir() if re.fullmatch(ours, path.name)]
    if not files:
        return None
    aside = work_dir / f'earlier_{time.strftime("%Y%m%d_%H%M%S")}'
    aside.mkdir()
    for file in files:
        file.rename(aside / file.name)
    return aside


@contextlib.contextmanager
def lock_work_dir(work_dir: Path) -> Iterator[None]:
    """Keep other trainings out of ``work_dir``; the lock file says who is in it.

    The lock of a process of this machine that no longer runs is taken over; what its half-written
    checkpoints left is removed.

    Raises:
        UserError: another training is in the folder, or it cannot be written.
    """
    if not is_main_process():
        yield
        return
    lock = work_dir / LOCK
    try:
        work_dir.mkdir(parents=True, exist_ok=True)
        _take(lock)
    except OSError as error:
        raise UserError(
            f'The work dir {work_dir} cannot be written: {error}. Choose another --work-dir.'
        ) from error
    try:
        for torn in work_dir.glob(TEMPORARY):
            torn.unlink()
        yield
    finally:
        lock.unlink(missing_ok=True)


def _take(lock: Path) -> None:
    owner = dict(pid=os.getpid(), host=socket.gethostname(), process_started=_started(os.getpid()))
    for _ in range(2):
        try:
            with lock.open('x', encoding='utf-8') as file:
                json.dump(owner, file)
            return
        except FileExistsError:
            other = _read_lock(lock)
            if other is not None and _runs(other):
                raise UserError(
                    f'Another training is in {lock.parent}: process {other["pid"]} on {other["host"]} since '
                    f'{time.strftime("%Y-%m-%d %H:%M", time.localtime(lock.stat().st_mtime))}. Give this one '
                    f'its own --work-dir, or delete {lock} if that process is gone.'
                ) from None
            # Renaming, unlike deleting, fails for all but one of those who find the same stale lock.
            stale = lock.with_name(f'.{LOCK}.{os.getpid()}.tmp')
            with contextlib.suppress(FileNotFoundError):
                lock.rename(stale)
                stale.unlink()
    raise UserError(f'Another training has just begun in {lock.parent}.')


def _read_lock(lock: Path) -> dict | None:
    """Who holds a lock; None for a file without that, which a full disk or a crash leaves."""
    try:
        owner = json.loads(lock.read_text(encoding='utf-8'))
        return owner if {'pid', 'host'} <= set(owner) else None
    except (OSError, ValueError, TypeError):
        return None


def _runs(owner: dict) -> bool:
    """Whether a process still runs; of another machine that cannot be known, so it is taken to run."""
    if owner['host'] != socket.gethostname():
        return True
    try:
        os.kill(owner['pid'], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it runs, for another user
    # Its number may have been given to another process since.
    return owner.get('process_started') == _started(owner['pid'])


def _started(pid: int) -> int | None:
    """When a process started, in ticks since the machine did; None where the system does not tell."""
    try:
        return int(Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None
