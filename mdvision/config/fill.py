"""Fill what a config leaves open: ``num_classes=None`` from the data, ``in_channels=None`` from the backbone.

Both are filled in the config before anything is built, so that the config saved in the work directory
contains the numbers. Detectors fill channels and strides themselves (:mod:`mdvision.detectors`).
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import Tensor

from mdvision.console import import_upstream, say
from mdvision.datasets.class_folders import class_names
from mdvision.errors import UserError
from mdvision.models.shapes import channels_of, trace, trace_backbone

from .tree import DatasetConfig, config_datasets, type_name

__all__ = ['fill_config']


def fill_config(cfg: Config) -> None:
    """Fill every ``num_classes=None`` from the training set and a classifier's ``in_channels=None``.

    ==============================================  ======================================================
    key                                             filled with
    ==============================================  ======================================================
    ``num_classes`` anywhere in ``model`` and in     the number of classes of the training set: of its
    ``data_preprocessor``                           ``classes`` or ``metainfo``; of the folders of an
                                                    ``ImageFolder``; of the data set's class
    ``in_channels`` in ``model.neck`` and            channels of the last feature that it gets, read off a
    ``model.head``                                  forward pass on the meta device
    ==============================================  ======================================================

    A number that is written in the config stays.

    Args:
        cfg: changed in place.

    Raises:
        UserError: ``num_classes`` of the model is open, but the data does not say it; the folder of an
            ``ImageFolder`` is not there; or ``in_channels`` is open, but the backbone gives no features.
    """
    model = cfg.get('model') or {}
    classes = [*_open(model, 'num_classes', 'model')]
    classes += _open(cfg.get('data_preprocessor'), 'num_classes', 'data_preprocessor')
    channels = []
    if 'head' in model:  # a classifier
        for part in ('neck', 'head'):
            channels += _open(model.get(part), 'in_channels', f'model.{part}')
    if not classes and not channels:
        return
    scope = cfg.get('default_scope')
    if scope in ('mmdet', 'mmpretrain'):
        import_upstream(scope)
    with DefaultScope.overwrite_default_scope(scope):
        if classes:
            _fill_num_classes(classes, next(config_datasets(cfg, ('train',)), None))
        if channels:
            try:
                _fill_in_channels(model)
            except UserError as error:
                names = ', '.join(f'{name}.in_channels' for _, name in channels)
                raise UserError(f'{names} cannot be filled from the backbone: {error}') from error


def _open(node: object, key: str, name: str = '') -> Iterator[tuple[dict, str]]:
    """Yield the dicts below a part of a config whose ``key`` is None, with their names."""
    if isinstance(node, dict):
        if node.get(key, 0) is None:
            yield node, name
        children = node.items()
    else:
        children = enumerate(node) if isinstance(node, list | tuple) else ()
    for child_name, child in children:
        yield from _open(child, key, f'{name}.{child_name}')


# ---- num_classes


def _fill_num_classes(gaps: list[tuple[dict, str]], dataset: DatasetConfig | None) -> None:
    number, names, source = _classes(dataset) if dataset else (None, (), '')
    if number is None:
        # In a preprocessor or an augmentation, None is an ordinary value.
        needed = [name for _, name in gaps if 'head' in name or name.startswith('model.neck')]
        if needed:
            keys = ' and '.join(f'{name}.num_classes' for name in needed)
            who = f'{dataset.settings["type"]} does not name its classes' if dataset else 'there is none'
            raise UserError(
                f'{keys}: None is the number of classes of the training set (train_dataloader.dataset), but '
                f'{who}. Set the number, or metainfo=dict(classes=[...]) in the data set.'
            )
        return
    for node, _ in gaps:
        node['num_classes'] = number
    first = f': {", ".join(names[:6])}{", ..." * (len(names) > 6)}' if names else ''
    say(f'{number} classes, from {source}{first}')


def _classes(dataset: DatasetConfig) -> tuple[int | None, Sequence[str], str]:
    """Return the number of classes of a data set, their names if known, and the source of this."""
    settings, names = dataset.settings, dataset.classes
    if names:
        in_config = settings.get('classes') or (settings.get('metainfo') or {}).get('classes')
        return len(names), names, 'classes=' if in_config else f'the data set {type_name(settings)}'
    if str(settings.get('type')).endswith('mdvision.ImageFolder'):
        folder = _train_folder(settings)
        names = class_names(folder)
        return len(names), names, str(folder)
    return getattr(dataset.kind, 'num_classes', None), (), f'the data set {type_name(settings)}'


def _train_folder(settings: dict) -> Path:
    from mdvision.datasets.image_folder import check_splits  # from here on, MMPretrain is needed
    from mdvision.datasets.public_data import check_root

    root = Path(check_root('ImageFolder', settings.get('data_root')))
    check_splits(root, 'train', False)
    return root / 'train'


# ---- in_channels


def _fill_in_channels(model: dict) -> None:
    """Fill ``in_channels`` of a classifier: an optional neck, and a head on the last feature."""
    _, features = trace_backbone(model['backbone'], _image_size(model['backbone']))
    neck = model.get('neck') or ()
    for part in [neck] if isinstance(neck, dict) else neck:
        _fill_part(part, features)
        _, features = trace(part, features)
    _fill_part(model['head'], features)


def _fill_part(part: dict, features: Sequence[Tensor]) -> None:
    for node, _ in _open(part, 'in_channels'):
        node['in_channels'] = channels_of(features)[-1]


def _image_size(backbone: Mapping) -> tuple[int, int]:
    """Return the image size that the backbone is made for, by default 224 x 224."""
    size = backbone.get('image_size') or backbone.get('img_size') or 224
    return (size, size) if isinstance(size, int) else tuple(size)
