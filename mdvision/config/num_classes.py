"""The number of classes from the data: ``num_classes=None`` of a config is filled before building."""

from pathlib import Path

from mmengine.config import Config

from mdvision.console import say
from mdvision.datasets.class_folders import class_names

from .tree import dicts

__all__ = ['fill_num_classes']


def fill_num_classes(cfg: Config) -> int | None:
    """Set every ``num_classes=None`` of the model to the number of classes of the image folder, and say so.

    That is the number of folders in ``data_root/train``, or of the ``classes`` of the data set where it
    names them.

    Args:
        cfg: changed in place, below ``model`` and in ``data_preprocessor``.

    Returns:
        the number, or None where nothing was to be filled or there is no image folder.

    Raises:
        UserError: the folder is not there, with the layout that is expected.
    """
    parts = [cfg.get('model'), cfg.get('data_preprocessor')]
    unset = [node for part in parts for node in dicts(part) if node.get('num_classes', 0) is None]
    dataset = _image_folder((cfg.get('train_dataloader') or {}).get('dataset'))
    if not unset or dataset is None:
        return None
    classes, source = dataset.get('classes') or (dataset.get('metainfo') or {}).get('classes'), 'classes='
    if not classes:
        from mdvision.datasets.image_folder import check_splits  # the host is needed from here on
        from mdvision.datasets.public_data import check_root

        root = Path(check_root('ImageFolder', dataset.get('data_root')))
        check_splits(root, 'train', False)
        folder = root / 'train'
        classes, source = class_names(folder), str(folder)
    for node in unset:
        node['num_classes'] = len(classes)
    names = ', '.join(classes[:6]) + (', ...' if len(classes) > 6 else '')
    say(f'{len(classes)} classes, from {source}: {names}')
    return len(classes)


def _image_folder(dataset: dict | None) -> dict | None:
    """The ImageFolder in a data set and its wrappers."""
    return next((d for d in dicts(dataset) if str(d.get('type')).endswith('mdvision.ImageFolder')), None)
