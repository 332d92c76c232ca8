"""Every format is read as its own tool means it, and every fault in it is named."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mdvision.annotations import FORMATS
from mdvision.annotations.conversion import detect_format
from mdvision.annotations.form import Annotations, ConversionReport, ReadOptions
from mdvision.annotations.settle import settle
from mdvision.errors import UserError
from tests.annotations import small_sets as sets


def read(source: Path, kind: str = '', **options) -> tuple[Annotations, ConversionReport]:
    report = ConversionReport('', str(source), 'test')
    kind = kind or detect_format(source)
    data = FORMATS[kind].read(source, report, ReadOptions(check='header', **options))
    settle(data, report, 'header')
    report.raise_faults()
    return data, report


def boxes(data: Annotations) -> dict[str, list]:
    return {image.id: [(box.label, box.corners) for box in image.boxes] for image in data.images}


@pytest.mark.parametrize('kind', sets.SETS)
def test_every_format_is_found_out_and_read_to_the_same_boxes(kind, tmp_path):
    source = sets.SETS[kind](tmp_path / 'set')
    assert detect_format(source) == kind
    data, report = read(source)
    assert data.classes == ('cat', 'dog')
    found, expected = boxes(data), dict(sets.BOXES)
    if kind == 'yolo':  # six decimals do not hold 5.5 of 64 exactly; the whole numbers are exact
        expected['a'] = [expected['a'][0], ('dog', pytest.approx((5.5, 6, 40, 48), abs=64e-6))]
    assert found == expected
    assert all(image.size == (64, 48) and image.split == '' for image in data.images)
    assert report.lines() == []


def message(*args, **kwargs) -> str:
    with pytest.raises(UserError) as caught:
        read(*args, **kwargs)
    return str(caught.value)


COCO_FAULTS = {
    'category': (lambda c: c['annotations'][0].update(category_id=9), 'category_id 9 is not a category'),
    'image': (lambda c: c['annotations'][0].update(image_id=9), 'image_id 9 is not an image of the file'),
    'id twice': (lambda c: c['annotations'][1].update(id=1), 'annotations[1] (id 1): the id'),
    'image twice': (lambda c: c['images'][1].update(id=0), 'images[1] (id 0): the id'),
    'file twice': (lambda c: c['images'][1].update(file_name='a.jpg'), 'images: a.jpg (2x)'),
    'missing': (lambda c: c['images'][1].update(file_name='d.jpg'), 'd.jpg (image id 1)'),
    'outside': (
        lambda c: c['annotations'][0].update(bbox=[70, 2, 9, 9]),
        'annotations[0] (id 1): box (70, 2, 79, 11) lies entirely outside the 64x48 image',
    ),
    'negative': (lambda c: c['annotations'][0].update(bbox=[9, 2, -5, 9]), 'has a negative width or height'),
    'size': (
        lambda c: c['images'][0].update(width=48, height=64),
        'a.jpg: image id 0 says 48x64, the image is 64x48, width and height are swapped',
    ),
    'spaces': (
        lambda c: c['categories'][0].update(name='cat '),
        "class 'cat ': expected a name without spaces",
    ),
    'no list': (lambda c: c.update(images={}), 'expected a list "images" of objects in braces'),
}


@pytest.mark.parametrize('name', COCO_FAULTS)
def test_fault_of_a_coco_file(name, tmp_path):
    spoil, expected = COCO_FAULTS[name]
    assert expected in message(sets.coco(tmp_path / 'set', spoil), 'coco')


def test_a_coco_file_needs_no_area_to_be_converted(tmp_path):
    data, _ = read(sets.coco(tmp_path / 'set', lambda c: c['annotations'][0].pop('area')))
    assert len(data.images[0].boxes) == 2


def test_what_of_coco_is_changed_or_left_out_is_named(tmp_path):
    def spoil(content):
        first, second, third = content['annotations']
        first.update(iscrowd=1, segmentation=dict(size=[48, 64], counts='x'), keypoints=[1, 2, 2])
        second.update(bbox=[50, 6, 34.5, 42], ignore=1, attributes=dict(occluded=True, color='red'))
        third.update(bbox=[10, 10, 0, 10])
        content['images'].append(dict(id=9, file_name='d.jpg', width=64, height=48))

    source = sets.coco(tmp_path / 'set', spoil)
    sets.picture(source / 'images/d.jpg')
    sets.picture(source / 'images/e.jpg')
    data, report = read(source)
    assert boxes(data)['a'][1] == ('dog', (50, 6, 64, 48))
    assert [sorted(box.flags) for box in data.images[0].boxes] == [['difficult'], ['difficult', 'occluded']]
    assert report.lines() == [
        'degenerate boxes dropped (1): annotations[2] (id 4)',
        'boxes clipped to the image (1): annotations[1] (id 2)',
        'segmentations, left out: only boxes are kept (1): annotations[0] (id 1)',
        'crowd regions and ignored objects (iscrowd, ignore), taken as difficult (2): annotations[0] (id 1), '
        'annotations[1] (id 2)',
        'attributes, left out (2): annotations[0] (id 1) (keypoints), annotations[1] (id 2) (color)',
        'image files without an annotation, left out (1): e.jpg',
    ]


def test_coco_files_of_several_splits_must_agree_in_their_categories(tmp_path):
    source = sets.coco(tmp_path / 'set')
    content = sets.coco_content()
    for split, names in (('train', 'ab'), ('val', 'c')):
        chosen = [image for image in content['images'] if image['file_name'][0] in names]
        ids = [image['id'] for image in chosen]
        part = content | dict(
            images=chosen, annotations=[a for a in content['annotations'] if a['image_id'] in ids]
        )
        sets.write(source / f'annotations/instances_{split}2017.json', json.dumps(part))
    (source / 'instances.json').unlink()
    data, _ = read(source)
    assert {image.id: image.split for image in data.images} == dict(a='train', b='train', c='val')
    part['categories'] = part['categories'][::-1]
    sets.write(source / 'annotations/instances_val2017.json', json.dumps(part))
    assert 'instances_val2017.json has other categories, ids or another order than' in message(source)


def test_files_that_are_not_one_per_split_are_refused(tmp_path):
    source = sets.coco(tmp_path / 'set')
    shutil.copy(source / 'instances.json', source / 'old.json')
    assert (
        'these are not one each of train, val and test by their names: instances.json, old.json'
        in message(source)
    )


YOLO_FAULTS = {
    'class': (dict(a='2 0.5 0.5 0.1 0.1'), 'labels/a.txt line 1: class 2, but there are classes 0 to 1'),
    'class word': (dict(a='cat 0.5 0.5 0.1 0.1'), 'labels/a.txt line 1: expected a class number and x, y'),
    'class fraction': (dict(a='0.5 0.5 0.5 0.1 0.1'), 'class 0.5, but there are classes 0 to 1'),
    'pixels': (dict(a='0 20 20 10 10'), "expected fractions of the image from 0 to 1, got '0 20 20 10 10'"),
    'confidence': (dict(a='0 0.5 0.5 0.1 0.1 0.9'), '(six numbers: a prediction with its confidence?)'),
    'few': (dict(a='0 0.5 0.5 0.1'), "got '0 0.5 0.5 0.1'"),
    'nan': (dict(a='0 nan 0.5 0.1 0.1'), "got '0 nan 0.5 0.1 0.1'"),
    'orphan': ({'labels/d__txt': ''}, 'for the label file'),
    'names twice': (dict(classes__txt='cat\ncat\n'), "the class names ['cat'] stand there more than once"),
    'nc': (dict(data__yaml=sets.YOLO_YAML + 'nc: 3\n'), 'nc is 3, but there are 2 names'),
    'gap': (
        dict(data__yaml='train: images\nnames: {0: cat, 2: dog}\n'),
        'expected names with numbers from 0 on',
    ),
    'no folder': (dict(data__yaml='train: image\nnames: [cat, dog]\n'), 'train names image, but there is no'),
    'yaml': (dict(data__yaml='names: [cat\n'), 'malformed YAML'),
}


@pytest.mark.parametrize('name', YOLO_FAULTS)
def test_fault_of_a_yolo_set(name, tmp_path):
    files, expected = YOLO_FAULTS[name]
    assert expected in message(sets.yolo(tmp_path / 'set', **files), 'yolo')


def test_what_of_yolo_is_changed_or_left_out_is_named(tmp_path):
    lines = '0 0.1 0.1 0.5 0.1 0.5 0.6\n0 0.5 0.5 0 0.1\n1 0.9 0.5 0.4 0.5\n'
    data, report = read(sets.yolo(tmp_path / 'set', a=lines))
    assert boxes(data)['a'] == [
        ('cat', pytest.approx((6.4, 4.8, 32, 28.8))),
        ('dog', pytest.approx((44.8, 12, 64, 36))),
    ]
    assert report.lines() == [
        'degenerate boxes dropped (1): labels/a.txt line 2',
        'boxes clipped to the image (1): labels/a.txt line 3',
        'polygons and rotated boxes, replaced by the boxes around them (1): labels/a.txt line 1',
    ]


def test_splits_of_yolo_are_those_of_its_yaml_and_one_that_is_relative_to_nowhere_is_found(tmp_path):
    source = tmp_path / 'set'
    sets.pictures(source / 'train/images', 'ab')
    sets.pictures(source / 'valid/images', 'c')
    sets.write(source / 'train/labels/a.txt', sets.YOLO['a'])
    sets.write(source / 'data.yaml', 'train: ../train/images\nval: ../valid/images\nnames: [cat, dog]\n')
    data, _ = read(source)
    assert {image.id: image.split for image in data.images} == dict(a='train', b='train', c='val')
    assert [len(image.boxes) for image in data.images] == [2, 0, 0]


def test_fractions_with_few_decimals_are_rounded_only_as_far_as_they_are_inexact(tmp_path):
    data, _ = read(sets.yolo(tmp_path / 'set', a='0 0.500000000000 0.5 0.312540000000 0.5\n'))
    assert boxes(data)['a'][0][1] == pytest.approx((21.99872, 12, 42.00128, 36), abs=1e-9)


CSV_FAULTS = {
    'column': (('xmin,', 'x1,'), 'expected the columns filename, class, xmin, ymin, xmax, ymax in line 1'),
    'semicolon': ((sets.CSV, sets.CSV.replace(',', ';')), 'The separator must be a comma'),
    'no header': (
        (sets.CSV, 'a.jpg,2,3,30,20,cat\n'),
        'Line 1 looks like data: insert a line with the names',
    ),
    'number': (('cat,2,', 'cat,two,'), "boxes.csv line 2: xmin: expected a finite number, got 'two'"),
    'inf': (('cat,2,', 'cat,inf,'), "boxes.csv line 2: xmin: expected a finite number, got 'inf'"),
    'class': (('48,cat', '48,'), 'boxes.csv line 2: expected a class, got none'),
    'values': (('cat,2,3,', 'cat,2,'), 'boxes.csv line 2: expected 8 values'),
    'size': (('64,48,dog', '63,48,dog'), 'boxes.csv line 3: size 63x48, but 64x48 in an earlier line'),
    'sizes': (('64,48', '48,64'), 'boxes.csv line 3: size 64x48, but 48x64 in an earlier line'),
    'other size': (('c.jpg,64,48', 'c.jpg,60,48'), 'c.jpg: boxes.csv line 5 says 60x48, the image is 64x48'),
    'missing': (('c.jpg', 'd.jpg'), 'd.jpg (boxes.csv line 5)'),
    'no file': (('b.jpg,', ','), 'boxes.csv line 4: expected a filename, got none'),
    'outside': (('2,3,30,20', '80,3,90,20'), 'line 2: box (80, 3, 90, 20) lies entirely outside'),
    'fractions': (('2,3,30,20', '0.1,0.2,0.5,0.6'), 'lies within 0..1: a fraction of the image, not pixels'),
}


@pytest.mark.parametrize('name', CSV_FAULTS)
def test_fault_of_a_csv_file(name, tmp_path):
    (old, new), expected = CSV_FAULTS[name]
    assert old in sets.CSV
    assert expected in message(sets.table(tmp_path / 'set', sets.CSV.replace(old, new, 1)), 'csv')


def test_csv_that_is_not_utf8_is_named(tmp_path):
    source = sets.table(tmp_path / 'set')
    (source / 'boxes.csv').write_bytes(sets.CSV.replace('cat', 'Größe').encode('latin-1'))
    assert 'boxes.csv: not UTF-8 text (byte 62); save it as UTF-8' in message(source)


def test_columns_of_csv_may_come_in_any_order_with_flags_and_others_are_named(tmp_path):
    text = (
        'class,filename,xmin,ymin,xmax,ymax,difficult,note\ncat,a.jpg,2,3,30,20,1,x\ndog,b.jpg,9,9,20,20,,\n'
    )
    data, report = read(sets.table(tmp_path / 'set', text))
    assert [sorted(box.flags) for image in data.images for box in image.boxes] == [['difficult'], []]
    assert report.lines() == [
        'attributes, left out (1): boxes.csv column note',
        'image files without an annotation, left out (1): c.jpg',
    ]


def test_boxes_of_csv_count_from_0_if_one_begins_there(tmp_path):
    text = sets.CSV.replace('cat,2,3,', 'cat,0,3,')
    data, report = read(sets.table(tmp_path / 'set', text))
    assert boxes(data)['a'][0] == ('cat', (0, 3, 30, 20))
    assert report.boxes == 'boxes 0-based (auto: 1 begin at 0: boxes.csv line 2)'
    data, report = read(tmp_path / 'set', box_base=1)
    assert boxes(data)['a'][0] == ('cat', (0, 2, 30, 20))
    assert '--box-base 1, but 1 boxes begin at 0' in report.lines()[0]


CVAT_FAULTS = {
    'label': (('label="cat"', 'label="Cat"'), "shape 1: 'Cat' is not a label of the task: cat, dog"),
    'number': (('xtl="1.00"', 'xtl="one"'), 'shape 1: expected xtl, ytl, xbr, ybr as numbers'),
    'missing number': (('xbr="30.00" ', ''), 'shape 1: expected xtl, ytl, xbr, ybr as numbers'),
    'image': (
        ('name="b.jpg" width="64"', 'name="b.jpg"'),
        'image 2 (b.jpg): expected name, width and height',
    ),
    'missing': (('name="b.jpg"', 'name="d.jpg"'), 'd.jpg (annotations.xml image 2 (d.jpg))'),
    'video': (('<image id="0"', '<track id="0"/><image id="0"'), 'Export the task as "CVAT for images 1.1"'),
    'broken': (('</annotations>', ''), 'annotations.xml: malformed XML, no element found'),
    'size': (('width="64"', 'width="60"'), 'image 1 (a.jpg) says 60x48, the image is 64x48'),
    'outside': (('xtl="1.00"', 'xtl="-90"'), 'shape 1: box (-90, 2, 30, 20) extends far beyond the 64x48'),
}


@pytest.mark.parametrize('name', CVAT_FAULTS)
def test_fault_of_a_cvat_file(name, tmp_path):
    change, expected = CVAT_FAULTS[name]
    assert expected in message(sets.cvat(tmp_path / 'set', *change), 'cvat')


def test_what_of_cvat_is_changed_or_left_out_is_named(tmp_path):
    shapes = """<polygon label="dog" points="1,1;2,2;3,1"></polygon>
    <box label="cat" occluded="1" xtl="20" ytl="20" xbr="40" ybr="30" rotation="90.0">
      <attribute name="truncated">true</attribute><attribute name="color">red</attribute></box></image>"""
    source = sets.cvat(tmp_path / 'set', '</image>', shapes)
    data, report = read(source)
    assert boxes(data)['a'][2] == ('cat', pytest.approx((25, 15, 35, 35)))
    assert sorted(data.images[0].boxes[2].flags) == ['occluded', 'truncated']
    where = 'annotations.xml image 1 (a.jpg) shape'
    assert report.lines() == [
        f'shapes that are not boxes, left out (1): {where} 3 (polygon dog)',
        f'polygons and rotated boxes, replaced by the boxes around them (1): {where} 4',
        f'attributes, left out (1): {where} 4 (color=red)',
    ]


def change_first(**values):
    return lambda content: content['shapes'][0].update(values)


LABELME_FAULTS = {
    'label': (change_first(label=''), "a.json shape 1: expected a label, got ''"),
    'points': (change_first(points=[[1, 2]]), 'a.json shape 1: expected 2 or 4 points, got [[1, 2]]'),
    'numbers': (change_first(points=[[1, None], [3, 4]]), 'a.json shape 1: expected 2 or 4 points'),
    'shapes': (lambda c: c.update(shapes={}), 'a.json: expected a list "shapes" of objects in braces'),
    'size': (lambda c: c.update(imageWidth=60), 'a.jpg: a.json says 60x48, the image is 64x48'),
    'outside': (
        change_first(points=[[70, 2], [90, 20]]),
        'a.json shape 1: box (70, 2, 90, 20) lies entirely outside',
    ),
}


@pytest.mark.parametrize('name', LABELME_FAULTS)
def test_fault_of_a_labelme_file(name, tmp_path):
    spoil, expected = LABELME_FAULTS[name]
    assert expected in message(sets.labelme(tmp_path / 'set', spoil), 'labelme')


def test_a_labelme_file_without_its_image_is_named(tmp_path):
    source = sets.labelme(tmp_path / 'set', lambda c: c.update(imagePath='C:\\pictures\\x.jpg'))
    read(source)  # a stale path: the image of the same name is meant
    (source / 'a.jpg').unlink()
    assert 'a.jpg or C:/pictures/x.jpg (a.json)' in message(source)


def test_what_of_labelme_is_changed_or_left_out_is_named(tmp_path):
    def spoil(content):
        content['shapes'] = [
            dict(
                label='cat', points=[[1, 2], [30, 2], [15, 20]], shape_type='polygon', flags=dict(sick=True)
            ),
            dict(label='dog', points=[[5, 5], [9, 9]], shape_type='circle'),
            dict(sets.rectangle('dog', (5, 6, 40, 48)), flags=dict(difficult=True), group_id=3),
        ]

    source = sets.labelme(tmp_path / 'set', spoil)
    (source / 'b.json').unlink()
    data, report = read(source)
    assert boxes(data)['a'] == [('cat', (1, 2, 30, 20)), ('dog', (5, 6, 40, 48))]
    assert sorted(data.images[0].boxes[1].flags) == ['difficult']
    assert report.lines() == [
        'shapes that are not boxes, left out (1): a.json shape 2 (circle dog)',
        'polygons and rotated boxes, replaced by the boxes around them (1): a.json shape 1',
        'attributes, left out (2): a.json shape 1 (sick), a.json shape 3 (group_id)',
        'image files without an annotation, left out (1): b.jpg',
    ]


def test_extras_of_voc_are_named_and_ids_in_two_splits_refused(tmp_path):
    source = sets.voc(tmp_path / 'set')
    file = source / 'Annotations/a.xml'
    extra = '<pose>Left</pose><part><name>head</name></part><occluded>1</occluded><bndbox>'
    file.write_text(file.read_text().replace('<bndbox>', extra, 1))
    data, report = read(source)
    assert report.lines() == ['attributes, left out (1): Annotations/a.xml object 1 (part, pose)']
    assert sorted(data.images[0].boxes[0].flags) == ['occluded']
    sets.write(source / 'ImageSets/Main/train.txt', 'a\nb\n')
    sets.write(source / 'ImageSets/Main/val.txt', 'b\nd\n')
    text = message(source)
    assert 'b in train.txt and val.txt' in text
    assert 'Annotations/d.xml' in text


def test_broken_images_and_those_of_other_kinds_are_named(tmp_path):
    source = sets.table(tmp_path / 'set', sets.CSV.replace('c.jpg', 'c.gif'))
    whole = (source / 'images/a.jpg').read_bytes()
    (source / 'images/a.jpg').write_bytes(whole[: len(whole) // 2])
    Image.fromarray(np.zeros((48, 64), np.uint8)).save(source / 'images/c.gif')
    text = message(source)
    assert 'a.jpg is truncated' in text
    assert 'images of a kind that VOCDataset does not read (1)' in text and 'c.gif' in text


def test_images_that_exif_turns_have_the_size_that_loaders_see(tmp_path):
    source = sets.yolo(tmp_path / 'set')
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(source / 'images/a.jpg').save(source / 'images/a.jpg', exif=exif)
    assert cv2.imread(str(source / 'images/a.jpg')).shape[:2] == (64, 48)
    data, _ = read(source)
    assert data.images[0].size == (48, 64)
    assert boxes(data)['a'][0][1] == pytest.approx((0.75, 8 / 3, 22.5, 80 / 3), abs=1e-4)


def test_names_that_differ_only_in_case_are_a_warning(tmp_path):
    _, report = read(sets.table(tmp_path / 'set', sets.CSV.replace('dog', 'Cat')))
    assert report.lines() == ["test: class names that differ only in case or spaces: 'Cat' 1, 'cat' 2"]


def test_images_of_one_name_and_two_endings_are_refused(tmp_path):
    source = sets.table(tmp_path / 'set', sets.CSV.replace('b.jpg', 'a.png'))
    sets.picture(source / 'images/a.png', 5)
    assert 'images whose names differ only in the extension or the folder (1)' in message(source)


def test_what_is_none_of_the_formats_or_several_is_said(tmp_path):
    with pytest.raises(UserError, match='is in none of the formats voc, coco, yolo, csv, cvat, labelme'):
        detect_format(tmp_path)
    sets.table(tmp_path)
    sets.coco(tmp_path)
    with pytest.raises(UserError, match=r'could be coco or csv\. Name the file'):
        detect_format(tmp_path)
    assert detect_format(tmp_path / 'boxes.csv') == 'csv'
