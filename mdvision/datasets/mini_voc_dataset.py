"""The generated data set as a config entry: created on first use, then read like any VOC folder."""

from .mini_voc import CLASSES, ensure_mini_voc
from .voc import VOCDataset

__all__ = ['MiniVOCDataset']


class MiniVOCDataset(VOCDataset):
    """:class:`VOCDataset` on a folder that :func:`ensure_mini_voc` generates if it is missing.

    Args:
        data_root: the folder to create and read.
        ann_file: ``'ImageSets/Main/train.txt'`` or ``'.../val.txt'``.
        num_train: number of training images.
        num_val: number of validation images.
        size: (width, height) of an image in pixels.
        data_seed: seed of the generator.
        **kwargs: the other arguments of :class:`VOCDataset`.
    """

    METAINFO = dict(classes=CLASSES)

    def __init__(
        self,
        data_root: str,
        ann_file: str,
        num_train: int = 320,
        num_val: int = 80,
        size: tuple[int, int] = (160, 120),
        data_seed: int = 0,
        **kwargs,
    ):
        ensure_mini_voc(data_root, num_train, num_val, tuple(size), data_seed)
        kwargs.setdefault('metainfo', dict(classes=CLASSES))
        super().__init__(data_root=data_root, ann_file=ann_file, **kwargs)
