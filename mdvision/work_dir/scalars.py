"""Read the numbers that mmengine logs during a run from its ``scalars.json``.

Each line is a JSON object. A training line has the losses, the learning rate, ``iter`` and, in epoch-based
runs, ``epoch`` (both count from 1). A validation line has the metrics and ``step``: the epoch, or the
iteration in iteration-based runs.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from mdvision.errors import UserError

from .files import LOG_FOLDER

__all__ = ['read_scalars', 'scalar_files']

PathLike = str | Path


def scalar_files(folder: Path) -> list[Path]:
    """Return the ``scalars.json`` of a run and of its resumed parts, oldest first, without empty ones."""
    found = folder.glob('*/vis_data/scalars.json')
    return sorted(path for path in found if LOG_FOLDER.fullmatch(path.parts[-3]) and path.stat().st_size)


def read_scalars(paths: PathLike | Sequence[PathLike]) -> tuple[list[dict], list[dict]]:
    """Return the training and validation lines of one run, each in training order.

    Args:
        paths: a ``scalars.json``, or those of a run and its resumed parts, in that order. A resumed part
            replaces earlier lines from its own first line on: after a kill, a run repeats what it had trained
            since its last checkpoint.

    Returns:
        the lines with ``iter`` (training) and the others (validation), as dicts.

    Raises:
        UserError: a file is missing, empty, or has a line that is not a JSON object. An incomplete last line
            is skipped: a killed run leaves one behind.
    """
    paths = [paths] if isinstance(paths, str | Path) else list(paths)
    if not paths:
        raise UserError('Expected at least one scalars.json to draw, got an empty list.')
    train_rows, val_rows = [], []
    for path in paths:
        rows = _read_lines(Path(path))
        new_train = [row for row in rows if 'iter' in row]
        new_val = [row for row in rows if 'iter' not in row]
        if new_train:
            train_rows = [row for row in train_rows if row['iter'] < new_train[0]['iter']]
        if new_val:
            val_rows = [row for row in val_rows if row.get('step', 0) < new_val[0].get('step', 0)]
        train_rows += new_train
        val_rows += new_val
    return train_rows, val_rows


def _read_lines(path: Path) -> list[dict]:
    if not path.is_file():
        raise UserError(
            f'{path}: no such file. Expected the vis_data/scalars.json that training writes to its work '
            'directory.'
        )
    lines = [line for line in path.read_text(encoding='utf-8').splitlines() if line.strip()]
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)  # accepts the bare NaN and Infinity that mmengine writes
        except json.JSONDecodeError as error:
            if number == len(lines):
                break
            raise UserError(
                f'{path}: line {number} is not JSON ({error}). Is this a scalars.json?'
            ) from error
        if not isinstance(row, dict):
            raise UserError(f'{path}: line {number} is not a JSON object. Is this a scalars.json?')
        rows.append(row)
    if not rows:
        raise UserError(
            f'{path}: the file has no complete line. Training writes one every `interval` iterations '
            '(default_hooks.logger): has the run reached that point?'
        )
    return rows
