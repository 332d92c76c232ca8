"""MNIST and its relatives, read from their IDX files as published, compressed with gzip or not.

Nothing is written, so the folder may be read-only. mmpretrain's ``MNIST`` needs all four files uncompressed,
downloads what is missing, and returns the training images for ``split='test'`` unless ``test_mode=True``.
"""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from mmpretrain.datasets.categories import FASHIONMNIST_CATEGORITES, MNIST_CATEGORITES

from mdvision.errors import UserError

from .public_data import ArrayDataset, missing_data

__all__ = ['EMNIST', 'MNIST', 'FashionMNIST', 'read_idx']

# The first labels of the two data sets whose files have the same names.
_FIRST_LABELS = {
    'MNIST': ((5, 0, 4, 1, 9, 2, 1, 3, 1, 4), (7, 2, 1, 0, 4, 1, 4, 9, 5, 9)),
    'FashionMNIST': ((9, 0, 0, 3, 0, 2, 7, 2, 5, 5), (9, 2, 1, 1, 6, 1, 4, 6, 5, 7)),
}


class MNIST(ArrayDataset):
    """Handwritten digits: 60,000 + 10,000 grayscale images of 28 x 28. For arguments see ``ArrayDataset``."""

    METAINFO = {'classes': MNIST_CATEGORITES, 'dataset_type': 'mnist'}
    side = 28
    files = {
        True: ('train-images-idx3-ubyte', 'train-labels-idx1-ubyte'),
        False: ('t10k-images-idx3-ubyte', 't10k-labels-idx1-ubyte'),
    }
    source = 'the MNIST page of Yann LeCun, Corinna Cortes and Christopher Burges'
    folders = ('',)  # subfolders of data_root to search

    def read(self, train: bool) -> tuple[np.ndarray, np.ndarray]:
        """Read the images (n, 28, 28) and labels (n,) of the training or test files.

        Raises:
            UserError: a file is missing, damaged or belongs to another data set.
        """
        images_path, labels_path = self._find(train)
        images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
        if len(images) != len(labels):
            raise UserError(
                f'{type(self).__name__}: {images_path} has {len(images)} images, but {labels_path} has '
                f'{len(labels)} labels. One of them belongs to another data set: download both again.'
            )
        classes = len(self.metainfo['classes'])
        if labels.max() >= classes:
            raise UserError(
                f'{type(self).__name__}: {labels_path} has the label {labels.max()}, expected 0 to '
                f'{classes - 1}. It belongs to another data set.'
            )
        for name, starts in _FIRST_LABELS.items():
            wrong = type(self).__name__ in _FIRST_LABELS and name != type(self).__name__
            if wrong and tuple(labels[:10].tolist()) in starts:
                raise UserError(
                    f'{type(self).__name__}: {labels_path} is the file of {name}, which has the same name. '
                    f'Keep the two data sets in separate folders and correct data_root.'
                )
        return images, labels

    def _find(self, train: bool) -> list[Path]:
        for folder in self.folders:
            found = [_existing(self.root / folder / name) for name in self.files[train]]
            if all(found):
                return found
        missing = [f'{n} or {n}.gz' for n in self.files[train] if not _existing(self.root / n)]
        layout = ', '.join(f'{self.root / name}.gz' for names in self.files.values() for name in names)
        raise missing_data(
            type(self).__name__, self.root, missing, self.source, f'{layout}; compressed or not'
        )


class FashionMNIST(MNIST):
    """Articles of clothing: 60,000 + 10,000 grayscale images of 28 x 28, in files named like MNIST's."""

    METAINFO = {'classes': FASHIONMNIST_CATEGORITES, 'dataset_type': 'fashion-mnist'}
    source = 'the fashion-mnist repository of Zalando Research'


class EMNIST(MNIST):
    """The split "mnist" of EMNIST: 60,000 + 10,000 digits, extracted anew from the NIST forms.

    The files hold every image transposed; here they are upright, like MNIST's.
    """

    METAINFO = {'classes': MNIST_CATEGORITES, 'dataset_type': 'emnist-mnist'}
    files = {
        True: ('emnist-mnist-train-images-idx3-ubyte', 'emnist-mnist-train-labels-idx1-ubyte'),
        False: ('emnist-mnist-test-images-idx3-ubyte', 'emnist-mnist-test-labels-idx1-ubyte'),
    }
    source = 'the EMNIST page of NIST (gzip.zip, the data in the format of MNIST)'
    folders = ('', 'gzip')  # the archive unpacks into gzip/

    def read(self, train: bool) -> tuple[np.ndarray, np.ndarray]:
        """Read like MNIST, with the images turned upright."""
        images, labels = super().read(train)
        return np.ascontiguousarray(images.transpose(0, 2, 1)), labels


def _existing(path: Path) -> Path | None:
    """Return the file as it exists: plain, compressed, or with a dot before idx as in some copies."""
    dotted = path.with_name(path.name.replace('-idx', '.idx'))
    for base in (path, dotted):
        for candidate in (base, base.with_name(base.name + '.gz')):
            if candidate.is_file():
                return candidate
    return None


def read_idx(path: Path, ndim: int) -> np.ndarray:
    """Read the unsigned bytes of an IDX file with ``ndim`` dimensions.

    The format is 0, 0, 8 (unsigned byte), ndim; each size as four bytes, big-endian; the data.

    Raises:
        UserError: the file is anything else.
    """
    try:
        data = Path(path).read_bytes()
        if data[:2] == b'\x1f\x8b':
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f'{path} cannot be read ({error}). It is damaged: fetch it again.') from error
    if data.lstrip()[:1] == b'<':
        raise UserError(f'{path} is an HTML or XML page, not an IDX file. Fetch it again.')
    magic = bytes((0, 0, 8, ndim))
    if data[:4] != magic or len(data) < 4 * (1 + ndim):
        raise UserError(
            f'{path} is not an IDX file of bytes in {ndim} dimensions: it must begin with {magic.hex(" ")}, '
            f'got {data[:4].hex(" ") or "an empty file"}. Images and labels exchanged, or fetch it again.'
        )
    shape = tuple(np.frombuffer(data, '>u4', ndim, offset=4).tolist())
    offset = 4 * (1 + ndim)
    if math.prod(shape) != len(data) - offset or not math.prod(shape):
        raise UserError(
            f'{path} has the wrong size: its header promises {" x ".join(map(str, shape))} bytes, it holds '
            f'{len(data) - offset}. It is damaged: fetch it again.'
        )
    return np.frombuffer(data, np.uint8, offset=offset).reshape(shape)
