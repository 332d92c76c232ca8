"""Use smaller images for the steps of a check on a CPU: they show the same in less time."""

from collections.abc import Iterator

from mmengine.config import Config

from mdvision.config.tree import dicts, type_name

__all__ = ['LONGEST_SIDE', 'use_smaller_images']

LONGEST_SIDE = 192
"""Pixels of an image in the steps of a check on a CPU."""

_SIZES = ('scale', 'scales', 'crop_size', 'img_scale', 'size', 'border', 'random_size_range')


def use_smaller_images(cfg: Config) -> bool:
    """Cap every size in a detector's training and validation pipelines at :data:`LONGEST_SIDE`.

    A model with a fixed image size (``img_size``), or without a size in its training pipeline, keeps its full
    size; so does a classifier, which may have layers of fixed size.

    Args:
        cfg: the run's config; changed in place.

    Returns:
        whether the training images were made smaller.
    """
    train = list(_pipelines(cfg.train_dataloader.dataset))
    if not _packs_boxes(train) or any('img_size' in part for part in dicts(cfg.model)):
        return False
    # batch_augments of the data preprocessor resize and pad too
    changed = [_cap_sizes(part) for part in (*train, cfg.model.get('data_preprocessor'))]
    if cfg.get('val_dataloader'):
        for pipeline in _pipelines(cfg.val_dataloader.dataset):
            _cap_sizes(pipeline)
    return any(changed)


def _pipelines(dataset: dict) -> Iterator[list]:
    """Yield the pipelines of a data set and of those it wraps."""
    return (part['pipeline'] for part in dicts(dataset) if part.get('pipeline'))


def _packs_boxes(pipelines: list[list]) -> bool:
    return any(type_name(part) == 'PackDetInputs' for part in dicts(pipelines))


def _cap_sizes(value: object) -> bool:
    changed = False
    for part in dicts(value):
        for key in _SIZES:
            if key in part and (capped := _cap(part[key])) != part[key]:
                part[key], changed = capped, True
    return changed


def _cap(size: object) -> object:
    """Cap pixels, one number or several; negative ones are a border cropped from a mosaic of four."""
    if isinstance(size, list | tuple):
        return type(size)(_cap(side) for side in size)
    if isinstance(size, int) and not isinstance(size, bool):
        return min(max(size, -LONGEST_SIDE // 2), LONGEST_SIDE)
    return size
