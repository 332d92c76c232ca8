"""Images that become unreadable during a run: retried, replaced, counted and reported.

Every file is checked before the first iteration. Still, a disk may fail later, or somebody may move a
folder. Training then continues with another image in place of the bad one; validation does not, because
its numbers would be those of a different data set.
"""

import contextlib
import json
import logging
import math
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch.utils.data import Dataset

from mdvision.console import say
from mdvision.datasets.image_check import unreadable
from mdvision.errors import UserError
from mdvision.text import shortlist

__all__ = ['BadImagesHook', 'ImageGuard', 'TooManyBadImagesError', 'UnreadableImageError']

_WAITS = (0.1, 0.5)  # seconds before an image is tried again: a network drive may have failed for a moment
_MOST_OTHERS = 100  # replacements to try for one image
_NAMED = 20  # images named in a message


class UnreadableImageError(UserError):
    """An image of a validation or test set can no longer be read."""

    def __init__(self, message: str):
        # An error from a data worker arrives with the text of its whole traceback before the message.
        super().__init__(message.rpartition('UnreadableImageError: ')[2].strip())


class TooManyBadImagesError(UserError):
    """More images became unreadable than ``max_bad_images`` allows; the run has saved its position."""


class ImageGuard:
    """Fetch images of a data set, and another image in place of one whose file cannot be read.

    Attributes:
        reports: the file in which bad images are recorded, one JSON line per image; if None, they are errors.
    """

    def __init__(self, dataset: Dataset, seed: int):
        self.dataset = dataset
        self.reports: str | None = None
        self._seed = seed
        self._known: set[int] = set()

    def fetch(self, index: int, reseed: Callable[[], None] = lambda: None) -> object:
        """Return the image at an index.

        Args:
            index: index in the data set.
            reseed: called before every attempt, so that each draws the same random numbers.

        Raises:
            UnreadableImageError: its file cannot be read, and no other image may replace it.
        """
        for other in self._candidates(index):
            error = None
            for wait in (0.0, *(_WAITS if other not in self._known else ())):
                time.sleep(wait)
                reseed()
                try:
                    return self.dataset[other]
                except Exception as caught:
                    error = error or caught
            path = self._path(other)
            reason = path and unreadable(path)
            if not reason:  # the file is intact: a bug in the pipeline, which must not be hidden
                raise error
            if self.reports is None:
                raise UnreadableImageError(
                    f'{path} {reason}. It belongs to a validation or test set, where no other image can '
                    'replace it. Restore the file.'
                ) from error
            self._report(other, path, reason)
        raise error

    def _candidates(self, index: int):
        """Yield the index, then others determined by it and the seed."""
        yield index
        others = np.random.default_rng((self._seed, index)).integers(len(self.dataset), size=_MOST_OTHERS)
        yield from (int(other) for other in others if int(other) != index and int(other) not in self._known)

    def _path(self, index: int) -> str | None:
        if not hasattr(self.dataset, 'get_data_info'):
            return None
        path = self.dataset.get_data_info(index).get('img_path')
        return path if isinstance(path, str) else None

    def _report(self, index: int, path: str, reason: str) -> None:
        if index not in self._known:
            self._known.add(index)
            line = json.dumps(dict(index=index, path=path, reason=reason)) + '\n'
            with open(self.reports, 'ab', buffering=0) as file:  # one write: lines of workers do not mix
                file.write(line.encode())


class BadImagesHook(Hook):
    """Report every training image that became unreadable, once, and end a run with too many of them.

    The config's ``max_bad_images`` is a number of images, or a fraction of the training set below 1; by
    default 0.01. With several processes, each has its share of that limit. ``found`` lists the images since
    the start or the last resumption, with the keys ``path`` and ``reason``.
    """

    def __init__(self):
        self.found: list[dict] = []
        self._indices: set[int] = set()
        self._file: Path | None = None
        self._read = 0
        self._limit = 0.0

    def before_train(self, runner: Runner) -> None:
        loader = runner.train_dataloader
        guard = getattr(getattr(loader, 'images', None), 'guard', None)
        if guard is None:
            return
        self._limit = _limit(runner.cfg.get('max_bad_images', 0.01), len(loader.dataset)) / get_world_size()
        handle, name = tempfile.mkstemp(prefix='mdvision_bad_images_', suffix='.jsonl')
        os.close(handle)
        self._file = Path(name)
        guard.reports = name
        runner.bad_images = self.found

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        self._look(runner)

    def after_train(self, runner: Runner) -> None:
        self._look(runner)
        if self.found:
            text = 'training images became unreadable and were replaced by others'
            say(f'{len(self.found)} {text}: {_named(self.found)}')

    def after_run(self, runner: Runner) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.unlink()

    def _look(self, runner: Runner) -> None:
        if self._file is None or self._file.stat().st_size == self._read:
            return
        with open(self._file, 'rb') as file:
            file.seek(self._read)
            lines = file.read().rpartition(b'\n')[0]
        self._read += len(lines) + 1
        for line in lines.splitlines():
            bad = json.loads(line)
            if bad.pop('index') in self._indices:
                continue
            self._indices.add(json.loads(line)['index'])
            self.found.append(bad)
            text = f'{bad["path"]} {bad["reason"]}: replaced by another image'
            print_log(text, logger='current', level=logging.WARNING)
        if len(self.found) > self._limit and getattr(runner, 'stop_because', None) is None:
            runner.stop_because = TooManyBadImagesError(
                f'{len(self.found)} training images became unreadable, and max_bad_images allows '
                f'{math.floor(self._limit)} of {len(runner.train_dataloader.dataset)}: '
                f'{_named(self.found)}.\n  The run was stopped and has saved interrupted.pth: restore the '
                'files and continue with --resume.'
            )


def _limit(given: object, images: int) -> float:
    """Return how many images may become unreadable."""
    if isinstance(given, bool) or not isinstance(given, int | float) or given < 0:
        raise UserError(f'max_bad_images: expected a number of images or a fraction below 1, got {given!r}.')
    return given * images if 0 < given < 1 else given


def _named(found: list[dict]) -> str:
    return shortlist((f'{bad["path"]} ({bad["reason"]})' for bad in found), _NAMED)
