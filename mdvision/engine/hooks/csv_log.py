"""metrics.csv: every number that a run logs, one row per log step, in a file that any program can open.

What is logged, and under which name, is decided in :mod:`mdvision.engine.log_processor`."""

import contextlib
import csv
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.visualization import BaseVisBackend

from mdvision.console import say
from mdvision.work_dir.files import METRICS

__all__ = ['CsvBackend', 'CsvLogHook', 'read_log', 'read_rows']

_POSITION = ('phase', 'epoch', 'iter')


class CsvBackend(BaseVisBackend):
    """Pass what a visualizer receives on to :class:`CsvLogHook` during training."""

    experiment = None  # there is no underlying writer

    def __init__(self):
        self.record: Callable[[dict], None] | None = None

    def _init_env(self) -> None:
        """Do nothing: the hook owns the file."""

    def add_scalars(self, scalar_dict: dict, step: int = 0, file_path: str | None = None, **kwargs) -> None:
        if self.record is not None:
            self.record(scalar_dict)


class CsvLogHook(Hook):
    """Write everything that is logged to ``metrics.csv`` in the work dir as well.

    The first columns are ``phase`` (train or val), ``epoch`` and ``iter``, counted from 1; the row of a
    validation has the last iteration before it. The other columns have the logged names; a number that
    a step does not have is left empty. Each row is on disk when its step is over. A resumed run drops
    the rows after its checkpoint and continues, so no step appears twice.
    """

    priority = 'VERY_LOW'

    def before_train(self, runner: Runner) -> None:
        if not is_main_process():
            return
        self._path = Path(runner.work_dir) / METRICS
        # A validation interrupted after its row was written is repeated.
        validated = getattr(runner.train_loop, 'position', {}).get('validated') == runner.iter
        last = dict(train=runner.iter, val=runner.iter if validated else runner.iter - 1)
        self._last = last if runner.resuming else dict(train=0, val=0)
        self._columns: list[str] = []  # until the first row: a start that fails leaves the file as it is
        backend = runner.visualizer.get_backend(CsvBackend.__name__)
        if backend is None:
            say(f'note: this run writes no {METRICS}: its visualizer was built before the runner')
        else:
            backend.record = partial(self._record, runner)

    def after_train(self, runner: Runner) -> None:
        backend = runner.visualizer.get_backend(CsvBackend.__name__)
        if backend is not None:
            backend.record = None

    def _record(self, runner: Runner, scalars: dict) -> None:
        values = {key: _number(value) for key, value in scalars.items() if key not in ('step', *_POSITION)}
        row = {key: value for key, value in values.items() if value is not None}
        if 'iter' in scalars:
            row |= dict(phase='train', epoch=scalars.get('epoch', runner.epoch + 1), iter=scalars['iter'])
        else:
            row |= dict(phase='val', epoch=runner.epoch, iter=runner.iter)
        if not self._columns:
            self._begin()
        new = [key for key in row if key not in self._columns]
        if new:
            self._columns += new
            self._write_all([*read_rows(self._path), row])
            return
        with _named(self._path), self._path.open('a', newline='', encoding='utf-8') as file:
            csv.DictWriter(file, self._columns, restval='').writerow(row)

    def _begin(self) -> None:
        rows = [row for row in read_rows(self._path) if int(row['iter']) <= self._last[row['phase']]]
        self._columns = list(dict.fromkeys([*_POSITION, *(key for row in rows for key in row)]))
        self._write_all(rows)

    def _write_all(self, rows: list[dict]) -> None:
        temporary = self._path.with_suffix('.csv.tmp')
        try:
            with _named(self._path), temporary.open('w', newline='', encoding='utf-8') as file:
                writer = csv.DictWriter(file, self._columns, restval='')
                writer.writeheader()
                writer.writerows(rows)
            os.replace(temporary, self._path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Name the file in errors: the system does not say which one could not be written."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the complete rows of a ``metrics.csv``, as text; none if there is no file."""
    if not path.is_file():
        return []
    with path.open(newline='', encoding='utf-8') as file:
        rows = list(csv.DictReader(file))
    # A killed run may leave an incomplete row.
    return [row for row in rows if None not in row and None not in row.values() and row['iter'].isdigit()]


def read_log(path: Path, by_epoch: bool) -> tuple[list[dict], list[dict]]:
    """Return the training and validation rows of a ``metrics.csv`` in the form that ``draw_curves`` takes.

    Args:
        path: the file; if it does not exist, there are no rows.
        by_epoch: whether the run counts in epochs.
    """
    train_rows, val_rows = [], []
    for row in read_rows(path):
        numbers = {key: float(value) for key, value in row.items() if value and key not in _POSITION}
        epoch, iteration = int(row['epoch']), int(row['iter'])
        if row['phase'] == 'train':
            train_rows.append(numbers | dict(iter=iteration) | (dict(epoch=epoch) if by_epoch else {}))
        else:
            val_rows.append(numbers | dict(step=epoch if by_epoch else iteration))
    return train_rows, val_rows


def _number(value: object) -> float | int | None:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray | np.generic):
        return value.item() if value.size == 1 else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
