"""CIFAR-10, CIFAR-100 and CIFAR-10 as JPEG: their formats, splits and the faults of their files."""

import hashlib
import pickle

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope

from mdvision import CIFAR10, CIFAR10JPEG, CIFAR100, UserError
from mdvision.console import import_upstream

rng = np.random.default_rng(0)
PIXELS = rng.integers(0, 256, (24, 3072), dtype=np.uint8)


def upright(planes: np.ndarray) -> np.ndarray:
    """(n, 3072) planes to (n, 32, 32, 3), written down anew."""
    return np.stack([planes[:, :1024], planes[:, 1024:2048], planes[:, 2048:]], -1).reshape(-1, 32, 32, 3)


@pytest.fixture
def cifar10(tmp_path):
    folder = tmp_path / 'cifar-10-batches-py'
    folder.mkdir()
    for number in range(5):
        part = slice(4 * number, 4 * number + 4)
        batch = {'data': PIXELS[part], 'labels': [number, 9, 0, 3], 'batch_label': f'{number}'}
        (folder / f'data_batch_{number + 1}').write_bytes(pickle.dumps(batch, protocol=2))
    (folder / 'test_batch').write_bytes(pickle.dumps({'data': PIXELS[20:], 'labels': [8, 1, 2, 7]}))
    return tmp_path


@pytest.fixture
def cifar100(tmp_path):
    folder = tmp_path / 'cifar-100-python'
    folder.mkdir()
    for name, part, start in (('train', slice(0, 20), 80), ('test', slice(20, 24), 10)):
        count = part.stop - part.start
        labels = list(range(start, start + count))
        batch = {'data': PIXELS[part], 'fine_labels': labels, 'coarse_labels': [0] * count}
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
    return tmp_path


def test_cifar10_is_read(cifar10):
    train, test = CIFAR10(str(cifar10)), CIFAR10(str(cifar10), split='test')
    assert [len(train), len(test)] == [20, 4]
    images = np.stack([train.get_data_info(i)['img'] for i in range(20)])
    assert (images == upright(PIXELS)[:20]).all()
    assert train.get_gt_labels()[:8].tolist() == [0, 9, 0, 3, 1, 9, 0, 3]
    assert test.get_gt_labels().tolist() == [8, 1, 2, 7]
    assert train.metainfo['classes'][:2] == ('airplane', 'automobile')
    assert len(CIFAR10(str(cifar10 / 'cifar-10-batches-py'))) == 20  # data_root may be the folder itself


def test_cifar100_has_the_fine_labels(cifar100):
    train, test = CIFAR100(str(cifar100)), CIFAR100(str(cifar100), split='test')
    assert train.get_gt_labels().tolist() == list(range(80, 100))
    assert test.get_gt_labels().tolist() == [10, 11, 12, 13]
    assert len(train.metainfo['classes']) == 100
    assert (test.get_data_info(0)['img'] == upright(PIXELS)[20]).all()


def test_holdout_is_random_split(cifar10):
    first, last = torch.utils.data.random_split(range(20), [15, 5], torch.Generator().manual_seed(42))
    for split, expected in (('train', first), ('val', last)):
        dataset = CIFAR10(str(cifar10), split=split, holdout=5)
        images = np.stack([dataset.get_data_info(i)['img'] for i in range(len(dataset))])
        assert (images == upright(PIXELS)[list(expected)]).all()


def test_files_written_by_python_2(cifar10):
    """As the published ones: byte strings, and arrays whose data are byte strings."""
    path = cifar10 / 'cifar-10-batches-py' / 'test_batch'
    data = PIXELS[20:].tobytes()
    text = pickle.dumps({'labels': [8, 1, 2, 7]}, protocol=2)
    array = (
        b'U\x04datacnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR(K\x01(K\x04M'
        b'\x00\x0ctcnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb'
        b'\x89T' + len(data).to_bytes(4, 'little') + data + b'tbs.'
    )
    assert text.endswith(b's.')
    path.write_bytes(text[:-1] + array)
    test = CIFAR10(str(cifar10), split='test')
    assert (test.get_data_info(1)['img'] == upright(PIXELS)[21]).all()


def test_absent_files(tmp_path, cifar10):
    with pytest.raises(UserError) as caught:
        CIFAR100(str(tmp_path / 'none'))
    assert 'cifar-100-python/train' in str(caught.value) and 'Krizhevsky' in str(caught.value)
    (cifar10 / 'cifar-10-batches-py' / 'data_batch_3').unlink()
    (cifar10 / 'cifar-10-python.tar.gz').write_bytes(b'')
    with pytest.raises(UserError, match=r'expected: cifar-10-batches-py/data_batch_3\n') as caught:
        CIFAR10(str(cifar10))
    assert 'tar -xzf' in str(caught.value) and 'not yet unpacked' in str(caught.value)
    assert len(CIFAR10(str(cifar10), split='test')) == 4


class Harmful:
    def __reduce__(self):
        return print, ('this ran',)


FAULTS = {
    'cut': (lambda data: data[:-500], 'cannot be read'),
    'text': (lambda data: b'<html>', 'cannot be read'),
    'empty': (lambda data: b'', 'cannot be read'),
    'code': (lambda data: pickle.dumps(Harmful()), r'asks for \w+.print'),
    'a list': (lambda data: pickle.dumps([1]), 'expected a batch with data and labels, got list'),
    'cifar-100': (lambda data: pickle.dumps({'data': PIXELS, 'fine_labels': []}), r"got \['data', 'fine"),
    'wrong width': (lambda data: pickle.dumps({'data': PIXELS[:, :9], 'labels': [0] * 24}), r'\(24, 9\)'),
    'label short': (lambda data: pickle.dumps({'data': PIXELS, 'labels': [0] * 23}), r'labels \(23,\)'),
    'label range': (lambda data: pickle.dumps({'data': PIXELS, 'labels': [10] * 24}), 'labels from 0 to 9'),
    'no images': (lambda data: pickle.dumps({'data': PIXELS[:0], 'labels': []}), r'\(0, 3072\)'),
}


@pytest.mark.parametrize('fault', FAULTS)
def test_a_damaged_batch_is_named(cifar10, fault, capsys):
    damage, message = FAULTS[fault]
    path = cifar10 / 'cifar-10-batches-py' / 'data_batch_2'
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=message) as caught:
        CIFAR10(str(cifar10))
    assert str(path) in str(caught.value)
    assert 'this ran' not in capsys.readouterr().out


def test_the_checksums_are_those_of_the_publisher_and_read_on_request(cifar10, monkeypatch):
    with pytest.raises(UserError, match='md5'):
        CIFAR10(str(cifar10), split='test', check_md5=True)
    data = (cifar10 / 'cifar-10-batches-py' / 'test_batch').read_bytes()
    monkeypatch.setattr(CIFAR10.host, 'test_list', [['test_batch', hashlib.md5(data).hexdigest()]])
    assert len(CIFAR10(str(cifar10), split='test', check_md5=True)) == 4


def jpeg_arrays(count: int = 6) -> dict:
    smooth = [np.full((32, 32, 3), (200, 20 * i, 30), np.uint8) for i in range(count)]  # RGB
    files = [cv2.imencode('.jpg', image[..., ::-1])[1].ravel() for image in smooth]
    return dict(
        jpeg=np.concatenate(files),
        offsets=np.cumsum([0, *map(len, files)]),
        labels=np.arange(count, dtype=np.uint8),
        classes=np.array(CIFAR10JPEG.METAINFO['classes']),
    )


def test_cifar10_jpeg_is_decoded_to_rgb(tmp_path):
    np.savez(tmp_path / 'train.npz', **jpeg_arrays())
    dataset = CIFAR10JPEG(str(tmp_path))
    assert len(dataset) == 6 and dataset.metainfo['dataset_type'] == 'cifar10-jpeg'
    image = dataset.get_data_info(4)['img']
    assert image.shape == (32, 32, 3)
    assert np.abs(image.astype(int) - (200, 80, 30)).max() <= 3
    held = CIFAR10JPEG(str(tmp_path), split='val', holdout=2)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(42))
    assert held.get_gt_labels().tolist() == order[4:].tolist()
    with pytest.raises(UserError, match=r'test\.npz'):
        CIFAR10JPEG(str(tmp_path), split='test')


JPEG_FAULTS = {
    'labels': (lambda a: a.update(labels=a['labels'][:5]), 'do not match'),
    'label range': (lambda a: a['labels'].fill(77), 'labels from 0 to 9'),
    'end': (lambda a: a.update(jpeg=a['jpeg'][:-1]), 'do not match'),
    'order': (lambda a: a['offsets'].__setitem__(2, a['offsets'][1]), 'do not increase'),
    'shifted': (lambda a: a['offsets'].__setitem__(3, a['offsets'][3] + 1), 'image 2 is not a complete JPEG'),
    'classes': (lambda a: a.update(classes=a['classes'][::-1]), 'expected the classes'),
    'absent': (lambda a: a.pop('offsets'), 'cannot be read'),
    'objects': (lambda a: a.update(labels=np.array([{}] * 6)), 'cannot be read'),
}


@pytest.mark.parametrize('fault', JPEG_FAULTS)
def test_a_damaged_jpeg_archive_is_named(tmp_path, fault):
    arrays = jpeg_arrays()
    damage, message = JPEG_FAULTS[fault]
    damage(arrays)
    np.savez(tmp_path / 'train.npz', **arrays)
    with pytest.raises(UserError, match=message) as caught:
        CIFAR10JPEG(str(tmp_path))
    assert str(tmp_path / 'train.npz') in str(caught.value)


def test_a_cut_jpeg_archive_is_named(tmp_path):
    np.savez(tmp_path / 'train.npz', **jpeg_arrays())
    (tmp_path / 'train.npz').write_bytes((tmp_path / 'train.npz').read_bytes()[:-300])
    with pytest.raises(UserError, match=r'train\.npz cannot be read'):
        CIFAR10JPEG(str(tmp_path))


def test_they_build_in_a_config(cifar10, cifar100):
    from mmpretrain.registry import DATASETS

    import_upstream('mmpretrain')
    init_default_scope('mmpretrain')
    np.savez(cifar10 / 'train.npz', **jpeg_arrays())
    pipeline = [dict(type='RandomCrop', crop_size=32, padding=4), dict(type='PackInputs')]
    for kind in (CIFAR10, CIFAR100, CIFAR10JPEG):
        cfg = dict(type=f'mdvision.{kind.__name__}', data_root=str(cifar10), pipeline=pipeline)
        dataset = DATASETS.build(cfg)
        assert type(dataset) is kind
        assert dataset[0]['inputs'].shape == (3, 32, 32)


def test_the_real_cifar10_jpeg(real_data):
    train, test = (CIFAR10JPEG(str(real_data / 'cifar10_jpeg'), split=split) for split in ('train', 'test'))
    assert [len(train), len(test)] == [50000, 10000]
    assert np.bincount(train.get_gt_labels()).tolist() == [5000] * 10
    assert np.bincount(test.get_gt_labels()).tolist() == [1000] * 10
    # Red, green, blue of aeroplanes on average: the sky is blue, so blue is the largest.
    mean = np.mean([train.get_data_info(i)['img'].mean((0, 1)) for i in range(500)], axis=0)
    assert mean[2] > mean[1] > mean[0]
