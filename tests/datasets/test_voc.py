"""VOCDataset: what it delivers, and what it repairs with a line in its summary."""

import os
import pickle
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmdet.datasets import AspectRatioBatchSampler
from mmdet.datasets import VOCDataset as HostVOCDataset
from mmdet.registry import DATASETS as DET_DATASETS
from mmengine.dataset import ConcatDataset, DefaultSampler, RepeatDataset
from mmengine.registry import DATASETS
from PIL import Image
from voc_folder import CATS, TRAIN, Folder, item, turned

from mdvision.datasets import VOCDataset
from mdvision.datasets.mini_voc import CLASSES, make_mini_voc
from mdvision.errors import UserError

XML, JPG = 'Annotations/b.xml', 'JPEGImages/b.jpg'


@pytest.fixture(scope='module')
def mini(tmp_path_factory):
    return make_mini_voc(
        tmp_path_factory.mktemp('data') / 'mini', num_train=14, num_val=6, size=(96, 72), seed=2
    )


def test_entries_are_mmdets_but_for_the_right_and_lower_edge(mini):
    """mmdet subtracts 1 from all four numbers; ours keep xmax and ymax, the far side of the last pixel."""
    ours = VOCDataset(str(mini), TRAIN, {'classes': CLASSES}, show_summary=False)
    host = HostVOCDataset(
        data_root=str(mini.parent),
        ann_file=f'{mini.name}/{TRAIN}',
        data_prefix={'sub_data_root': mini.name},
        metainfo={'classes': CLASSES},
    )
    assert len(ours) == len(host) == 14
    compared = 0
    for mine, theirs in zip(ours, host, strict=True):
        assert {k: mine[k] for k in ('img_id', 'height', 'width')} == {
            k: theirs[k] for k in ('img_id', 'height', 'width')
        }
        assert os.path.samefile(mine['img_path'], theirs['img_path'])
        assert os.path.samefile(mine['xml_path'], theirs['xml_path'])
        for a, b in zip(mine['instances'], theirs['instances'], strict=True):
            assert (a['bbox_label'], a['ignore_flag']) == (b['bbox_label'], b['ignore_flag'])
            assert a['bbox'] == [b['bbox'][0], b['bbox'][1], b['bbox'][2] + 1, b['bbox'][3] + 1]
            compared += 1
    assert compared > 15


def test_resolves_by_its_dotted_name_and_has_no_bare_one(mini):
    config = {'type': 'mdvision.VOCDataset', 'data_root': str(mini), 'ann_file': TRAIN, 'show_summary': False}
    for registry in (DATASETS, DET_DATASETS):
        assert type(registry.build({**config, 'metainfo': {'classes': list(CLASSES)}})) is VOCDataset
    assert DET_DATASETS.get('VOCDataset') is HostVOCDataset


def test_works_under_the_wrappers_samplers_and_pickle(folder):
    Folder(folder.root.parent / 'second', ('x', 'y'))
    a = folder.read(show_summary=False)
    b = folder.read(data_root=str(folder.root.parent / 'second'), show_summary=False)
    both = ConcatDataset([a, b])
    assert [both[i]['img_id'] for i in range(5)] == ['a', 'b', 'c', 'x', 'y']
    assert both.metainfo == {'classes': ('cat', 'dog')}
    assert len(RepeatDataset(a, times=3)) == 9
    assert a.get_cat_ids(0) == [0, 1]
    copy = pickle.loads(pickle.dumps(a))
    assert copy[2] == a[2]
    batches = list(AspectRatioBatchSampler(DefaultSampler(both, shuffle=False), batch_size=2))
    assert sorted(i for batch in batches for i in batch) == [0, 1, 2, 3, 4]


def test_pipeline_delivers_an_image_and_its_boxes(folder):
    folder.xml('a', item(box=(1, 1, 64, 48)) + item('dog', difficult='<difficult>1</difficult>'))
    steps = [{'type': 'mmdet.LoadImageFromFile'}, {'type': 'mmdet.LoadAnnotations', 'with_bbox': True}]
    sample = folder.read(pipeline=steps, show_summary=False)[0]
    assert sample['img'].shape == (48, 64, 3)
    assert sample['gt_bboxes'].tensor.tolist() == [[0, 0, 64, 48], [1, 2, 30, 20]]
    assert sample['gt_bboxes_labels'].tolist() == [0, 1]
    assert sample['gt_ignore_flags'].tolist() == [False, True]


def test_summary_is_one_block(folder, summary):
    folder.xml('b')
    folder.xml('c', item(difficult='<difficult>1</difficult>'))
    data = folder.read()
    assert summary() == (
        f'VOC split {TRAIN}: 3 images (1 without objects), 3 objects (1 difficult): cat 2, dog 1; '
        'boxes 1-based (auto: none begins at 0)'
    )
    data.full_init()
    data[0]
    assert summary().count('VOC split') == 1
    assert len(data) == 3  # the image without objects is kept


def test_only_the_main_process_prints_but_every_one_raises(folder, summary, monkeypatch):
    monkeypatch.setattr('mdvision.datasets.voc.is_main_process', lambda: False)
    folder.read()
    assert summary() == ''
    (folder.root / 'JPEGImages/a.jpg').unlink()
    with pytest.raises(UserError, match='images missing'):
        folder.read()


REPAIRS = {
    'degenerate': (
        lambda f: f.xml('b', item() + item(box=(5, 5, 5, 5))),
        ['degenerate boxes dropped (1): Annotations/b.xml object 2'],
        [[1, 2, 30, 20]],
    ),
    'swapped': (
        lambda f: f.xml('b', item(box=(30, 3, 2, 20))),
        ['swapped corners reordered (1): Annotations/b.xml object 1'],
        [[1, 2, 30, 20]],
    ),
    'clipped': (
        lambda f: f.xml('b', item(box=(30, -4, 70, 20))),
        ['boxes clipped to the image (1): Annotations/b.xml object 1'],
        [[29, 0, 64, 20]],
    ),
    'difficult missing': (
        lambda f: f.xml('b', item(difficult='')),
        ['objects without <difficult>, taken as 0 (1): Annotations/b.xml object 1'],
        [[1, 2, 30, 20]],
    ),
    'difficult odd': (
        lambda f: f.xml('b', item(difficult='<difficult>False</difficult>')),
        ["unusual <difficult> values, read as words or taken as 0 (1): Annotations/b.xml object 1 ('False')"],
        [[1, 2, 30, 20]],
    ),
    'no size': (
        lambda f: f.xml('b', item(), size=None),
        ['taken from the image (1): Annotations/b.xml'],
        [[1, 2, 30, 20]],
    ),
    'size 0': (lambda f: f.xml('b', item(), size=(0, 48)), ['taken from the image (1)'], [[1, 2, 30, 20]]),
    'size 64.0': (
        lambda f: f.xml('b', item(), size=('64.0', 48)),
        ['taken from the image (1)'],
        [[1, 2, 30, 20]],
    ),
    'size exchanged': (
        lambda f: f.xml('b', item(box=(2, 3, 60, 20)), size=(48, 64)),
        ['width and height swapped, taken from the image (the boxes prove it) (1): Annotations/b.xml'],
        [[1, 2, 60, 20]],
    ),
    'other image of the id': (
        lambda f: f.xml('b', item(), filename='a.jpg'),
        ["name another id's image, ignored (1): Annotations/b.xml (a.jpg)"],
        [[1, 2, 30, 20]],
    ),
    'floats': (lambda f: f.xml('b', item(box=(2.5, 3, 30.25, 20))), ['boxes 1-based'], [[1.5, 2, 30.25, 20]]),
}


@pytest.mark.fault('1.19', '1.20', '1.21', '1.23', '1.36')
@pytest.mark.parametrize('name', REPAIRS)
def test_repair_is_counted_and_named(folder, summary, name):
    spoil, expected, boxes = REPAIRS[name]
    spoil(folder)
    info = folder.read()[1]
    for text in expected:
        assert text in summary()
    assert [one['bbox'] for one in info['instances']] == boxes
    assert (info['width'], info['height']) == (64, 48)
    assert info['img_path'].endswith('b.jpg')


def test_summary_names_ten_places_and_counts_the_rest(folder, summary):
    folder.xml('b', item() + item(box=(5, 5, 5, 5)) * 13)
    folder.read()
    assert 'degenerate boxes dropped (13)' in summary()
    assert 'object 11, and 3 more' in summary()


@pytest.mark.fault('1.9')
@pytest.mark.parametrize('suffix', ['.jpeg', '.png', '.bmp', '.JPG', '.tif'])
def test_other_image_endings_are_found(folder, summary, suffix):
    (folder.root / JPG).unlink()
    folder.image('b', suffix=suffix)
    assert folder.read()[1]['img_path'].endswith(f'b{suffix}')
    assert f'an extension other than .jpg (1): JPEGImages/b{suffix}' in summary()


def test_of_several_endings_the_stated_one_counts(folder, summary):
    folder.image('b', suffix='.png')
    assert folder.read()[1]['img_path'].endswith('b.jpg')
    folder.xml('b', item(), filename='C:\\pictures\\b.png')
    assert folder.read()[1]['img_path'].endswith('b.png')


def test_an_image_may_be_named_by_its_file_name_alone(folder, summary):
    (folder.root / JPG).rename(folder.root / 'JPEGImages/photo.jpg')
    folder.xml('b', item(), filename='photo.jpg')
    assert folder.read()[1]['img_path'].endswith('photo.jpg')
    assert 'images found by <filename>, not by their id (1): Annotations/b.xml (photo.jpg)' in summary()


def test_box_base(folder, summary):
    def first(**options):
        return folder.read(**options)[0]['instances'][0]['bbox']

    assert first() == first(box_base=1) == [1, 2, 30, 20]
    assert first(box_base=0) == [2, 3, 30, 20]
    assert summary().endswith('; boxes 0-based')
    folder.xml('c', item(box=(0, 3, 9, 9)))  # one box at 0 decides for the whole split
    assert first() == [2, 3, 30, 20]
    assert 'boxes 0-based (auto: 1 begin at 0: Annotations/c.xml object 1)' in summary()
    folder.xml('c', item(box=(3, 0, 9, 9)))
    assert first() == [2, 3, 30, 20]
    assert 'cannot have' not in summary()
    assert first(box_base=1) == [1, 2, 30, 20]
    assert 'box_base=1, but 1 boxes begin at 0' in summary() and 'set box_base=0' in summary()


def test_placeholder_boxes_do_not_decide_the_base(folder, summary):
    folder.xml('c', item() + item(box=(0, 0, 0, 0)))
    folder.read()
    assert 'boxes 1-based' in summary() and 'degenerate boxes dropped (1)' in summary()


def test_classes_without_an_object_are_a_warning(folder, summary):
    for test_mode in (False, True):
        folder.read(metainfo={'classes': ('cat', 'dog', 'cow', 'emu')}, test_mode=test_mode)
    assert summary().count('no object of 2 of 4 classes: cow, emu') == 2


def test_a_test_split_without_any_object_is_read_with_a_warning(folder, summary):
    for image_id in 'abc':
        folder.xml(image_id)
    assert len(folder.read(test_mode=True)) == 3
    assert 'no object of 2 of 2 classes' in summary()


def test_ignore_classes(folder, summary):
    folder.xml('b', item('cow') + item() + item('cow'))
    data = folder.read(ignore_classes='cow')
    assert len(data[1]['instances']) == 1
    assert 'left out by ignore_classes: cow 2' in summary()


@pytest.mark.fault('1.24', '1.25', '1.37')
def test_filters_are_counted_and_only_for_training(folder, summary):
    folder.xml('a', item() + item(box=(10, 3, 20, 40)) + item('dog'))
    folder.xml('b')
    folder.image('c', size=(20, 16))
    folder.xml('c', item(box=(2, 3, 15, 12)), size=(20, 16))
    rules = {'filter_empty_gt': True, 'min_size': 32, 'bbox_min_size': 18}
    data = folder.read(filter_cfg=rules)
    assert [data[i]['img_id'] for i in range(len(data))] == ['a']
    assert 'dropped by filter_empty_gt: 1 of 3 images' in summary()
    assert 'dropped by min_size=32: 1 of 2 images' in summary()
    assert 'ignored in training by bbox_min_size: 2 boxes' in summary()
    assert [one['ignore_flag'] for one in data.get_data_info(0)['instances']] == [0, 1, 0]
    assert len(folder.read(filter_cfg=rules, test_mode=True)) == 3
    with pytest.raises(UserError, match=r'min_size=999: 3 of 3 images.*Relax the filter'):
        folder.read(filter_cfg={'min_size': 999})


def test_indices_take_a_part(folder, summary):
    assert len(folder.read(indices=2)) == 2
    assert 'used by indices: 2 images' in summary()


def test_exif_that_the_loader_leaves_alone(folder, summary):
    turned(folder, (64, 48))
    steps = [{'type': 'mmdet.LoadImageFromFile', 'color_type': 'color_ignore_orientation'}]
    data = folder.read(pipeline=steps)
    assert data[1]['img'].shape == (48, 64, 3)
    assert (data.get_data_info(1)['width'], data.get_data_info(1)['height']) == (64, 48)
    turned(folder, (48, 64))
    with pytest.raises(UserError, match=r'b\.jpg: EXIF orientation 6.*48x64'):
        folder.read(pipeline=steps)
    default = folder.read(pipeline=[{'type': 'mmdet.LoadImageFromFile'}])  # turns, as the XML expects
    assert default[1]['img'].shape == (64, 48, 3)
    assert (default.get_data_info(1)['width'], default.get_data_info(1)['height']) == (48, 64)


@pytest.mark.fault('1.7')
def test_sixteen_bit_images_are_a_warning(folder, summary):
    (folder.root / JPG).unlink()
    cv2.imwrite(str(folder.root / 'JPEGImages/b.png'), np.full((48, 64), 4000, np.uint16))
    folder.read()
    assert '16-bit images' in summary() and 'JPEGImages/b.png' in summary()


def test_an_image_upside_down_is_a_warning_that_names_the_image(folder, summary):
    exif = Image.Exif()
    exif[0x0112] = 3
    folder.image('b', exif=exif)
    folder.read()
    assert 'upside down by EXIF: check that their boxes match the image (1): JPEGImages/b.jpg' in summary()


def test_a_damaged_image_that_is_read_nevertheless_is_a_warning(folder, summary):
    path = folder.image('b', size=(320, 240))
    folder.xml('b', item(), size=(320, 240))
    data = bytearray(path.read_bytes())
    data[-600:-500] = bytes(100)
    path.write_bytes(data)
    folder.read(check_images='decode')
    assert 'OpenCV still reads' in summary()
    assert '(1): JPEGImages/b.jpg (Corrupt JPEG data' in summary()


def test_what_an_object_becomes(folder):
    folder.xml('b', item('dog').replace('<bndbox>', '<truncated>1</truncated><bndbox>'))
    assert folder.read(show_summary=False).get_data_info(1)['instances'] == [
        dict(bbox=[1, 2, 30, 20], bbox_label=1, ignore_flag=0, difficult=0, truncated=1, occluded=0)
    ]


def test_a_split_file_elsewhere_is_named_in_full(folder, tmp_path):
    folder.split(['a', 'none'])
    other = (folder.root / TRAIN).rename(tmp_path / 'mine.txt')
    with pytest.raises(UserError, match=re.escape(f'of split {other} (2 images')):
        folder.read(ann_file=str(other))


def test_images_may_go_unchecked(folder):
    (folder.root / JPG).write_bytes(b'')
    folder.xml('a', item(), size=None)
    cut = folder.root / 'JPEGImages/a.jpg'
    cut.write_bytes(cut.read_bytes()[:-100])
    data = folder.read(check_images='none', show_summary=False)
    assert (data[0]['width'], data[0]['height']) == (64, 48)


@pytest.mark.fault('1.32')
def test_split_without_a_slash_sub_data_root_and_odd_names(tmp_path, monkeypatch):
    Folder(tmp_path / 'données 数据' / 'VOC2007', ('säge 1', 'b'))
    monkeypatch.chdir(tmp_path)
    data = VOCDataset(
        data_root='données 数据',
        ann_file=f'VOC2007/{TRAIN}',
        data_prefix={'sub_data_root': 'VOC2007/'},
        metainfo=CATS,
        show_summary=False,
    )
    assert [info['img_id'] for info in data] == ['säge 1', 'b']
    assert all(Path(info['img_path']).is_file() for info in data)


@pytest.mark.realdata
def test_blood_cells(summary, real_data):
    """BCCD: real label noise. Two boxes of zero size must be named."""
    data = VOCDataset(
        str(real_data / 'bccd'), 'ImageSets/Main/trainval.txt', {'classes': ('RBC', 'WBC', 'Platelets')}
    )
    assert len(data) == 292
    assert sum(len(info['instances']) for info in data) == 3943 - 2
    assert 'boxes 1-based (auto: none begins at 0)' in summary()
    assert 'degenerate boxes dropped (2): ' in summary()
    for place in ('Annotations/BloodImage_00338.xml object 13', 'Annotations/BloodImage_00343.xml object 4'):
        assert place in summary()


def test_an_image_that_resize_would_make_vanish_is_named(folder):
    """Not when its turn comes, by an error of OpenCV without a name."""
    folder.image('b', size=(1, 200))
    folder.xml('b', item(box=(1, 3, 1, 90)), size=(1, 200))
    resize = {'type': 'mmdet.Resize', 'scale': (64, 48), 'keep_ratio': True}
    with pytest.raises(UserError, match=r'b\.jpg \(1x200\)\. .*larger scale'):
        folder.read(pipeline=[resize])
    assert len(folder.read(pipeline=[dict(resize, scale=(400, 200))])) == 3
