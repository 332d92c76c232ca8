"""The work directory of a run: which one to use, what to resume from it, and what an earlier run left."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config

from mdvision.checkpoints.reading import read_checkpoint
from mdvision.console import say
from mdvision.errors import UserError

from .files import (
    BEST_CHECKPOINT,
    INTERRUPTED,
    METRICS,
    STEP_CHECKPOINT,
    TEST,
    config_header,
    is_of_a_run,
    is_report,
    recorded_config,
)

__all__ = ['default_work_dir', 'find_resumable', 'make_room', 'refuse_to_move', 'set_earlier_run_aside']


def default_work_dir(config: str) -> Path:
    """Return ``work_dirs/NAME`` for ``.../NAME.py``.

    Raises:
        UserError: it holds a run of another config, with the same name in another folder.
    """
    folder, own = Path('work_dirs') / Path(config).stem, config_header(config)
    for file in sorted(folder.glob('*.py')):
        other = recorded_config(file)
        if other is not None and not file.name.startswith(TEST) and config_header(other) != own:
            raise UserError(
                f'{folder} holds a run of {other}, this run is of {config}: give it a separate folder with '
                '--work-dir.'
            )
    return folder


def find_resumable(work_dir: Path) -> Path | None:
    """Return the newest readable checkpoint of ``work_dir``, or None if there is none at all.

    The file ``last_checkpoint`` is only a hint: it holds an absolute path, which is wrong after the folder
    was copied or moved, and may name a file that was not completely written.
    """
    interrupted = work_dir / INTERRUPTED  # deleted when a newer checkpoint is complete
    found = [(_step(p), p) for p in work_dir.glob('*.pth') if STEP_CHECKPOINT.fullmatch(p.name)]
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


def make_room(work_dir: Path, own: set[str], resumed: Path | None, done: dict) -> None:
    """Set aside the files that do not belong to the run that continues in ``work_dir``, and say so.

    For a new run, that is everything an earlier one left. For a resumed run, it is everything after its
    checkpoint: the next ``--resume`` must not continue from there.

    Args:
        work_dir: the run's work directory.
        own: names in ``work_dir`` that already belong to this run.
        resumed: the checkpoint that it continues; None for a new run.
        done: ``epoch`` and ``iter`` of that checkpoint.
    """
    if resumed is None or resumed.resolve().parent != work_dir.resolve():
        aside = set_earlier_run_aside(work_dir, own)
        if aside:
            hint = ' (--resume would have continued it)' * (resumed is None)
            say(f'the earlier run in {work_dir} was moved to {aside}{hint}')
        return
    newer = list(_newer(work_dir, resumed, done))
    if newer:
        newer += [path for path in work_dir.iterdir() if is_report(path)]
        aside = _move(newer, work_dir)
        if (work_dir / METRICS).is_file():  # this run drops its rows after the checkpoint
            shutil.copy2(work_dir / METRICS, aside / METRICS)
        names = ', '.join(sorted(path.name for path in newer))
        say(f'everything later than {resumed.name} was moved to {aside}: {names}')


def _newer(work_dir: Path, resumed: Path, done: dict) -> Iterator[Path]:
    for path in work_dir.glob('*.pth'):
        found = STEP_CHECKPOINT.fullmatch(path.name) or BEST_CHECKPOINT.fullmatch(path.name)
        # The other one is always the newest.
        if (found and int(found[2]) > done[found[1]]) or path.name == INTERRUPTED != resumed.name:
            yield path


def set_earlier_run_aside(work_dir: Path, own: set[str] = frozenset()) -> Path | None:
    """Move what an earlier run left to a subfolder, so that a new run does not mix with it.

    Args:
        work_dir: the new run's work directory.
        own: names that belong to the new run.

    Returns:
        the subfolder; None if there is nothing to move.
    """
    files = [path for path in _earlier_run(work_dir) if path.name not in own]
    return _move(files, work_dir) if files else None


def _earlier_run(work_dir: Path) -> list[Path]:
    return [path for path in work_dir.iterdir() if is_of_a_run(path)] if work_dir.is_dir() else []


def _move(files: list[Path], work_dir: Path) -> Path:
    name, number = f'earlier_{time.strftime("%Y%m%d_%H%M%S")}', 1
    while (aside := work_dir / (name if number == 1 else f'{name}_{number}')).exists():
        number += 1
    aside.mkdir()
    for file in files:
        file.rename(aside / file.name)
    return aside


def refuse_to_move(cfg: Config, work_dir: Path) -> None:
    """Refuse a new run that reads a file of the earlier run in its folder, which would be moved away first.

    Raises:
        UserError: it does; the message names the config key of the file.
    """
    moved = {path.resolve() for path in _earlier_run(work_dir)}
    for key, value in _strings(cfg.to_dict()) if moved else ():
        try:
            path = Path(value).resolve()
        except (OSError, ValueError):  # not a path
            continue
        if path in moved:
            raise UserError(
                f'{key}={value} is in the work directory of this run, {work_dir}, whose earlier contents are '
                'moved aside. Give the new run its own folder with --work-dir, or continue with --resume.'
            )


def _strings(value: object, key: str = '') -> Iterator[tuple[str, str]]:
    """Yield all strings in a config, with their keys."""
    if isinstance(value, str):
        yield key, value
    if isinstance(value, list | tuple):
        value = dict(enumerate(value))
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _strings(inner, f'{key}.{name}' if key else str(name))
