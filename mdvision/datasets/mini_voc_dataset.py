"""The generated data set as a config entry: made on first use, then read like any VOC folder."""

from .mini_voc import CLASSES, ensure_mini_voc
from .voc import VOCDataset

__all__ = ['MiniVOCDataset']


class MiniVOCDataset(VOCDataset):
    """:class:`VOCDataset` on the folder that :func:`ensure_mini_voc` draws where it is missing.

    Args:
        data_root: the folder to make and read.
        ann_file: ``'ImageSets/Main/train.txt'`` or ``'.../val.txt'``.
        num_train: images of the training split.
        num_val: images of the validation split.
        size: (width, height) of an image.
        data_seed: seed of the drawing.
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
