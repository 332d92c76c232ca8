"""The generated data set: repeatable bytes, true VOC files, boxes that fit, folders it leaves alone."""

import hashlib
import json
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET

import cv2
import numpy as np
import pytest

from mdvision.datasets import mini_voc, mini_voc_draw
from mdvision.errors import UserError

SMALL = {'num_train': 6, 'num_val': 3, 'size': (96, 72)}


def digests(root):
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob('*'))
        if path.is_file()
    }


def objects(root, pattern='*.xml'):
    for path in sorted((root / 'Annotations').glob(pattern)):
        for node in ET.parse(path).getroot().findall('object'):
            box = [int(node.find('bndbox').find(k).text) for k in ('xmin', 'ymin', 'xmax', 'ymax')]
            yield (
                path,
                node.findtext('name'),
                box,
                int(node.findtext('difficult')),
                int(node.findtext('truncated')),
            )


@pytest.fixture(scope='module')
def full_set(tmp_path_factory):
    """The demo's own set, with its default arguments."""
    return mini_voc.make_mini_voc(tmp_path_factory.mktemp('mini') / 'full')


def test_same_seed_gives_the_same_bytes(tmp_path):
    first = digests(mini_voc.make_mini_voc(tmp_path / 'a', **SMALL))
    assert first == digests(mini_voc.make_mini_voc(tmp_path / 'b', **SMALL))
    other = digests(mini_voc.make_mini_voc(tmp_path / 'c', **SMALL, seed=1))
    assert set(other) == set(first)
    images = [name for name in first if name.endswith('.jpg')]
    assert len(images) == 9
    assert not any(first[name] == other[name] for name in images)
    assert len({first[name] for name in images}) == 9


def test_a_larger_set_begins_with_the_smaller_one(tmp_path):
    small = digests(mini_voc.make_mini_voc(tmp_path / 'a', **SMALL))
    large = digests(mini_voc.make_mini_voc(tmp_path / 'b', num_train=8, num_val=5, size=SMALL['size']))
    for name, digest in small.items():
        if name.endswith(('.jpg', '.xml')):
            assert large[name] == digest, name


def test_voc_layout(tmp_path):
    root = mini_voc.make_mini_voc(tmp_path / 'set', **SMALL)
    read = {n: (root / f'ImageSets/Main/{n}.txt').read_text().split() for n in ('train', 'val', 'trainval')}
    assert (len(read['train']), len(read['val'])) == (6, 3)
    assert read['trainval'] == read['train'] + read['val']
    for image_id in read['trainval']:
        assert cv2.imread(str(root / 'JPEGImages' / f'{image_id}.jpg')).shape == (72, 96, 3)
        node = ET.parse(root / 'Annotations' / f'{image_id}.xml').getroot()
        assert [child.tag for child in node][:5] == ['folder', 'filename', 'source', 'size', 'segmented']
        assert node.findtext('filename') == f'{image_id}.jpg'
        assert [node.findtext(f'size/{k}') for k in ('width', 'height', 'depth')] == ['96', '72', '3']
        for item in node.findall('object'):
            assert [child.tag for child in item] == ['name', 'pose', 'truncated', 'difficult', 'bndbox']


def test_default_set_is_balanced_and_varied(full_set):
    found = list(objects(full_set))
    names = [name for _, name, *_ in found]
    counts = np.array([names.count(name) for name in mini_voc.CLASSES])
    assert set(names) == set(mini_voc.CLASSES)
    assert counts.min() > 0.85 * counts.max()
    empty = 400 - len({path for path, *_ in found})  # 320 to train, 80 to validate
    assert 0.04 * 400 < empty < 0.13 * 400
    sides = np.array([max(b[2] - b[0], b[3] - b[1]) + 1 for _, _, b, _, truncated in found if not truncated])
    assert sides.min() < 24 and sides.max() > 60
    difficult = sum(d for *_, d, _ in found)
    truncated = sum(t for *_, t in found)
    assert 0.02 * len(found) < difficult < 0.12 * len(found)
    assert 0.04 * len(found) < truncated < 0.2 * len(found)


def test_boxes_lie_in_the_image_and_cut_objects_touch_its_border(full_set):
    for path, name, (xmin, ymin, xmax, ymax), _, truncated in objects(full_set):
        assert 1 <= xmin < xmax <= 160 and 1 <= ymin < ymax <= 120, (path, name)
        if truncated:
            assert xmin == 1 or ymin == 1 or xmax == 160 or ymax == 120, (path, name)


def test_boxes_are_tight_on_what_is_painted():
    """Painting one object changes pixels in its box up to every side, and none outside it."""
    rng = np.random.default_rng(0)
    for name in mini_voc.CLASSES * 6:
        item = None
        while item is None or item.truncated:
            item = mini_voc_draw._place(rng, name, 160, 120)
        before = np.full((120, 160, 3), 90, np.float32)
        changed = np.abs(mini_voc_draw._paint(rng, before, item) - before).max(axis=2) > 0
        solid = changed & (item.alpha >= 0.5)
        ys, xs = np.nonzero(solid)
        xmin, ymin, xmax, ymax = item.box
        assert (xmin, ymin, xmax, ymax) == (xs.min() + 1, ys.min() + 1, xs.max() + 1, ys.max() + 1)
        ys, xs = np.nonzero(changed)  # the soft rim of a sharp tip reaches a little further
        assert xs.min() >= xmin - 4 and ys.min() >= ymin - 4 and xs.max() <= xmax + 2 and ys.max() <= ymax + 2


def test_hidden_objects_are_difficult_and_none_is_invisible():
    hidden = 0
    for index in range(200):
        _, drawn = mini_voc_draw.draw_image('train', index, (160, 120), 3)
        for position, item in enumerate(drawn):
            seen = item.mask.copy()
            for later in drawn[position + 1 :]:
                seen &= ~later.mask
            fraction = seen.sum() / item.full_pixels
            assert fraction == item.visible_fraction
            assert fraction >= mini_voc_draw.MIN_VISIBLE
            if fraction < mini_voc_draw.DIFFICULT_VISIBLE:
                hidden += 1
                assert item.difficult
    assert hidden >= 3


def test_ensure_leaves_a_complete_set_alone_and_repairs_another(tmp_path, monkeypatch):
    root = tmp_path / 'deep' / 'set'
    mini_voc.ensure_mini_voc(root, **SMALL)
    before = digests(root)
    with monkeypatch.context() as patch:
        patch.setattr(mini_voc, '_write_set', lambda *_: pytest.fail('a complete set was drawn again'))
        mini_voc.ensure_mini_voc(root, **SMALL)

    (root / 'JPEGImages' / 'train_000002.jpg').unlink()
    (root / 'Annotations' / 'val_000001.xml').write_bytes(b'')
    assert digests(mini_voc.ensure_mini_voc(root, **SMALL)) == before

    mini_voc.ensure_mini_voc(root, **{**SMALL, 'num_train': 2})
    assert len(list((root / 'JPEGImages').iterdir())) == 5
    assert [p.name for p in root.parent.iterdir()] == ['set'], 'temporary folders were left behind'


@pytest.mark.parametrize('make', [mini_voc.ensure_mini_voc, mini_voc.make_mini_voc])
def test_other_peoples_files_are_never_deleted(tmp_path, make):
    foreign = tmp_path / 'photos'
    foreign.mkdir()
    (foreign / 'mine.jpg').write_bytes(b'x')
    with pytest.raises(UserError, match=r'photos.*mine\.jpg.*mini_voc\.json'):
        make(foreign, **SMALL)

    root = mini_voc.make_mini_voc(tmp_path / 'set', **SMALL)
    (root / 'JPEGImages' / 'holiday.jpg').write_bytes(b'x')
    with pytest.raises(UserError, match=r'JPEGImages/holiday\.jpg'):
        make(root, **{**SMALL, 'num_val': 1})
    assert (root / 'JPEGImages' / 'holiday.jpg').exists() and len(list((root / 'JPEGImages').iterdir())) == 10

    file = tmp_path / 'file'
    file.write_text('x')
    with pytest.raises(UserError, match='it is a file'):
        make(file, **SMALL)


def test_callers_at_once_share_one_set(tmp_path):
    root = tmp_path / 'set'
    expected = digests(mini_voc.make_mini_voc(tmp_path / 'alone', **SMALL))
    mini_voc.make_mini_voc(root, num_train=1, num_val=1, size=(64, 48))  # an older one that all must replace
    failures = []

    def call():
        try:
            assert digests(mini_voc.ensure_mini_voc(root, **SMALL)) == expected
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert sorted(p.name for p in tmp_path.iterdir()) == ['alone', 'set']


def test_the_slower_of_two_callers_keeps_the_set_of_the_faster(tmp_path, monkeypatch):
    root, write = tmp_path / 'set', mini_voc._write_set
    inodes = []

    def write_while_another_finishes(folder, stamp):
        monkeypatch.setattr(mini_voc, '_write_set', write)
        inodes.append(mini_voc.ensure_mini_voc(root, **SMALL).stat().st_ino)
        write(folder, stamp)

    monkeypatch.setattr(mini_voc, '_write_set', write_while_another_finishes)
    mini_voc.ensure_mini_voc(root, **SMALL)
    assert inodes == [root.stat().st_ino]
    assert [p.name for p in tmp_path.iterdir()] == ['set']


@pytest.mark.parametrize('bad', [{'num_train': -1}, {'size': (20, 100)}, {'seed': -3}])
def test_bad_arguments(tmp_path, bad):
    with pytest.raises(UserError, match='expected counts and seed >= 0'):
        mini_voc.ensure_mini_voc(tmp_path / 'set', **{**SMALL, **bad})
    assert not (tmp_path / 'set').exists()


def test_command_line(tmp_path, capsys):
    root = tmp_path / 'my set'
    args = [str(root), '--train', '5', '--val', '2', '--size', '64', '48', '--seed', '4']
    assert mini_voc.main(args) == 0
    line = capsys.readouterr().out
    assert line.count('\n') == 1
    summary = json.loads((root / 'mini_voc.json').read_text())['summary']
    assert '5 train + 2 val images' in line
    names = [name for _, name, *_ in objects(root)]
    for name in mini_voc.CLASSES:
        assert f'{name} {names.count(name)}' in line
        assert summary['objects'][name] == names.count(name)

    (tmp_path / 'other').mkdir()
    (tmp_path / 'other' / 'x').write_text('x')
    assert mini_voc.main([str(tmp_path / 'other')]) == 1
    assert 'error: mini_voc does not touch' in capsys.readouterr().err


def test_importing_the_package_brings_no_host_library():
    code = (
        'import sys, mdvision.datasets as d; d.make_mini_voc; d.ensure_mini_voc\n'
        'import mdvision.datasets.voc_annotation\n'
        "print([m for m in ('mmdet', 'mmpretrain') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '[]'
