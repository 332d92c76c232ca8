"""Compare training and validation sets: class names, held-out images, images in both."""

from collections.abc import Iterator
from pathlib import Path

from mdvision.datasets.class_folders import shared_files
from mdvision.datasets.wrappers import unwrapped
from mdvision.findings import Finding
from mdvision.text import shortlist

from .images import image_paths

__all__ = ['check_splits']


def check_splits(training: object, validation: object, split: str = 'val') -> list[Finding]:
    """Find what is wrong between two built data sets.

    Args:
        training: the training set.
        validation: the validation or test set.
        split: name of the second one: ``'val'`` or ``'test'``.
    """
    return [
        *_class_names(training, validation, split),
        *_holdout(training, validation),
        *_shared_images(training, validation, split),
    ]


def _class_names(training: object, validation: object, split: str) -> Iterator[Finding]:
    """Compare class names by position, which is the label: another name makes every metric wrong."""
    for ours in unwrapped(training):
        for theirs in unwrapped(validation):
            first, second = (
                (getattr(part, 'metainfo', None) or {}).get('classes') for part in (ours, theirs)
            )
            if not first or not second or list(first) == list(second):
                continue
            place = next(
                (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b),
                min(len(first), len(second)),
            )
            names = [repr(part[place]) if place < len(part) else 'no class' for part in (first, second)]
            yield Finding(
                'error', f'{split}_dataloader',
                f'label {place} is {names[0]} in training and {names[1]} here. Training: '
                f'{len(first)} classes, {shortlist(first)}. Here: {len(second)}, {shortlist(second)}',
                'use the same names in the same order in both, in metainfo=dict(classes=...)',
            )  # fmt: skip
            return


def _holdout(training: object, validation: object) -> Iterator[Finding]:
    """Check that images held out for validation are not trained on."""
    for ours in unwrapped(training):
        for held in unwrapped(validation):
            same = type(ours) is type(held) and getattr(ours, 'data_root', 0) == getattr(held, 'data_root', 1)
            if not same or getattr(held, 'split', None) != 'val' or not getattr(held, 'holdout', 0):
                continue
            wanted = dict(split='train', holdout=held.holdout, holdout_seed=held.holdout_seed)
            given = {key: getattr(ours, key) for key in wanted}
            if given != wanted:
                text = [', '.join(f'{k}={v!r}' for k, v in one.items()) for one in (wanted, given)]
                yield Finding(
                    'error', 'train_dataloader.dataset',
                    'The validation uses held-out training images, which the training does not leave out: '
                    f'expected {text[0]} in train_dataloader.dataset, got {text[1]}',
                )  # fmt: skip
                return


def _shared_images(training: object, validation: object, split: str) -> Iterator[Finding]:
    """Warn about shared images; not an error, because training on the validation set can be a test."""
    if all(getattr(part, 'compares_with_train', False) for part in unwrapped(validation)):
        return
    ours, theirs = image_paths(training), image_paths(validation)
    ours, theirs = ([Path(p) for p in dict.fromkeys(paths) if Path(p).is_file()] for paths in (ours, theirs))
    both = shared_files(ours, theirs)
    if both:
        pairs = shortlist((f'{path} = {twin}' if path != twin else str(path) for twin, path in both), 5)
        yield Finding(
            'warning', f'{split}_dataloader',
            f'{len(both)} of {len(theirs)} images are in the training set too, byte for byte, so the metrics '
            f'are too high: {pairs}',
            'remove them from one of the two, unless the run only tests whether the model can learn',
        )  # fmt: skip
