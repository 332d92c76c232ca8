"""Shared by the readers of public data sets: splits, a holdout, and the message for missing data.

mdvision never downloads data. A missing file is an error that says where the data set comes from and how it
is laid out.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import torch
from mmpretrain.datasets import BaseDataset

from mdvision.errors import UserError, did_you_mean

__all__ = ['ArrayDataset', 'check_choice', 'check_root', 'holdout_rows', 'missing_data']


class ArrayDataset(BaseDataset, ABC):
    """Images that are kept in memory as one array. A subclass defines how to read them.

    An entry has ``img`` (H, W) or (H, W, 3) uint8 in RGB order and ``gt_label``.

    Args:
        data_root: the folder of the data.
        split: ``'train'`` or ``'test'``. These data sets have no official validation split; with ``holdout``,
            ``'train'`` leaves out the held-out images, ``'val'`` is those, and ``'trainval'`` is both.
        holdout: number of training images to hold out, see :func:`holdout_rows`.
        holdout_seed: seed of their selection.
        as_rgb: repeat a grayscale image to three equal channels.
        **kwargs: passed on to mmpretrain's ``BaseDataset``.

    Attributes:
        side: height and width of the images in pixels.
    """

    side: int

    def __init__(
        self,
        data_root: str = '',
        split: str = 'train',
        holdout: int = 0,
        holdout_seed: int = 42,
        as_rgb: bool = False,
        test_mode: bool | None = None,
        **kwargs,
    ) -> None:
        name = type(self).__name__
        check_choice(name, 'split', split, ('train', 'val', 'trainval', 'test'))
        if isinstance(holdout, bool) or not isinstance(holdout, int) or holdout < 0:
            raise UserError(f'{name}: expected holdout as a number of images, 0 or more, got {holdout!r}.')
        if split == 'val' and not holdout:
            raise UserError(
                f"{name} has no official validation split: split='val' needs holdout=N, which sets aside N "
                'images '
                'of the training split (for example holdout=5000, in train_dataloader.dataset too); or use '
                "split='test'."
            )
        self.split = split
        self.holdout = holdout
        self.holdout_seed = holdout_seed
        self.as_rgb = as_rgb
        super().__init__(
            ann_file='',
            data_root=check_root(name, data_root),
            data_prefix=dict(root=''),
            test_mode=split in ('val', 'test') if test_mode is None else test_mode,
            **kwargs,
        )

    @property
    def root(self) -> Path:
        return Path(self.data_root)

    @abstractmethod
    def read(self, train: bool):
        """Read the images (by row) and their labels, of the training or test files.

        Raises:
            UserError: the files cannot be used.
        """

    def load_data_list(self) -> list[dict]:
        """Return the row and label of every image of the split; the pixels stay in one array."""
        self._images, labels = self.read(train=self.split != 'test')
        rows = range(len(labels))
        if self.holdout and self.split in ('train', 'val'):
            rows = holdout_rows(
                type(self).__name__, len(labels), self.holdout, self.holdout_seed, self.split == 'val'
            )
        return [dict(row=row, gt_label=int(labels[row])) for row in rows]

    def pixels(self, row: int):
        """Return a copy of one image, which transforms may modify."""
        return self._images[row].copy()

    def get_data_info(self, idx: int) -> dict:
        """Return the entry of one image with its pixels."""
        info = super().get_data_info(idx)
        image = self.pixels(info.pop('row'))
        if self.as_rgb and image.ndim == 2:
            image = image[..., None].repeat(3, axis=-1)
        info['img'] = image
        return info

    def get_cat_ids(self, idx: int) -> list[int]:
        """Return the label of one image, without loading its pixels."""
        return [int(super().get_data_info(idx)['gt_label'])]

    def extra_repr(self) -> list[str]:
        """Return mdvision's lines of ``repr``."""
        return [f'Root of dataset: \t{self.data_root}', f'Split: \t{self.split}']


def holdout_rows(name: str, total: int, holdout: int, seed: int, validation: bool) -> list[int]:
    """Return the rows of the held-out part or of the rest, in ``torch.utils.data.random_split``'s order."""
    if holdout >= total:
        raise UserError(f'{name}: holdout={holdout} leaves nothing of {total} training images. Lower it.')
    order = torch.randperm(total, generator=torch.Generator().manual_seed(seed)).tolist()
    return order[total - holdout :] if validation else order[: total - holdout]


def check_choice(name: str, key: str, value, choices: Sequence[str]) -> None:
    """Check that ``value`` is one of ``choices``.

    Raises:
        UserError: it is not.
    """
    if value not in choices:
        hint = did_you_mean(str(value), choices)
        raise UserError(f'{name}: expected {key} one of {tuple(choices)}, got {value!r}.{hint}')


def check_root(name: str, data_root) -> str:
    """Return ``data_root`` as text with ~ expanded.

    Raises:
        UserError: it is missing.
    """
    if not data_root or not isinstance(data_root, (str, Path)):
        raise UserError(f'{name}: data_root, the folder of the data, is required; got {data_root!r}.')
    return str(Path(data_root).expanduser())


def missing_data(name: str, root: Path, missing: Sequence[str], source: str, layout: str) -> UserError:
    """Return the error for missing files.

    Args:
        name: the data set.
        root: its folder.
        missing: the expected files or folders, relative to ``root``.
        source: who distributes the data.
        layout: what ``root`` should contain.
    """
    what = f'there is no folder {root}' if not root.is_dir() else f'files are missing in {root}'
    return UserError(
        f'{name}: {what} (from {Path.cwd()}).\n'
        f'  expected: {", ".join(missing)}\n'
        f'  get it from: {source}. mdvision downloads no data.\n'
        f'  layout: {layout}\n'
        '  data elsewhere: --cfg-options data_root=FOLDER'
    )
