"""Split files, annotation files, boxes and image files, one at a time, without any host library."""

import io
import multiprocessing
import pickle
import random
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mdvision.datasets import decoding, image_check
from mdvision.datasets.decoding import decode_files
from mdvision.datasets.image_check import ImageFacts, SizeError, check_image, check_images, settle_size
from mdvision.datasets.voc_annotation import AnnotationError, BoxError, parse_voc_xml, read_split, settle_box
from mdvision.errors import UserError

OBJECT = (
    '<object><name>cat</name><difficult>0</difficult><bndbox><xmin>2</xmin><ymin>3</ymin><xmax>8</xmax>'
    '<ymax>9</ymax></bndbox></object>'
)


def xml(objects=OBJECT, size='<size><width>20</width><height>10</height><depth>3</depth></size>'):
    return f'<annotation><filename>a.jpg</filename>{size}{objects}</annotation>'


def parse(tmp_path, text):
    path = tmp_path / 'a.xml'
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return parse_voc_xml(path)


@pytest.mark.fault('1.29', '1.30')
@pytest.mark.parametrize(
    ('content', 'ids'),
    [
        (b'000005\n000007\n', ['000005', '000007']),
        (b'\xef\xbb\xbf000005\r\n000007\r\n', ['000005', '000007']),
        (b'\n  000005 \n\n\t000007', ['000005', '000007']),
        (b'000005  1\n000007 -1\n000009  0\n', ['000005', '000007', '000009']),
        (b'my cat 1\nmy dog\n', ['my cat 1', 'my dog']),  # not every line has a flag: the ids hold spaces
        ('säge\n'.encode(), ['säge']),
    ],
)
def test_read_split(tmp_path, content, ids):
    path = tmp_path / 'train.txt'
    path.write_bytes(content)
    assert read_split(path) == ids


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        (b'', 'is empty'),
        (b'\n \r\n', 'is empty'),
        (
            b'a\nb\na\nc\nb\na\n',
            r'lists 2 ids more than once.*a \(3x\), b \(2x\)\. Fix: keep one line per id\.$',
        ),
        (
            ''.join(f'{number}\n' for number in range(23)).encode() * 2,
            r'lists 23 ids.* 18 \(2x\), 19 \(2x\), and 3 more\. Fix',
        ),
        (b'caf\xe9\n', r'not UTF-8 text \(byte 3\)'),
        (None, 'No such file'),
    ],
)
def test_read_split_faults(tmp_path, content, reason):
    path = tmp_path / 'val.txt'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=reason) as caught:
        read_split(path)
    assert str(path) in str(caught.value)


def test_parse(tmp_path):
    found = parse(
        tmp_path, xml(OBJECT.replace('>8<', '> 8.25 <').replace('cat', '\n traffic light ') + OBJECT)
    )
    assert (found.filename, found.width, found.height) == ('a.jpg', 20, 10)
    assert [(o.index, o.name, o.box) for o in found.objects] == [
        (1, 'traffic light', (2.0, 3.0, 8.25, 9.0)),
        (2, 'cat', (2.0, 3.0, 8.0, 9.0)),
    ]


def test_parts_of_a_person_are_not_objects(tmp_path):
    part = '<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>'
    found = parse(tmp_path, xml(OBJECT.replace('</object>', f'{part}</object>')))
    assert [o.name for o in found.objects] == ['cat']


MISPLACED = {
    'in <objects>': (f'<objects>{OBJECT}</objects>', '<object> in <objects>'),
    'upper case': (OBJECT.replace('object>', 'Object>'), '<Object> in <annotation>'),
    'another name': (OBJECT.replace('object>', 'item>'), '<bndbox> in <item>'),
    'box in upper case': (OBJECT.replace('bndbox>', 'BndBox>'), '<BndBox> in <object>'),
    'object in an object': (OBJECT.replace('</object>', f'{OBJECT}</object>'), '<object> in <object>'),
    'no bndbox': (OBJECT.replace('bndbox>', 'box>'), '<xmin> in <box>'),
    'namespace': (f'<v:object xmlns:v="u">{OBJECT}</v:object>', '<{u}object> in <annotation>'),
}


@pytest.mark.fault('e2')
@pytest.mark.parametrize('name', MISPLACED)
def test_objects_that_stand_elsewhere_are_not_lost(tmp_path, name):
    objects, got = MISPLACED[name]
    with pytest.raises(AnnotationError) as caught:
        parse(tmp_path, xml(objects))
    assert got in str(caught.value)
    assert str(caught.value).startswith(f'{tmp_path / "a.xml"}: expected objects as <object>')


@pytest.mark.fault('e')
def test_a_field_given_twice_with_different_values(tmp_path):
    same = OBJECT.replace('<xmin>2</xmin>', '<xmin>2</xmin><xmin>2</xmin>')
    assert parse(tmp_path, xml(same)).objects[0].box == (2, 3, 8, 9)
    other = OBJECT.replace('<xmin>2</xmin>', '<xmin>2</xmin><xmin>5</xmin>')
    with pytest.raises(AnnotationError, match="object 1, <xmin>: given more than once: '2' and '5'"):
        parse(tmp_path, xml(other))
    with pytest.raises(AnnotationError, match="object 1, <name>: given more than once: 'cat' and 'dog'"):
        parse(tmp_path, xml(OBJECT.replace('</name>', '</name><name>dog</name>')))


@pytest.mark.fault('e')
def test_long_values_are_cut_in_messages(tmp_path):
    long = '1' * 5000
    places = (f'<xmin>{long}</xmin>', f'<ymin>{"x" * 5000}</ymin>')
    for place, usual in zip(places, ('<xmin>2</xmin>', '<ymin>3</ymin>'), strict=True):
        with pytest.raises(AnnotationError, match=r'\.\.\. \(5002 characters\)') as caught:
            parse(tmp_path, xml(OBJECT.replace(usual, place)))
        assert len(str(caught.value)) < 400
    assert parse(tmp_path, xml(size=f'<size><width>{long}</width><height>1</height></size>')).width > 10**20
    with pytest.raises(AnnotationError) as caught:
        parse(tmp_path, xml().replace('annotation', 'a' * 5000))
    assert len(str(caught.value)) < 400


def test_deep_nesting_is_no_fault_of_ours(tmp_path):
    deep = '<x>' * 20000 + '</x>' * 20000
    assert len(parse(tmp_path, xml(OBJECT + deep)).objects) == 1


@pytest.mark.parametrize(
    ('flag', 'value', 'odd'),
    [
        ('<difficult>0</difficult>', False, ''),
        ('<difficult> 1 </difficult>', True, ''),
        ('', False, 'missing'),
        ('<difficult/>', False, "''"),
        ('<difficult>False</difficult>', False, "'False'"),
        ('<difficult>true</difficult>', True, "'true'"),
        ('<difficult>Yes</difficult>', True, "'Yes'"),
        ('<difficult>maybe</difficult>', False, "'maybe'"),
    ],
)
def test_difficult(tmp_path, flag, value, odd):
    item = parse(tmp_path, xml(OBJECT.replace('<difficult>0</difficult>', flag))).objects[0]
    assert (item.difficult, item.odd_difficult) == (value, odd)


@pytest.mark.parametrize(
    'size', ['', '<size/>', '<size><width>0</width><height>10</height></size>',
             '<size><width>20.0</width><height>10</height></size>', '<size><width>20</width></size>']
)  # fmt: skip
def test_unusable_size_is_none(tmp_path, size):
    found = parse(tmp_path, xml(size=size))
    assert (found.width, found.height) == (None, None)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'line 1: malformed XML, no element found'),
        ('<annotation>\n<object>\n</annotation>', 'line 3: malformed XML, mismatched tag (column 3)'),
        ('<annotation>\n' + OBJECT, 'line 2: malformed XML'),
        (b'<?xml version="1.0" encoding="no-such"?><annotation/>', 'malformed XML'),
        ('<html/>', 'expected the root element <annotation>, got <html>'),
        (xml(OBJECT.replace('<name>cat</name>', '')), 'object 1, <name>: expected a class name'),
        (
            xml(OBJECT + OBJECT.replace('>8<', '>nan<')),
            "object 2, <xmax>: expected a finite number, got 'nan'",
        ),
        (xml(OBJECT.replace('>8<', '>inf<')), "<xmax>: expected a finite number, got 'inf'"),
        (xml(OBJECT.replace('>3<', '>abc<')), "<ymin>: expected a finite number, got 'abc'"),
        (xml(OBJECT.replace('>3<', '>1_0<')), "<ymin>: expected a finite number, got '1_0'"),
        (xml(OBJECT.replace('>3<', '><')), '<ymin>: expected a finite number, got nothing'),
        (xml(OBJECT.replace('<xmin>2</xmin>', '')), '<xmin>: expected a finite number, got nothing'),
        (xml(OBJECT.replace('bndbox>', 'polygon>')), 'object 1, <bndbox>: missing'),
    ],
)
def test_parse_faults_name_file_object_and_field(tmp_path, text, message):
    with pytest.raises(AnnotationError) as caught:
        parse(tmp_path, text)
    assert f'{tmp_path / "a.xml"}: ' in str(caught.value)
    assert message in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(AnnotationError, match='cannot read the file: Is a directory') as caught:
        parse_voc_xml(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_every_fault_of_a_file_is_reported_at_once(tmp_path):
    with pytest.raises(AnnotationError) as caught:
        parse(tmp_path, xml(OBJECT.replace('>8<', '>x<').replace('>9<', '>y<') + OBJECT.replace('cat', '')))
    assert [(f.object_index, f.field) for f in caught.value.faults] == [(1, 'xmax'), (1, 'ymax'), (2, 'name')]
    assert [line.partition(': ')[0] for line in str(caught.value).splitlines()] == [
        str(tmp_path / 'a.xml')
    ] * 3
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.faults) == (str(caught.value), caught.value.faults)


@pytest.mark.parametrize(
    ('box', 'base', 'settled', 'repairs'),
    [
        ((1, 1, 20, 10), 1, [0, 0, 20, 10], ()),
        ((0, 0, 20, 10), 0, [0, 0, 20, 10], ()),
        ((3, 4, 8, 9), 1, [2, 3, 8, 9], ()),
        ((3.5, 4, 8.25, 9), 0, [3.5, 4, 8.25, 9], ()),
        ((8, 4, 3, 9), 1, [2, 3, 8, 9], ('swapped',)),
        ((3, 9, 8, 4), 0, [3, 4, 8, 9], ('swapped',)),
        ((0, 4, 8, 12), 1, [0, 3, 8, 10], ('clipped',)),
        ((-3, 4, 25, 9), 0, [0, 4, 20, 9], ('clipped',)),
        ((20, 10, 22, 12), 1, [19, 9, 20, 10], ('clipped',)),
        ((-20, -10, 40, 20), 0, [0, 0, 20, 10], ('clipped',)),  # just not far beyond
        ((5, 5, 5, 5), 1, None, ('degenerate',)),
        ((5, 5, 5, 9), 0, None, ('degenerate',)),
        ((0, 0, 0, 0), 1, None, ('degenerate',)),
        ((5, 5, 5.4, 9), 0, None, ('degenerate',)),
        ((19.5, 5, 25, 9), 0, None, ('clipped', 'degenerate')),
    ],
)
def test_settle_box(box, base, settled, repairs):
    assert settle_box(box, base, 20, 10) == (settled, repairs)


@pytest.mark.parametrize(
    ('box', 'kind', 'reason'),
    [
        ((21, 1, 30, 5), 'outside', r'\(21, 1, 30, 5\) lies entirely outside the 20x10 image'),
        ((1, 11, 5, 20), 'outside', 'entirely outside'),
        ((-9, 1, 0, 5), 'outside', 'entirely outside'),
        ((30, 1, 25, 5), 'outside', 'entirely outside'),  # exchanged, and outside either way
        ((1, 1, 1e30, 5), 'outside', 'extends far beyond'),
        ((0.1, 0.2, 0.8, 1.0), 'normalized', r'\(0.1, 0.2, 0.8, 1\) lies within 0..1'),
        ((0, 0, 1, 1), 'normalized', 'fraction of the image'),
    ],
)
def test_settle_box_faults(box, kind, reason):
    with pytest.raises(BoxError, match=reason) as caught:
        settle_box(box, 1, 20, 10)
    assert caught.value.kind == kind


@pytest.mark.parametrize(
    ('box', 'base', 'size', 'settled', 'repairs'),
    [
        ((1, 1, 1, 1), 1, (1, 1), [0, 0, 1, 1], ()),
        ((0, 0, 1, 1), 0, (1, 1), [0, 0, 1, 1], ()),
        ((0, 0, 1, 1), 1, (1, 1), [0, 0, 1, 1], ('clipped',)),
        ((1, 5, 1, 8), 1, (1, 10), [0, 4, 1, 8], ()),
        ((1, 5, 1, 5), 1, (1, 10), None, ('degenerate',)),
        ((0, 0, 0, 0), 0, (1, 1), None, ('degenerate',)),
        ((0, 0, 0, 0), 1, (1, 1), None, ('degenerate',)),
    ],
)
def test_the_only_box_of_an_image_of_one_pixel(box, base, size, settled, repairs):
    assert settle_box(box, base, *size) == (settled, repairs)


def devkit_overlap(a, b):
    """The VOC devkit's measure on inclusive pixel indices."""
    sides = [min(a[2], b[2]) - max(a[0], b[0]) + 1, min(a[3], b[3]) - max(a[1], b[1]) + 1]
    common = max(sides[0], 0) * max(sides[1], 0)
    areas = [(c[2] - c[0] + 1) * (c[3] - c[1] + 1) for c in (a, b)]
    return common / (sum(areas) - common)


def test_plain_overlap_of_settled_boxes_is_the_devkits():
    rng = random.Random(0)
    compared = 0
    for _ in range(200):
        boxes = []
        for _ in range(2):
            x, y = rng.randint(1, 60), rng.randint(1, 60)
            boxes.append((x, y, x + rng.randint(1, 40), y + rng.randint(1, 40)))
        a, b = (settle_box(box, 1, 100, 100)[0] for box in boxes)
        common = max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)
        plain = common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)
        assert plain == pytest.approx(devkit_overlap(*boxes), abs=1e-12)
        compared += plain > 0
    assert compared > 30


@pytest.fixture(scope='module')
def picture():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
    return cv2.resize(noise, (320, 240), interpolation=cv2.INTER_CUBIC)


def encoded(picture, kind='JPEG', **options):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind, **options)
    return buffer.getvalue()


def look(tmp_path, data, check='header', name='a.jpg'):
    (tmp_path / name).write_bytes(data)
    return check_image(str(tmp_path / name), check)


@pytest.mark.parametrize('check', ['header', 'decode'])
@pytest.mark.parametrize(
    ('kind', 'options'),
    [
        ('JPEG', {}), ('JPEG', {'progressive': True}), ('JPEG', {'restart_marker_blocks': 4}),
        ('JPEG', {'exif': b'Exif\x00\x00' + b'\xff\xd9' * 40}), ('PNG', {}), ('BMP', {}), ('TIFF', {}),
    ],
)  # fmt: skip
def test_whole_images_pass(tmp_path, picture, kind, options, check):
    facts = look(tmp_path, encoded(picture, kind, **options), check)
    assert facts == ImageFacts(width=320, height=240)
    padded = look(
        tmp_path, encoded(picture, kind, **options) + b'\x00' * 700, check
    )  # harmless: after the end
    assert kind != 'JPEG' or padded.fault == ''


@pytest.mark.parametrize('check', ['header', 'decode'])
@pytest.mark.parametrize('kind', ['JPEG', 'progressive', 'PNG', 'BMP'])
@pytest.mark.parametrize('part', [0.1, 0.5, 0.99])
def test_cut_images_are_faults(tmp_path, picture, kind, part, check):
    progressive = kind == 'progressive'
    data = encoded(picture, 'JPEG', progressive=True) if progressive else encoded(picture, kind)
    assert look(tmp_path, data[: int(part * len(data))], check).fault


@pytest.mark.parametrize('check', ['header', 'decode'])
def test_broken_images_are_faults(tmp_path, picture, check):
    data = bytearray(encoded(picture, quality=95))
    zero_tail = data[: len(data) // 2] + bytes(len(data) - len(data) // 2)
    garbled = data.copy()
    garbled[len(data) // 3 : len(data) // 2] = random.Random(0).randbytes(len(data) // 2 - len(data) // 3)
    assert 'truncated' in look(tmp_path, zero_tail, check).fault
    assert look(tmp_path, garbled, check).fault
    assert look(tmp_path, b'', check).fault == 'is empty (0 bytes)'
    assert 'HTML' in look(tmp_path, b'<!DOCTYPE html><p>404', check).fault
    assert 'not a recognizable image' in look(tmp_path, b'hello', check).fault
    png = bytearray(encoded(picture, 'PNG'))
    png[len(png) // 2] ^= 0xFF
    assert look(tmp_path, png, check, 'a.png').fault


def test_what_opencv_would_train_on_is_caught(tmp_path, picture):
    """The reason for the check: OpenCV decodes this garbled file without an error."""
    data = bytearray(encoded(picture))
    data[len(data) // 2 : len(data) // 2 + 2] = b'\xff\x42'
    assert cv2.imdecode(np.frombuffer(bytes(data), np.uint8), cv2.IMREAD_COLOR) is not None
    assert 'marker FF42 is not allowed there' in look(tmp_path, data).fault


def test_facts_of_an_image(tmp_path, picture):
    exif = Image.Exif()
    exif[0x0112] = 6
    assert look(tmp_path, encoded(picture, exif=exif)) == ImageFacts(320, 240, orientation=6)
    path = tmp_path / 'deep.png'
    cv2.imwrite(str(path), picture.astype(np.uint16) * 16)
    assert check_image(str(path), 'header') == ImageFacts(320, 240, sixteen_bit=True)
    assert 'No such file' in check_images([str(tmp_path / 'none.jpg')], 'header')[0].fault


@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.tif', '.webp'])
@pytest.mark.parametrize('orientation', [1, 6, 8])
def test_the_size_of_a_turned_image_is_that_of_what_opencv_loads(tmp_path, picture, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f'a{suffix}'
    Image.fromarray(picture).save(path, exif=exif)
    size, _ = settle_size(check_image(str(path), 'header'), None, [], turns=True)
    loaded = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    assert size == loaded.shape[1::-1]


def test_a_changed_file_is_looked_at_again(tmp_path, picture):
    path = tmp_path / 'a.jpg'
    data = encoded(picture)
    path.write_bytes(data[:-500])
    assert check_images([str(path)], 'header')[0].fault
    path.write_bytes(data)
    assert check_images([str(path)], 'header') == [ImageFacts(320, 240)]


@pytest.mark.parametrize(
    ('facts', 'stated', 'turns', 'size', 'repair'),
    [
        (ImageFacts(20, 10), (20, 10), True, (20, 10), ''),
        (ImageFacts(20, 10), None, True, (20, 10), 'no size'),
        (ImageFacts(20, 10, 6), None, True, (10, 20), 'no size'),
        (ImageFacts(20, 10, 6), None, False, (20, 10), 'no size'),
        (ImageFacts(20, 10, 6), (10, 20), True, (10, 20), ''),
        (ImageFacts(20, 10, 8), (20, 10), False, (20, 10), ''),
        (ImageFacts(20, 10, 3), (20, 10), True, (20, 10), 'orientation'),
        (ImageFacts(15, 15, 6), (15, 15), True, (15, 15), 'orientation'),
        (ImageFacts(20, 10), (10, 20), True, (20, 10), 'exchanged'),  # a box reaches x = 18
    ],
)
def test_settle_size(facts, stated, turns, size, repair):
    assert settle_size(facts, stated, [(18.0, 9.0)], turns) == (size, repair)


@pytest.mark.parametrize(
    ('facts', 'stated', 'corners', 'turns', 'kind', 'reason'),
    [
        (ImageFacts(20, 10, 6), (20, 10), [(18, 9)], True, 'turned', 'orientation 6.*20x10.*rotates.*10x20'),
        (ImageFacts(20, 10, 6), (10, 20), [(9, 18)], False, 'unturned', 'orientation 6.*10x20.*20x10'),
        (ImageFacts(20, 10), (10, 20), [(9, 18)], True, 'size', 'says 10x20, the image is 20x10.*swapped'),
        (ImageFacts(20, 10), (10, 20), [(9, 9)], True, 'size', 'swapped'),  # the boxes prove nothing
        (ImageFacts(20, 10), (40, 20), [(9, 9)], True, 'size', 'says 40x20, the image is 20x10$'),
    ],
)
def test_settle_size_faults(facts, stated, corners, turns, kind, reason):
    with pytest.raises(SizeError, match=reason) as caught:
        settle_size(facts, stated, corners, turns)
    assert caught.value.kind == kind


@pytest.mark.fault('D13')
@pytest.mark.parametrize('check', ['header', 'decode'])
def test_a_tiff_is_what_opencv_makes_of_it(tmp_path, picture, check):
    path = tmp_path / 'a.tif'
    cv2.imwrite(str(path), picture.astype(np.uint16) * 16)  # Pillow gives 12-bit color as 8-bit
    assert check_images([str(path)], check)[0].sixteen_bit
    path = tmp_path / 'b.tif'
    Image.fromarray(picture[..., 0].astype(np.float32)).save(path)
    assert cv2.imread(str(path), cv2.IMREAD_COLOR) is None  # what the loader would find in mid epoch
    assert check_images([str(path)], check)[0].fault
    path = tmp_path / 'c.tif'
    cv2.imwrite(str(path), picture.astype(np.float32))
    assert cv2.imread(str(path), cv2.IMREAD_COLOR).mean() > 240  # and what it would train on
    assert check_images([str(path)], check)[0].fault


@pytest.mark.fault('D14')
@pytest.mark.parametrize('check', ['header', 'none'])
def test_images_above_179_megapixels_are_images(tmp_path, check):
    path = tmp_path / 'a.png'
    Image.new('1', (14000, 13000)).save(path)
    facts = check_images([str(path)], check)[0]
    assert (facts.width, facts.height, facts.fault) == (14000, 13000, '')
    assert check_image(str(path), check) == facts
    with pytest.raises(Image.DecompressionBombError):  # elsewhere Pillow is as it was
        Image.open(path)


def flipped_in_the_header(data):
    """Flips of one bit in the tables of a JPEG that its structure does not show."""
    for position in range(20, 600, 3):
        garbled = bytearray(data)
        garbled[position] ^= 4
        yield bytes(garbled)


@pytest.mark.fault('f')
def test_what_the_decoder_refuses_is_found_before_training(tmp_path, picture):
    paths, refused = [], []
    for number, data in enumerate(flipped_in_the_header(encoded(picture))):
        path = tmp_path / f'{number}.jpg'
        path.write_bytes(data)
        paths.append(str(path))
        refused.append(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) is None)
    header = [bool(facts.fault) for facts in check_images(paths, 'header')]
    decoded = [bool(facts.fault) for facts in check_images(paths, 'decode')]
    assert 5 < sum(refused) < len(refused)
    assert sum(header) < sum(refused)  # why the structure alone is not enough
    assert decoded == [one or other for one, other in zip(refused, header, strict=True)]


@pytest.mark.fault('f')
def test_what_the_decoder_complains_of_is_kept_with_the_file(tmp_path, picture):
    data = bytearray(encoded(picture))
    good = tmp_path / 'good.jpg'
    good.write_bytes(data)
    data[-600:-500] = bytes(100)
    bad = tmp_path / 'bad.jpg'
    bad.write_bytes(data)
    found = check_images([str(good), str(bad)], 'decode')
    assert found[0] == ImageFacts(320, 240)
    assert found[1].fault == '' and 'Corrupt JPEG data' in found[1].complaint
    assert check_images([str(bad)], 'header')[0].complaint == ''


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """A stand-in for the decoder: it dies at a bad file, and says its process of the others."""
    (tmp_path / 'decoder.py').write_text(
        'import json, os, sys\n'
        'for line in sys.stdin:\n'
        '    for path in json.loads(line):\n'
        '        os._exit(3) if "bad" in path else print(json.dumps(["", str(os.getpid())]), flush=True)\n'
    )
    monkeypatch.setattr(decoding, '__file__', str(tmp_path / 'decoder.py'))
    kept = list(decoding._kept)
    decoding._kept.clear()
    yield
    for child in decoding._kept:
        child.communicate()
    decoding._kept[:] = kept


@pytest.mark.usefixtures('stand_in')
def test_a_file_that_crashes_the_decoder_is_named_and_the_others_are_read():
    found = decode_files(['a', 'bad1', 'b', 'bad2'])
    assert [fault for fault, _ in found] == ['', 'crashes the decoder (status 3)'] * 2
    assert decode_files(['bad1'])[0][0] == 'crashes the decoder (status 3)'


@pytest.mark.usefixtures('stand_in')
def test_a_decoder_is_kept_for_the_next_files_and_replaced_when_it_ended():
    (first,), (second,) = decode_files(['a']), decode_files(['b'])
    assert first == second
    (child,) = decoding._kept
    child.terminate()
    (found,) = decode_files(['c'])  # whether its end is noticed before or after it is asked
    assert found[0] == '' and found[1] != first[1]
    (child,) = decoding._kept
    child.kill()
    child.wait()
    assert decode_files(['c'])[0][0] == ''
    (child,) = decoding._kept
    assert decode_files(['a', 'bad'])[1][0] == 'crashes the decoder (status 3)'
    assert decoding._kept == [] and child.returncode == 3


@pytest.mark.usefixtures('stand_in')
def test_a_forked_process_has_a_decoder_of_its_own():
    ((_, of_the_parent),) = decode_files(['a'])
    with multiprocessing.get_context('fork').Pool(1) as pool:
        ((_, of_the_fork),) = pool.apply(decode_files, (['a'],))
    assert of_the_fork != of_the_parent
    assert decode_files(['b']) == [('', of_the_parent)]


def test_an_idle_decoder_ends(tmp_path, monkeypatch):
    source = Path(decoding.__file__).read_text()
    assert '_PATIENCE = 60.0' in source
    script = tmp_path / 'decoding.py'
    script.write_text(source.replace('_PATIENCE = 60.0', '_PATIENCE = 0.1'))
    monkeypatch.setattr(decoding, '__file__', str(script))
    with decoding._start_child() as child:
        assert child.wait(30) == 0


def test_long_checks_say_how_far_they_are(tmp_path, picture, monkeypatch):
    said = []
    monkeypatch.setattr(image_check, 'say', said.append)
    monkeypatch.setattr(image_check, '_SILENCE', 0.0)
    path = tmp_path / 'a.jpg'
    path.write_bytes(encoded(picture))
    check_images([str(path)], 'decode')
    assert said == ['image files checked: 1 of 1', 'images decoded: 1 of 1']
