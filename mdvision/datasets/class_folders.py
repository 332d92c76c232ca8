"""Class folders of images: listing the images, and finding images that two splits share."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from mdvision.errors import UserError
from mdvision.text import shortlist

from .image_extensions import FOLDER_EXTENSIONS

__all__ = ['class_names', 'compare_classes', 'image_files', 'read_pairs', 'shared_files']


def class_names(folder: Path) -> list[str]:
    """Return the sorted subfolders of ``folder``, without hidden ones, which belong to tools."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith('.'))


def image_files(folder: Path, prefix: str = '') -> tuple[list[str], list[str]]:
    """Return the images below ``folder`` (by extension) and all other files, as sorted relative paths."""
    images, others = [], []
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.startswith('.'):
                continue
            path = f'{prefix}{entry.name}'
            if entry.is_dir():
                below, others_below = image_files(Path(entry.path), f'{path}/')
                images += below
                others += others_below
            elif entry.name.lower().endswith(FOLDER_EXTENSIONS):
                images.append(path)
            else:
                others.append(path)
    return images, others


def compare_classes(expected: Sequence[str], found: Sequence[str], where: str, source: str) -> list[str]:
    """Return one line per difference between the class folders of ``where`` and the expected classes."""
    missing = [name for name in expected if name not in set(found)]
    extra = [name for name in found if name not in set(expected)]
    lines = []
    if missing:
        lines.append(f'{where}: no folder for {shortlist(map(repr, missing))}, a class of {source}')
    if extra:
        lines.append(f'{where}: a folder {shortlist(map(repr, extra))} that is not a class of {source}')
    return lines


def read_pairs(path: Path, num_classes: int | None, blank_lines: bool = True) -> list[tuple[str, int]]:
    """Read the ``(file, label)`` pairs of an annotation file with lines ``file label``.

    Args:
        path: the annotation file.
        num_classes: upper bound of the labels; None if unknown.
        blank_lines: skip blank lines. False for a file that mmpretrain will read, which cannot handle them.

    Raises:
        UserError: a line is invalid; the message names it.
    """
    pairs = []
    try:
        lines = path.read_text(encoding='utf-8-sig').splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f'{path} cannot be read: {error}.') from error
    for number, line in enumerate(lines, 1):
        if not line.strip() and blank_lines:
            continue
        name, _, label = line.strip().rpartition(' ')
        usual = name and label.isascii() and label.isdigit() and len(label) < 10
        if not usual or (num_classes is not None and int(label) >= num_classes):
            most = 'on' if num_classes is None else f'to {num_classes - 1}'
            got = repr(line.strip()[:100]) if line.strip() else 'a blank line'
            raise UserError(
                f'{path}, line {number}: expected "FILE LABEL" with a label from 0 {most}, got {got}.'
            )
        pairs.append((name.strip(), int(label)))
    if not pairs:
        raise UserError(f'{path} lists no image.')
    return pairs


def shared_files(first: Sequence[Path], second: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Return the files of ``second`` that are identical to a file of ``first``, as pairs of both.

    Only files of equal size and equal middle bytes are read completely.
    """
    groups = [(list(first), list(second))]
    for key in (os.path.getsize, _middle, _digest):
        split = []
        for ours, theirs in groups:
            by_key = defaultdict(lambda: ([], []))
            for side, paths in enumerate((ours, theirs)):
                for path in paths:
                    by_key[key(path)][side].append(path)
            split += [pair for pair in by_key.values() if all(pair)]
        groups = split
    return sorted((ours[0], path) for ours, theirs in groups for path in theirs)


def _middle(path: Path) -> bytes:
    with open(path, 'rb') as file:
        file.seek(os.path.getsize(path) // 2)
        return file.read(256)


def _digest(path: Path) -> bytes:
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').digest()
