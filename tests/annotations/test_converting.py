"""Conversions: nothing is lost there and back, the split is fair, the target complete or absent."""

import shutil
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mdvision.annotations import FORMATS, convert
from mdvision.annotations.form import AnnotatedImage, Annotations, Box, ConversionReport
from mdvision.annotations.split import split_images
from mdvision.datasets import VOCDataset
from mdvision.errors import UserError
from tests.annotations import small_sets as sets

FLAGS = ('difficult', 'truncated', 'occluded')


def voc_boxes(root: Path) -> dict[str, list[tuple[str, ...]]]:
    """{id: [(name, xmin, ymin, xmax, ymax, difficult, truncated, occluded)]} as the XML files have them."""
    found = {}
    for file in sorted((root / 'Annotations').rglob('*.xml')):
        fields = ['name', *(f'bndbox/{key}' for key in ('xmin', 'ymin', 'xmax', 'ymax')), *FLAGS]
        objects = ET.parse(file).getroot().findall('object')
        name = file.relative_to(root / 'Annotations').with_suffix('').as_posix()
        found[name] = [tuple(item.findtext(field) for field in fields) for item in objects]
    return found


def random_voc(root: Path, seed: int, whole: bool, images: int = 6) -> Path:
    """A VOC folder with random boxes, many of them at the border, and random flags."""
    rng = np.random.default_rng(seed)
    for number in range(images):
        width, height = (int(side) for side in rng.integers(3, 90, 2))
        name = f'part {number % 2}/image_{number}'
        sets.picture(root / f'JPEGImages/{name}.png', number, (width, height))
        objects = ''
        for _ in range(rng.integers(0, 9)):
            box = []
            for side in (width, height):
                low = rng.choice([1, rng.uniform(1, side - 1)])
                high = rng.choice([side, rng.uniform(low + 1, side)])
                box.append((low, high))
            (x1, x2), (y1, y2) = box
            if whole:
                x1, y1, x2, y2 = (int(value) for value in (x1, y1, max(x2, x1 + 1), max(y2, y1 + 1)))
            flags = ''.join(f'<{flag}>{rng.integers(2)}</{flag}>' for flag in FLAGS)
            texts = [
                f'{value:g}' if whole else f'{value:.6f}'.rstrip('0').rstrip('.')
                for value in (x1, y1, x2, y2)
            ]
            corners = ''.join(
                f'<{key}>{text}</{key}>'
                for key, text in zip(('xmin', 'ymin', 'xmax', 'ymax'), texts, strict=True)
            )
            objects += (
                f'<object><name>{rng.choice(["cat", "dog"])}</name>{flags}<bndbox>{corners}</bndbox></object>'
            )
        size = f'<size><width>{width}</width><height>{height}</height></size>'
        sets.write(root / f'Annotations/{name}.xml', f'<annotation>{size}{objects}</annotation>')
        split = sets.write(root / f'ImageSets/Main/{("train", "val")[number % 2]}.txt', '').parent
    for split in ('train', 'val'):
        chosen = range(split == 'val', images, 2)
        names = ''.join(f'part {number % 2}/image_{number}\n' for number in chosen)
        sets.write(root / f'ImageSets/Main/{split}.txt', names)
    return root


@pytest.mark.parametrize('kind', FORMATS)
@pytest.mark.parametrize('whole', [True, False])
def test_random_boxes_survive_every_format_and_the_way_back(kind, whole, tmp_path):
    source = random_voc(tmp_path / 'voc', seed=len(kind) + whole, whole=whole)
    text = convert(source, tmp_path / 'there', kind)
    convert(tmp_path / 'there', tmp_path / 'back', 'voc')
    before, after = voc_boxes(source), voc_boxes(tmp_path / 'back')
    assert sum(map(len, before.values())) > 10
    if kind == 'yolo':
        assert 'difficult, truncated or occluded objects, written without that flag' in text
        before = {name: [(*box[:5], '0', '0', '0') for box in found] for name, found in before.items()}
    if whole:
        assert after == before
    else:
        assert [[box[0] for box in found] for found in after.values()] == [
            [box[0] for box in found] for found in before.values()
        ]
        numbers = [
            [float(v) for found in part.values() for box in found for v in box[1:5]]
            for part in (before, after)
        ]
        assert np.abs(np.subtract(*numbers)).max() <= 1e-6
    for split in ('train', 'val'):
        file = f'ImageSets/Main/{split}.txt'
        assert sorted((tmp_path / 'back' / file).read_text().split('\n')) == sorted(
            (source / file).read_text().split('\n')
        )


@pytest.mark.parametrize('kind', sets.SETS)
@pytest.mark.parametrize('to', FORMATS)
def test_every_format_becomes_every_other(kind, to, tmp_path):
    source = sets.SETS[kind](tmp_path / 'set')
    text = convert(source, tmp_path / 'out', to, shares=(0.6, 0.4))
    assert '3 images, 3 objects of 2 classes' in text
    assert 'nothing was left out or changed' in text
    assert ('a config that trains on it' in text) == (to in ('voc', 'coco'))
    names = {path.name for path in (tmp_path / 'out').rglob('*.jpg')}
    assert names == {'a.jpg', 'b.jpg', 'c.jpg'}


def test_the_result_is_what_voc_dataset_reads(tmp_path):
    text = convert(sets.coco(tmp_path / 'set'), tmp_path / 'out', shares=(0.6, 0.4), seed=1)
    assert 'read back with VOCDataset: every box is the same, and the counts agree' in text
    assert 'split 0.6 0.4 by iterative stratification over the classes, seed 1' in text
    found = Counter()
    for split in ('train', 'val'):
        data = VOCDataset(
            str(tmp_path / 'out'), f'ImageSets/Main/{split}.txt', dict(classes=('cat', 'dog')),
            show_summary=False, test_mode=True, serialize_data=False,
        )  # fmt: skip
        for info in (data.get_data_info(index) for index in range(len(data))):
            found.update((info['img_id'], item['bbox_label'], *item['bbox']) for item in info['instances'])
    assert found == Counter([('a', 0, 1, 2, 30, 20), ('a', 1, 5.5, 6, 40, 48), ('c', 0, 10, 10, 20, 20)])


@pytest.mark.realdata
@pytest.mark.parametrize('kind', ['coco', 'yolo'])
def test_blood_cells_come_back_number_for_number(kind, real_data, tmp_path):
    """But for two boxes without width and height, and the flags that YOLO does not hold."""
    text = convert(real_data / 'bccd', tmp_path / 'there', kind)
    assert '292 images, 3941 objects of 3 classes' in text
    assert 'Annotations/BloodImage_00338.xml object 13, Annotations/BloodImage_00343.xml object 4' in text
    convert(tmp_path / 'there', tmp_path / 'back')
    before, after = voc_boxes(real_data / 'bccd'), voc_boxes(tmp_path / 'back')
    kept = 5 if kind == 'yolo' else 7  # the source has no <occluded>
    lost = [
        box[:5]
        for name in before
        for box in before[name]
        if box[:kept] not in [b[:kept] for b in after[name]]
    ]
    assert lost == [('RBC', '504', '337', '504', '337'), ('RBC', '181', '329', '181', '329')]
    assert sum(map(len, after.values())) == 3941


def images_of(*labels: str) -> list[AnnotatedImage]:
    """One image per word; its letters are the classes of its boxes."""
    return [
        AnnotatedImage(
            f'{n:04}', Path(f'{n}.jpg'), '', boxes=[Box(letter, (0, 0, 9, 9), '') for letter in word]
        )
        for n, word in enumerate(labels)
    ]


def test_the_split_divides_every_class_alike():
    rng = np.random.default_rng(0)
    words = [
        ''.join(c for c, p in zip('abcd', (0.9, 0.4, 0.1, 0.03), strict=True) if rng.random() < p)
        for _ in range(400)
    ]
    images = images_of(*words)
    shares = dict(train=0.7, val=0.2, test=0.1)
    split_images(images, shares, seed=0)
    totals = Counter(image.split for image in images)
    for split, share in shares.items():
        assert abs(totals[split] - share * 400) <= 4
        for letter in 'abcd':
            there = sum(letter in word for word in words)
            here = sum(
                letter in word for word, image in zip(words, images, strict=True) if image.split == split
            )
            assert abs(here - share * there) <= 2, (split, letter)


def test_the_split_follows_from_the_seed_and_not_from_the_order():
    words = ['a', 'ab', 'b', '', 'c'] * 8
    first, second, other = images_of(*words), images_of(*words), images_of(*words)
    shares = dict(train=0.5, val=0.5)
    split_images(first, shares, 3)
    split_images(second[::-1], shares, 3)
    split_images(other, shares, 4)
    splits = [[image.split for image in part] for part in (first, second, other)]
    assert splits[0] == splits[1] != splits[2]


def test_a_split_without_an_image_is_refused():
    with pytest.raises(UserError, match='3 images leave val and test without an image'):
        split_images(images_of('a', 'a', 'a'), dict(train=0.8, val=0.1, test=0.1), 0)


@pytest.mark.parametrize('shares', [(0.8,), (0.8, 0.1), (0.9, 0.2, -0.1), (0.4, 0.2, 0.2, 0.2), (1.0, 0.0)])
def test_shares_that_are_no_split_are_refused(shares, tmp_path):
    with pytest.raises(UserError, match='positive numbers that sum to 1'):
        convert(sets.coco(tmp_path / 'set'), tmp_path / 'out', shares=shares)


def test_a_split_that_is_there_is_kept_unless_shares_are_given(tmp_path):
    source = sets.voc(tmp_path / 'set')
    sets.write(source / 'ImageSets/Main/train.txt', 'c\n')
    sets.write(source / 'ImageSets/Main/val.txt', 'a\n')
    text = convert(source, tmp_path / 'out')
    assert 'split of the source' in text
    assert 'images in no split, left out (1): Annotations/b.xml' in text
    assert (tmp_path / 'out/ImageSets/Main/val.txt').read_text() == 'a\n'
    assert not (tmp_path / 'out/JPEGImages/b.jpg').exists()
    text = convert(source, tmp_path / 'new', shares=(0.6, 0.4))
    assert '(replaces the split of the source)' in text


def test_images_of_one_name_in_two_splits_both_stay(tmp_path):
    for split in ('train', 'val'):
        sets.picture(tmp_path / f'set/images/{split}/0.jpg', len(split))
        sets.write(tmp_path / f'set/labels/{split}/0.txt', '0 0.5 0.5 0.5 0.5\n')
    sets.write(tmp_path / 'set/data.yaml', 'train: images/train\nval: images/val\nnames: [cat]\n')
    convert(tmp_path / 'set', tmp_path / 'out')
    assert (tmp_path / 'out/ImageSets/Main/val.txt').read_text() == 'val/0\n'
    assert (tmp_path / 'out/JPEGImages/val/0.jpg').read_bytes() != (
        tmp_path / 'out/JPEGImages/train/0.jpg'
    ).read_bytes()


def test_boxes_that_voc_cannot_hold_are_left_out_by_name(tmp_path):
    def spoil(content):
        content['annotations'][0]['bbox'] = [5, 6, 1, 9]
        content['categories'].append(dict(id=9, name='bird'))

    text = convert(sets.coco(tmp_path / 'set', spoil), tmp_path / 'out', shares=(0.6, 0.4))
    assert (
        'one pixel wide or high, left out: such a VOC box counts as degenerate (1): annotations[0] (id 1)'
        in text
    )
    assert 'classes without objects, which this format does not hold (1): bird' in text
    assert "metainfo=dict(classes=('cat', 'dog', 'bird'))" in text
    kept = convert(tmp_path / 'set', tmp_path / 'yolo', 'yolo', shares=(0.6, 0.4))
    assert '3 images, 3 objects' in kept and 'nothing was left out or changed' in kept


def test_conversion_txt_has_every_place(tmp_path):
    lines = ''.join('0 0.5 0.5 0 0.1\n' for _ in range(30)) + '0 0.5 0.5 0.5 0.5\n'
    text = convert(sets.yolo(tmp_path / 'set', a=lines), tmp_path / 'out', shares=(0.6, 0.4))
    assert 'labels/a.txt line 10, and 20 more' in text
    full = (tmp_path / 'out/conversion.txt').read_text()
    assert [line for line in full.splitlines() if 'labels/a.txt line ' in line] == [
        f'    labels/a.txt line {number}' for number in range(1, 31)
    ]


def test_images_are_linked_and_copied_on_request(tmp_path):
    source = sets.table(tmp_path / 'set')
    convert(source, tmp_path / 'linked', shares=(0.6, 0.4))
    convert(source, tmp_path / 'copied', shares=(0.6, 0.4), copy=True)
    original = source / 'images/a.jpg'
    assert (tmp_path / 'linked/JPEGImages/a.jpg').samefile(original)
    assert not (tmp_path / 'copied/JPEGImages/a.jpg').samefile(original)
    assert (tmp_path / 'copied/JPEGImages/a.jpg').read_bytes() == original.read_bytes()


def test_images_are_copied_where_links_are_not_possible(tmp_path, monkeypatch):
    def fail(self, target):
        raise OSError(18, 'Invalid cross-device link')

    monkeypatch.setattr(Path, 'hardlink_to', fail)
    convert(sets.table(tmp_path / 'set'), tmp_path / 'out', shares=(0.6, 0.4))
    assert not (tmp_path / 'out/JPEGImages/a.jpg').samefile(tmp_path / 'set/images/a.jpg')


def test_images_elsewhere(tmp_path):
    source = sets.table(tmp_path / 'set')
    (source / 'images').rename(tmp_path / 'photos')
    text = convert(source / 'boxes.csv', tmp_path / 'out', images=tmp_path / 'photos', shares=(0.6, 0.4))
    assert '3 images, 3 objects' in text
    with pytest.raises(UserError, match='--images: there is no folder'):
        convert(source / 'boxes.csv', tmp_path / 'other', images=tmp_path / 'none')


def test_a_target_that_is_not_empty_or_lies_in_the_source_is_refused(tmp_path, monkeypatch):
    source = sets.table(tmp_path / 'set')
    with pytest.raises(UserError, match='already exists and is not an empty folder'):
        convert(source, source)
    with pytest.raises(UserError, match='would be read as part of it'):
        convert(source, source / 'out')
    with pytest.raises(UserError, match=r'does not exist\. Give the annotation file'):
        convert(tmp_path / 'none', tmp_path / 'out')
    (tmp_path / 'empty').mkdir()
    monkeypatch.chdir(tmp_path / 'empty')
    with pytest.raises(UserError, match='is the current folder'):
        convert(source, '.')
    with pytest.raises(UserError, match=r'cannot make a folder in .*a\.jpg: Not a directory'):
        convert(source / 'boxes.csv', source / 'images/a.jpg/out', shares=(0.6, 0.4))
    monkeypatch.chdir(tmp_path)
    convert(source, tmp_path / 'empty', shares=(0.6, 0.4))
    assert (tmp_path / 'empty/Annotations').is_dir()


@pytest.mark.parametrize('error', [KeyboardInterrupt, OSError(28, 'No space left on device')])
def test_a_conversion_that_is_stopped_leaves_nothing(error, tmp_path, monkeypatch):
    source = sets.table(tmp_path / 'set')
    written = FORMATS['voc'].place_image

    def place_image(image, target, copy):
        if image.id == 'c':
            raise error
        written(image, target, copy)

    monkeypatch.setattr(FORMATS['voc'], 'place_image', place_image)
    with pytest.raises((KeyboardInterrupt, OSError)):
        convert(source, tmp_path / 'out', shares=(0.6, 0.4))
    assert [path.name for path in tmp_path.iterdir()] == ['set']


def test_what_a_killed_conversion_left_does_not_matter(tmp_path):
    sets.write(tmp_path / '.out.incomplete/Annotations/x.xml', 'half')
    convert(sets.table(tmp_path / 'set'), tmp_path / 'out', shares=(0.6, 0.4))
    assert sorted(path.name for path in tmp_path.iterdir()) == ['out', 'set']
    assert not (tmp_path / 'out/Annotations/x.xml').exists()


def test_a_name_that_the_format_cannot_hold_is_an_error_and_nothing_is_left(tmp_path):
    source = sets.coco(tmp_path / 'set', lambda c: c['categories'][0].update(name='c\u0001at'))
    with pytest.raises(UserError, match='malformed XML'):
        convert(source, tmp_path / 'out', shares=(0.6, 0.4))
    assert [path.name for path in tmp_path.iterdir()] == ['set']


def test_a_writer_that_loses_a_box_is_caught(tmp_path, monkeypatch):
    write = FORMATS['coco'].write

    def forgetful(data: Annotations, target: Path, report: ConversionReport, copy: bool) -> None:
        kept, data.images[0].boxes = data.images[0].boxes, []
        write(data, target, report, copy)
        data.images[0].boxes = kept

    monkeypatch.setattr(FORMATS['coco'], 'write', forgetful)
    with pytest.raises(UserError, match=r"differs from what was read: \['a'\]"):
        convert(sets.table(tmp_path / 'set'), tmp_path / 'out', 'coco', shares=(0.6, 0.4))
    assert [path.name for path in tmp_path.iterdir()] == ['set']


def test_data_without_an_image_or_object_is_refused(tmp_path):
    source = sets.table(tmp_path / 'set', sets.CSV.splitlines()[0] + '\n')
    with pytest.raises(UserError, match='there is no image in this CSV data'):
        convert(source, tmp_path / 'out')
    source = sets.table(tmp_path / 'set', 'filename,class,xmin,ymin,xmax,ymax\na.jpg,,,,,\n')
    with pytest.raises(UserError, match='there is no object in the 1 images'):
        convert(source, tmp_path / 'out')
    shutil.rmtree(source / 'images')
    with pytest.raises(UserError, match='images missing'):
        convert(source, tmp_path / 'out')
