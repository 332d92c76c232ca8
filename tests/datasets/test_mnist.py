"""MNIST, Fashion-MNIST and EMNIST: the published format, splits, and every fault of their files."""

import gzip
import stat

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope

from mdvision import EMNIST, MNIST, FashionMNIST, UserError
from mdvision.console import import_upstream

rng = np.random.default_rng(0)


def idx(array: np.ndarray) -> bytes:
    """The bytes of an IDX file of unsigned bytes."""
    sizes = b''.join(size.to_bytes(4, 'big') for size in array.shape)
    return bytes((0, 0, 8, array.ndim)) + sizes + array.astype(np.uint8).tobytes()


def write(folder, names, images, labels, packed=True):
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(names, (images, labels), strict=True):
        data = idx(array)
        if packed:
            (folder / f'{name}.gz').write_bytes(gzip.compress(data))
        else:
            (folder / name).write_bytes(data)


IMAGES, LABELS = rng.integers(0, 256, (40, 28, 28)), np.arange(40)[::-1] % 10
TEST_IMAGES, TEST_LABELS = rng.integers(0, 256, (8, 28, 28)), np.arange(8)


@pytest.fixture(params=['packed', 'unpacked'])
def folder(request, tmp_path):
    packed = request.param == 'packed'
    write(tmp_path, MNIST.files[True], IMAGES, LABELS, packed)
    write(tmp_path, MNIST.files[False], TEST_IMAGES, TEST_LABELS, packed)
    return tmp_path


@pytest.fixture
def packed_folder(tmp_path):
    write(tmp_path, MNIST.files[True], IMAGES, LABELS)
    return tmp_path


def rows(dataset) -> list[int]:
    """The rows of the training file that the entries are."""
    return [
        int(np.flatnonzero((dataset.get_data_info(i)['img'] == IMAGES).all((1, 2)))[0])
        for i in range(len(dataset))
    ]


def test_train_and_test_are_the_files(folder):
    train, test = MNIST(str(folder)), MNIST(str(folder), split='test')
    assert [len(train), len(test)] == [40, 8]
    assert rows(train) == list(range(40))
    assert train.get_gt_labels().tolist() == LABELS.tolist()
    assert test.get_gt_labels().tolist() == TEST_LABELS.tolist()
    assert (test.get_data_info(3)['img'] == TEST_IMAGES[3]).all()
    assert not train.test_mode and test.test_mode
    assert train.metainfo['classes'][0] == '0 - zero'


def test_files_with_a_dot_before_idx(tmp_path):
    write(tmp_path, [name.replace('-idx', '.idx') for name in MNIST.files[True]], IMAGES, LABELS)
    assert len(MNIST(str(tmp_path))) == 40


def test_a_read_only_folder_stays_as_it_is(packed_folder):
    before = sorted(path.name for path in packed_folder.iterdir())
    packed_folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        assert len(MNIST(str(packed_folder))) == 40
    finally:
        packed_folder.chmod(stat.S_IRWXU)
    assert sorted(path.name for path in packed_folder.iterdir()) == before


def test_holdout_is_random_split(packed_folder):
    generator = torch.Generator().manual_seed(42)
    first, last = torch.utils.data.random_split(range(40), [30, 10], generator=generator)
    build = {
        split: MNIST(str(packed_folder), split=split, holdout=10) for split in ('train', 'val', 'trainval')
    }
    assert rows(build['train']) == list(first)
    assert rows(build['val']) == list(last)
    assert rows(build['trainval']) == list(range(40))
    assert build['val'].get_gt_labels().tolist() == LABELS[last.indices].tolist()
    assert rows(MNIST(str(packed_folder), holdout=10, holdout_seed=0)) != list(first)


def test_val_needs_a_holdout(packed_folder):
    with pytest.raises(UserError, match='no official validation split'):
        MNIST(str(packed_folder), split='val')
    with pytest.raises(UserError, match='leaves nothing of 40'):
        MNIST(str(packed_folder), split='val', holdout=40)
    with pytest.raises(UserError, match='number of images'):
        MNIST(str(packed_folder), holdout=0.1)


def test_as_rgb_repeats_grey(packed_folder):
    image = MNIST(str(packed_folder), as_rgb=True).get_data_info(0)['img']
    assert image.shape == (28, 28, 3) and image.dtype == np.uint8
    assert (image == IMAGES[0][..., None]).all()


def test_a_transform_cannot_change_the_data(packed_folder):
    dataset = MNIST(str(packed_folder))
    dataset.get_data_info(0)['img'][:] = 0
    assert (dataset.get_data_info(0)['img'] == IMAGES[0]).all()


def test_indices_take_the_first_images(packed_folder):
    assert (
        rows(MNIST(str(packed_folder), holdout=10, indices=3))
        == rows(MNIST(str(packed_folder), holdout=10))[:3]
    )


def test_absent_files(tmp_path):
    with pytest.raises(UserError) as caught:
        MNIST(str(tmp_path / 'none'))
    text = str(caught.value)
    assert f'there is no folder {tmp_path / "none"}' in text
    assert 'train-images-idx3-ubyte.gz' in text and 'train-labels-idx1-ubyte.gz' in text
    assert 'Yann LeCun' in text and '--cfg-options data_root=FOLDER' in text
    assert not (tmp_path / 'none').exists()
    write(tmp_path, MNIST.files[True], IMAGES, LABELS)
    (tmp_path / 'train-labels-idx1-ubyte.gz').unlink()
    with pytest.raises(UserError, match=r'files are missing .*\n  expected: train-labels-idx1-ubyte or'):
        MNIST(str(tmp_path))


def test_wrong_arguments(packed_folder):
    with pytest.raises(UserError, match=r"expected split one of .* got 'tset'. Did you mean 'test'"):
        MNIST(str(packed_folder), split='tset')
    with pytest.raises(UserError, match='data_root'):
        MNIST()


IMAGES_FILE, LABELS_FILE = (f'{name}.gz' for name in MNIST.files[True])
FAULTS = {
    'half a gz': (IMAGES_FILE, lambda data: gzip.compress(data)[:-2000], 'cannot be read'),
    'no gz': (IMAGES_FILE, lambda data: b'\x1f\x8bnothing', 'cannot be read'),
    'changed byte': (IMAGES_FILE, lambda data: gzip.compress(data)[:-8] + b'12345678', 'cannot be read'),
    'empty': (LABELS_FILE, lambda data: b'', 'an empty file'),
    'web page': (LABELS_FILE, lambda data: b'<!DOCTYPE html>', 'HTML'),
    'labels for images': (IMAGES_FILE, lambda data: idx(LABELS), 'begin with 00 00 08 03, got 00 00 08 01'),
    'only a header': (IMAGES_FILE, lambda data: data[:4], 'not an IDX file'),
    'too short': (IMAGES_FILE, lambda data: data[:-5], '40 x 28 x 28 bytes, it holds 31355'),
    'too long': (IMAGES_FILE, lambda data: data + b'1', 'wrong size'),
    'no images': (IMAGES_FILE, lambda data: idx(IMAGES[:0]), 'wrong size'),
    'fewer labels': (LABELS_FILE, lambda data: idx(LABELS[:39]), '40 images, but .* has 39 labels'),
    'label too large': (LABELS_FILE, lambda data: idx(LABELS + 1), 'has the label 10, expected 0 to 9'),
}


@pytest.mark.parametrize('fault', FAULTS)
def test_a_damaged_file_is_named(packed_folder, fault):
    name, damage, message = FAULTS[fault]
    path = packed_folder / name
    path.write_bytes(damage(gzip.decompress(path.read_bytes())))
    with pytest.raises(UserError, match=message) as caught:
        MNIST(str(packed_folder))
    assert str(path) in str(caught.value)


def test_mnist_and_fashion_mnist_are_told_apart(tmp_path):
    fashion = np.array([9, 0, 0, 3, 0, 2, 7, 2, 5, 5])
    write(tmp_path, MNIST.files[True], IMAGES[:10], fashion)
    with pytest.raises(UserError, match='is the file of FashionMNIST'):
        MNIST(str(tmp_path))
    dataset = FashionMNIST(str(tmp_path))
    assert dataset.metainfo['classes'][9] == 'Ankle boot' and len(dataset) == 10


@pytest.mark.parametrize('inner', ['', 'gzip'])
def test_emnist_is_turned_upright(tmp_path, inner):
    write(tmp_path / inner, EMNIST.files[True], IMAGES.transpose(0, 2, 1), LABELS)
    write(tmp_path / inner, EMNIST.files[False], TEST_IMAGES.transpose(0, 2, 1), TEST_LABELS)
    assert rows(EMNIST(str(tmp_path))) == list(range(40))
    assert (EMNIST(str(tmp_path), split='test').get_data_info(2)['img'] == TEST_IMAGES[2]).all()
    with pytest.raises(UserError, match='EMNIST page of NIST'):
        EMNIST(str(tmp_path / 'none'))


def test_they_build_in_a_config(tmp_path):
    from mmpretrain.registry import DATASETS

    import_upstream('mmpretrain')
    init_default_scope('mmpretrain')
    pipeline = [dict(type='PackInputs')]
    for kind in (MNIST, FashionMNIST, EMNIST):
        folder = tmp_path / kind.__name__
        write(folder, kind.files[True], IMAGES, LABELS)
        dataset = DATASETS.build(
            dict(type=f'mdvision.{kind.__name__}', data_root=str(folder), pipeline=pipeline)
        )
        assert type(dataset) is kind
        item = dataset[0]
        assert item['inputs'].shape == (1, 28, 28)
        assert item['data_samples'].gt_label.tolist() == [9]
    with pytest.raises(UserError):
        DATASETS.build(dict(type='mdvision.MNIST', data_root=str(tmp_path / 'none')))


def test_the_real_mnist(real_data):
    train, test = (MNIST(str(real_data / 'mnist'), split=split) for split in ('train', 'test'))
    assert [len(train), len(test)] == [60000, 10000]
    assert train.get_data_info(0)['gt_label'] == 5
    assert test.get_data_info(0)['gt_label'] == 7
    assert np.bincount(train.get_gt_labels()).tolist()[:3] == [5923, 6742, 5958]
    held = MNIST(str(real_data / 'mnist'), split='val', holdout=5000)
    assert len(held) == 5000
    with pytest.raises(UserError, match='is the file of MNIST'):
        FashionMNIST(str(real_data / 'mnist'))
