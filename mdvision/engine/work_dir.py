"""The folder of a run: finding what to resume, and keeping the checkpoints of an earlier run."""

import re
import time
from pathlib import Path

from mdvision.console import say
from mdvision.errors import UserError

from .checkpoint import read_checkpoint

__all__ = ['find_resumable', 'set_earlier_run_aside']


def find_resumable(work_dir: Path) -> Path | None:
    """The newest checkpoint of ``work_dir`` that can be read, or None when there is none at all.

    The file ``last_checkpoint`` is only a hint: it holds an absolute path, which is wrong after the
    folder was copied or moved, and may name a file whose writing was cut short.
    """
    found = [(_step(p), p) for p in work_dir.glob('*.pth') if re.fullmatch(r'(epoch|iter)_\d+', p.stem)]
    reasons = []
    for _, path in sorted(found, reverse=True):
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
    ours = r'((epoch|iter)_\d+|best_.*)\.pth|last_checkpoint|\d{8}_\d{6}'
    files = [path for path in work_dir.iterdir() if re.fullmatch(ours, path.name)]
    if not files:
        return None
    aside = work_dir / f'earlier_{time.strftime("%Y%m%d_%H%M%S")}'
    aside.mkdir()
    for file in files:
        file.rename(aside / file.name)
    return aside
