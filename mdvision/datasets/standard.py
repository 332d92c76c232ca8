"""Public data sets of image files: Caltech-101, ImageNet and mini-ImageNet, checked when they are built."""

import csv
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import torch
from mmpretrain import datasets as hosts
from mmpretrain.datasets import BaseDataset

from mdvision.errors import UserError
from mdvision.text import shortlist

from .class_folders import class_names, compare_classes, image_files, read_pairs
from .public_data import check_choice, check_root, missing_data

__all__ = ['Caltech101', 'ImageNet', 'MiniImageNet']


class Caltech101(hosts.Caltech101):
    """Caltech-101: 102 classes including the background; there is no official split.

    Args:
        data_root: the folder of the data.
        split: ``'train'`` or ``'test'``.
        train_per_class: sample this many training images per class; the rest is for testing. Without it,
            ``meta/train.txt`` and ``meta/test.txt`` (lines ``CLASS/image_0001.jpg LABEL``) define the split.
        split_seed: seed of that sampling.
        **kwargs: passed on to mmpretrain's ``BaseDataset``.
    """

    folder = '101_ObjectCategories'

    def __init__(
        self,
        data_root: str = '',
        split: str = 'train',
        train_per_class: int | None = None,
        split_seed: int = 0,
        **kwargs,
    ) -> None:
        check_choice('Caltech101', 'split', split, ('train', 'test'))
        self.train_per_class = train_per_class
        self.split_seed = split_seed
        super().__init__(data_root=check_root('Caltech101', data_root), split=split, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Return every image of the split with its label.

        Raises:
            UserError: files are missing or differ from the published ones.
        """
        root = Path(self.data_root)
        images = root / self.folder
        if not images.is_dir():
            raise missing_data(
                'Caltech101',
                root,
                [f'{self.folder}/'],
                "CaltechDATA, the California Institute of Technology's archive (caltech-101.zip)",
                f'{images}/CLASS/image_0001.jpg ...',
            )
        if self.train_per_class is None:
            ann_file = Path(self.ann_file)
            if not ann_file.is_file():
                raise UserError(
                    f'Caltech101 has no official split, and {ann_file} is missing. Set train_per_class=30 '
                    'in all three data sets for a fixed random split, or write meta/train.txt and '
                    'meta/test.txt with lines "CLASS/image_0001.jpg LABEL".'
                )
            pairs = read_pairs(ann_file, len(self.CLASSES))
            _all_there(images, [path for path, _ in pairs], ann_file)
        else:
            pairs = self._random_split(images)
        return [dict(img_path=f'{images}/{path}', gt_label=label) for path, label in pairs]

    def _random_split(self, images: Path) -> list[tuple[str, int]]:
        faults = compare_classes(self.CLASSES, class_names(images), str(images), 'Caltech-101')
        if faults:
            raise UserError(
                'Caltech101: the folders differ from the published ones:\n  ' + '\n  '.join(faults)
            )
        generator = torch.Generator().manual_seed(self.split_seed)
        pairs = []
        for label, name in enumerate(self.CLASSES):
            files = image_files(images / name, f'{name}/')[0]
            if not 0 < self.train_per_class < len(files):
                raise UserError(
                    f'Caltech101: train_per_class={self.train_per_class}, but {images / name} has '
                    f'{len(files)} images: at least one must be left for each split.'
                )
            order = torch.randperm(len(files), generator=generator).tolist()
            train = order[: self.train_per_class]
            rows = train if self.split == 'train' else order[self.train_per_class :]
            pairs += [(files[row], label) for row in sorted(rows)]
        return pairs


class ImageNet(hosts.ImageNet):
    """ImageNet (ILSVRC 2012), 1,281,167 + 50,000 images of 1,000 classes.

    Expects either ``SPLIT/CLASS/*.JPEG`` with the same 1,000 folders in ``train`` and ``val``, or a file
    ``meta/SPLIT.txt`` (or ``ann_file``) with lines ``FILE LABEL``, whose files are below ``SPLIT``. The
    images themselves are not opened. For subsets of ImageNet with fewer classes use ``mdvision.ImageFolder``.
    """

    def __init__(self, data_root: str = '', split: str = 'train', data_prefix: str = '', **kwargs) -> None:
        check_choice('ImageNet', 'split', split, ('train', 'val'))  # the labels of test are not public
        root = Path(check_root('ImageNet', data_root))
        self.split = split
        kwargs.setdefault('test_mode', split != 'train')
        if not (root / (data_prefix or split)).is_dir():
            raise missing_data(
                'ImageNet',
                root,
                [f'{split}/'],
                'image-net.org (ILSVRC 2012, after registration)',
                f'{root}/train/n01440764/*.JPEG ..., {root}/val/n01440764/*.JPEG ...; or val/*.JPEG with '
                f'{root}/meta/val.txt, lines "ILSVRC2012_val_00000001.JPEG 65"',
            )
        super().__init__(data_root=str(root), split=split, data_prefix=data_prefix, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Return every image of the split with its label.

        Raises:
            UserError: files are missing or the folders differ from the published ones.
        """
        images = Path(self.img_prefix)
        if self.ann_file:
            pairs = read_pairs(Path(self.ann_file), len(self.CLASSES))
            _all_there(images, [path for path, _ in pairs], Path(self.ann_file))
        else:
            pairs = self._in_folders()
        return [dict(img_path=f'{images}/{path}', gt_label=label) for path, label in pairs]

    def _in_folders(self) -> list[tuple[str, int]]:
        images = Path(self.img_prefix)
        found = class_names(images)
        if not found:
            raise UserError(
                f'ImageNet: {images} has no class folders. The official archive of val has none: move the '
                f'images into folders as in train, or write {self.data_root}/meta/{self.split}.txt with '
                'lines "FILE LABEL".'
            )
        if len(found) != len(self.CLASSES):
            raise UserError(
                f'ImageNet: expected {len(self.CLASSES)} class folders in {images}, found {len(found)}: '
                f'{shortlist(found, 5)}. For fewer classes, use mdvision.ImageFolder.'
            )
        train = Path(self.data_root) / 'train'
        if train.is_dir() and train != images:
            faults = compare_classes(class_names(train), found, str(images), str(train))
            if faults:
                raise UserError('ImageNet: train and val differ:\n  ' + '\n  '.join(faults))
        pairs, empty = [], []
        for label, name in enumerate(found):
            files = image_files(images / name, f'{name}/')[0]
            pairs += [(path, label) for path in files]
            if not files:
                empty.append(name)
        if empty:
            raise UserError(f'ImageNet: class folders without images in {images}: {shortlist(empty)}.')
        return pairs


class MiniImageNet(BaseDataset):
    """mini-ImageNet as a plain classification task: 100 classes, 480 + 120 images each.

    The published files ``train.csv``, ``val.csv`` and ``test.csv`` (columns ``filename,label``) share no
    class. They are merged in this order, and each class is shuffled with NumPy's ``RandomState(1)`` and split
    at 80 %: the first part is ``split='train'``, the rest ``split='val'``. This is the order of pandas'
    ``sample(frac=1, random_state=1)``. The classes are the WordNet ids, sorted.
    """

    tables = ('train.csv', 'val.csv', 'test.csv')
    num_classes = 100

    def __init__(
        self,
        data_root: str = '',
        split: str = 'train',
        test_mode: bool | None = None,
        **kwargs,
    ) -> None:
        check_choice('MiniImageNet', 'split', split, ('train', 'val'))
        self.split = split
        super().__init__(
            ann_file='',
            data_root=check_root('MiniImageNet', data_root),
            data_prefix='images',
            test_mode=split != 'train' if test_mode is None else test_mode,
            **kwargs,
        )

    def load_data_list(self) -> list[dict]:
        """Return every image of the split with its label, class by class.

        Raises:
            UserError: files are missing or differ from the published ones.
        """
        root = Path(self.data_root)
        missing = [name for name in self.tables if not (root / name).is_file()]
        missing += ['images/'] if not (root / 'images').is_dir() else []
        if missing:
            raise missing_data(
                'MiniImageNet',
                root,
                missing,
                'image-net.org (the images); the csv files come with the split of Ravi and Larochelle (2017)',
                f'{root}/{{{",".join(self.tables)}}}, {root}/images/n0153282900000005.jpg ...',
            )
        files = defaultdict(list)
        for name in self.tables:
            for file, label in _read_table(root / name):
                files[label].append(file)
        if len(files) != self.num_classes:
            raise UserError(
                f'MiniImageNet: expected {self.num_classes} classes in {", ".join(self.tables)} of {root}, '
                f'found {len(files)}.'
            )
        every = [file for label in files for file in files[label]]
        twice = sorted(file for file, count in Counter(every).items() if count > 1)
        if twice:
            raise UserError(f'MiniImageNet: listed more than once in the csv files: {shortlist(twice)}.')
        _all_there(root / 'images', every, root / '*.csv')
        self._metainfo['classes'] = tuple(sorted(files))
        entries = []
        for label, name in enumerate(sorted(files)):
            order = np.random.RandomState(1).permutation(len(files[name]))
            cut = len(order) * 4 // 5
            rows = order[:cut] if self.split == 'train' else order[cut:]
            entries += [dict(img_path=f'{root}/images/{files[name][row]}', gt_label=label) for row in rows]
        return entries


def _read_table(path: Path) -> list[tuple[str, str]]:
    with open(path, newline='', encoding='utf-8-sig') as file:
        reader = csv.DictReader(file)
        if not {'filename', 'label'} <= set(reader.fieldnames or ()):
            raise UserError(f'{path}: expected the columns filename,label, got {reader.fieldnames}.')
        rows = []
        for row in reader:
            if not row['filename'] or not row['label']:
                raise UserError(
                    f'{path}, line {reader.line_num}: expected a file name and a label, got {row}.'
                )
            rows.append((row['filename'], row['label']))
    return rows


def _all_there(folder: Path, files: list[str], listed_in: Path) -> None:
    """Check that every listed file is below ``folder``.

    Raises:
        UserError: files are missing.
    """
    present = set(image_files(folder)[0])
    missing = [file for file in files if file.removeprefix('./') not in present]
    if missing:
        raise UserError(
            f'{len(missing)} of {len(files)} images that {listed_in} lists are not in {folder}: '
            f'{shortlist(missing)}. Unpack the archive again.'
        )
