"""Tiny data sets in the formats of the published ones: what each data set class of ours reads."""

import io
import json
import pickle
from pathlib import Path

import cv2
import numpy as np

__all__ = [
    'write_caltech101',
    'write_cifar10',
    'write_cifar10_jpeg',
    'write_cifar100',
    'write_coco',
    'write_image_folder',
    'write_imagenet',
    'write_mini_imagenet',
    'write_mnist',
]

CIFAR10_NAMES = (
    'airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck',
)  # fmt: skip


def write_mnist(folder: Path, prefix: tuple[str, str] = ('train', 't10k'), count: int = 16) -> Path:
    """IDX files of ``count`` training and test images; EMNIST's names begin otherwise."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in prefix:
        images = _noise(count, 28, 28)
        labels = np.arange(count, dtype=np.uint8) % 10
        for kind, array in (('images-idx3', images), ('labels-idx1', labels)):
            sizes = b''.join(size.to_bytes(4, 'big') for size in array.shape)
            header = bytes((0, 0, 8, array.ndim)) + sizes
            (folder / f'{name}-{kind}-ubyte').write_bytes(header + array.tobytes())
    return folder


def write_cifar10(folder: Path, count: int = 4) -> Path:
    """The six batches of the Python version, ``count`` images each."""
    names = [f'data_batch_{number}' for number in range(1, 6)] + ['test_batch']
    for name in names:
        _write_batch(folder / 'cifar-10-batches-py' / name, 'labels', count, 10)
    return folder


def write_cifar100(folder: Path, count: int = 16) -> Path:
    """The two batches of the Python version, ``count`` images each."""
    for name in ('train', 'test'):
        _write_batch(folder / 'cifar-100-python' / name, 'fine_labels', count, 100)
    return folder


def write_cifar10_jpeg(folder: Path, count: int = 16) -> Path:
    """train.npz and test.npz of ``count`` JPEG files each."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ('train', 'test'):
        files = [np.frombuffer(_jpeg(32, 32), np.uint8) for _ in range(count)]
        np.savez(
            folder / f'{name}.npz',
            jpeg=np.concatenate(files),
            offsets=np.cumsum([0, *map(len, files)]),
            labels=np.arange(count, dtype=np.uint8) % 10,
            classes=np.array(CIFAR10_NAMES),
        )
    return folder


def write_imagenet(folder: Path, count: int = 8) -> Path:
    """ImageNet in the form of ``meta/SPLIT.txt``: ``count`` images of as many classes in each split."""
    (folder / 'meta').mkdir(parents=True)
    for split in ('train', 'val'):
        for number in range(count):
            _write_picture(folder / split / f'{number}.JPEG')
        lines = (f'{number}.JPEG {number * 7}\n' for number in range(count))
        (folder / 'meta' / f'{split}.txt').write_text(''.join(lines))
    return folder


def write_mini_imagenet(folder: Path) -> Path:
    """The three csv files with 64, 16 and 20 classes of five images, which all are one file."""
    first = folder / 'images' / 'n00000000.jpg'
    _write_picture(first)
    classes = iter(range(100))
    for name, count in (('train', 64), ('val', 16), ('test', 20)):
        lines = ['filename,label']
        for label in (f'n{next(classes):08}' for _ in range(count)):
            for number in range(5):
                file = f'{label}{number:08}.jpg'
                (folder / 'images' / file).hardlink_to(first)
                lines.append(f'{file},{label}')
        (folder / f'{name}.csv').write_text('\n'.join(lines) + '\n')
    return folder


def write_caltech101(folder: Path, classes: tuple[str, ...], count: int = 3) -> Path:
    """``101_ObjectCategories`` with ``count`` images of each class, which all are one file."""
    first = folder / 'image.jpg'
    _write_picture(first)
    for name in classes:
        (folder / '101_ObjectCategories' / name).mkdir(parents=True)
        for number in range(1, count + 1):
            (folder / '101_ObjectCategories' / name / f'image_{number:04}.jpg').hardlink_to(first)
    return folder


def write_image_folder(
    folder: Path, classes: tuple[str, ...] = ('cat', 'dog', 'owl'), count: int = 4
) -> Path:
    """A folder for each class in ``train`` and ``val``."""
    for split in ('train', 'val'):
        for name in classes:
            for number in range(count):
                _write_picture(folder / split / name / f'{number}.jpg')
    return folder


def write_coco(folder: Path) -> Path:
    """The two splits of 2017, four images of two cats each, one of which is a crowd."""
    from mmdet.datasets import CocoDataset

    ids = [number for number in range(1, 91) if number not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)]
    categories = [dict(id=i, name=name) for i, name in zip(ids, CocoDataset.METAINFO['classes'], strict=True)]
    (folder / 'annotations').mkdir(parents=True, exist_ok=True)
    for split in ('train2017', 'val2017'):
        images, annotations = [], []
        for number in range(1, 5):
            _write_picture(folder / split / f'{number:012d}.jpg')
            images.append(dict(id=number, file_name=f'{number:012d}.jpg', height=72, width=80))
            for index in range(2):
                box = [8 + 20 * index, 8, 30, 40]
                annotations.append(
                    dict(
                        id=len(annotations) + 1,
                        image_id=number,
                        category_id=17,
                        bbox=box,
                        area=box[2] * box[3],
                        iscrowd=index,
                    )
                )
        text = json.dumps(dict(images=images, annotations=annotations, categories=categories))
        (folder / 'annotations' / f'instances_{split}.json').write_text(text)
    return folder


_rng = np.random.default_rng(0)


def _noise(*shape: int) -> np.ndarray:
    return _rng.integers(0, 256, shape, dtype=np.uint8)


def _jpeg(height: int, width: int) -> bytes:
    return cv2.imencode('.jpg', _noise(height, width, 3))[1].tobytes()


def _write_picture(path: Path, height: int = 72, width: int = 80) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_jpeg(height, width))


def _write_batch(path: Path, labels_key: str, count: int, classes: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    labels = [number % classes for number in range(count)]
    buffer = io.BytesIO()
    pickle.dump({'data': _noise(count, 3072), labels_key: labels}, buffer, protocol=2)
    path.write_bytes(buffer.getvalue())
