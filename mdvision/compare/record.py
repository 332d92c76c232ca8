"""Read and write ``plan.json``, the settings of a comparison, and refuse runs with other settings."""

import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from mdvision.errors import UserError

from .plan import Variant

__all__ = ['read_record', 'refuse_changes', 'refuse_runs', 'write_record']


def read_record(folder: Path) -> dict:
    """Return the recorded plan, an empty one if there is none.

    Raises:
        UserError: the file is damaged.
    """
    path = folder / 'plan.json'
    if not path.is_file():
        return dict(variants={})
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except json.JSONDecodeError as error:
        raise UserError(f'{path} is damaged ({error}). Choose another --work-dir.') from error


def write_record(folder: Path, record: dict) -> None:
    """Write the plan unless it already exists, atomically."""
    path, text = folder / 'plan.json', json.dumps(record, indent=2) + '\n'
    if path.is_file() and path.read_text(encoding='utf-8') == text:
        return
    new = path.with_suffix('.new')
    new.write_text(text, encoding='utf-8')
    new.replace(path)


def refuse_changes(
    folder: Path, recorded: dict, variants: Sequence[Variant], settings: Sequence[dict], redo: bool
) -> None:
    """Keep runs with other settings out of the table.

    Args:
        redo: move them out of the way instead.

    Raises:
        UserError: there are such runs; the message names the variant and what has changed.
    """
    for variant, now in zip(variants, settings, strict=True):
        before = recorded['variants'].get(variant.folder)
        if before == now or not (folder / variant.folder).is_dir():
            continue
        if not redo:
            changed = [key for key in now if before.get(key) != now[key]] if before else []
            _refuse(folder, variant, ', '.join(changed))
        aside = folder / time.strftime('earlier_%Y%m%d_%H%M%S')
        aside.mkdir(exist_ok=True)
        shutil.move(folder / variant.folder, aside / variant.folder)
        print(f'the runs of {variant.name} with other settings were moved to {aside}')


def refuse_runs(folder: Path, recorded: dict, variants: Sequence[Variant], changed: str) -> None:
    """Check that no variant has runs yet.

    Raises:
        UserError: one has; the message names it.
    """
    for variant in variants:
        if (folder / variant.folder).is_dir():
            _refuse(folder, variant, changed if variant.folder in recorded['variants'] else '')


def _refuse(folder: Path, variant: Variant, changed: str) -> NoReturn:
    what = (
        f'was planned with a different {changed}' if changed else 'contains runs that no plan.json describes'
    )
    raise UserError(
        f'{folder / variant.folder} {what}: its runs do not belong in this comparison. Choose another '
        '--work-dir, or set them aside and train again with --redo.'
    )
