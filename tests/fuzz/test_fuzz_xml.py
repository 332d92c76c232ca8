"""VOC annotation files damaged at random: read as they are, refused by name, or named in the summary.

What a file says is taken from an independent reader, ElementTree: a digit that became another digit is
another file, which no reader can tell. Objects may not get lost or move without a word.
"""

import random
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from mdvision.datasets.voc_annotation import AnnotationError, parse_voc_xml

SEED = 20
LONGEST = 5.0  # seconds for a file
OBJECT = (
    '  <object>\n    <name>{name}</name>\n    <pose>Left</pose>\n    <truncated>0</truncated>\n'
    '    <difficult>{difficult}</difficult>\n    <bndbox>\n      <xmin>{x1}</xmin>\n      <ymin>{y1}</ymin>\n'
    '      <xmax>{x2}</xmax>\n      <ymax>{y2}</ymax>\n    </bndbox>\n  </object>\n'
)


def annotation(rng: random.Random) -> str:
    objects = ''
    for _ in range(rng.randint(0, 5)):
        x, y = rng.randint(1, 200), rng.randint(1, 150)
        box = dict(x1=x, y1=y, x2=x + rng.randint(2, 90), y2=y + rng.randint(2, 90))
        objects += OBJECT.format(name=rng.choice(['cat', 'dog']), difficult=rng.randint(0, 1), **box)
    size = '<size><width>320</width><height>240</height><depth>3</depth></size>'
    head = f'  <filename>a.jpg</filename>\n  {size}\n'
    return f'<annotation>\n{head}{objects}</annotation>\n'


def flip_bits(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.randint(1, 4)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def cut(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


def drop_a_piece(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data))
    del data[start : start + rng.randint(1, 60)]


def repeat_a_piece(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data))
    data[start:start] = data[start : start + rng.randint(1, 200)]


def move_a_line(data: bytearray, rng: random.Random) -> None:
    lines = bytes(data).split(b'\n')
    lines.insert(rng.randrange(len(lines)), lines.pop(rng.randrange(len(lines))))
    data[:] = b'\n'.join(lines)


def rename_a_tag(data: bytearray, rng: random.Random) -> None:
    tag = rng.choice([b'object', b'bndbox', b'name', b'xmin', b'difficult', b'size', b'annotation'])
    other = rng.choice([tag.upper(), tag.capitalize(), tag + b's', b'x:' + tag])
    data[:] = bytes(data).replace(b'<' + tag + b'>', b'<' + other + b'>')
    if rng.random() < 0.9:
        data[:] = bytes(data).replace(b'</' + tag + b'>', b'</' + other + b'>')


VALUES = [b'nan', b'inf', b'-1', b'1e30', b'9' * 5000, b'', b'abc', b'0x10', b'1_0', b' 7 ', b'0.5', b'<a/>']


def change_a_value(data: bytearray, rng: random.Random) -> None:
    places = [place for place, byte in enumerate(data) if 48 <= byte <= 57]
    if places:
        place = rng.choice(places)
        data[place : place + 1] = rng.choice(VALUES)


def wrap(data: bytearray, rng: random.Random) -> None:
    data[:] = bytes(data).replace(b'<object>', b'<objects><object>', 1)
    data[:] = bytes(data).replace(b'</annotation>', b'</objects></annotation>')


LAUGHS = b''.join(b'<!ENTITY e%d "%s">' % (i + 1, b'&e%d;' % i * 10) for i in range(12))
HEADS = [
    b'<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]>\n',
    b'<!DOCTYPE a [<!ENTITY a "x"><!ENTITY e "' + b'&a;' * 2000 + b'">]>\n',
    b'<!DOCTYPE a [<!ENTITY e0 "x">' + LAUGHS + b'<!ENTITY e "&e12;">]>\n',
    b'<?xml version="1.0" encoding="utf-7"?>\n',
    b'\xff\xfe',
]


def entities(data: bytearray, rng: random.Random) -> None:
    data[:] = rng.choice(HEADS) + bytes(data).replace(b'>cat<', b'>&e;<')


MUTATIONS = [
    *(flip_bits, cut, drop_a_piece, repeat_a_piece, move_a_line),
    *(rename_a_tag, change_a_value, wrap, entities),
]


def objects_by_elementtree(data: bytes) -> list[tuple]:
    """Every object of the document, wherever it stands, with the text of its fields."""
    root = ET.fromstring(data)
    found = []
    for node in root.iter():
        if isinstance(node.tag, str) and node.tag.lower().rpartition('}')[2] == 'object':
            box = node.find('bndbox')
            found.append(
                (node.findtext('name'), *(box.findtext(f) for f in ('xmin', 'ymin', 'xmax', 'ymax')))
            )
    return found


def check(path: Path) -> str:
    """``'read'`` or ``'refused'``; fails where the file is read wrongly without a word."""
    started = time.monotonic()
    try:
        annotation = parse_voc_xml(path)
    except AnnotationError as error:
        assert str(path) in str(error)
        assert len(str(error)) < 5000
        return 'refused'
    finally:
        assert time.monotonic() - started < LONGEST
    truth = objects_by_elementtree(path.read_bytes())
    assert [(o.name, *o.box) for o in annotation.objects] == [
        (name.strip(), *map(float, box)) for name, *box in truth
    ]
    return 'read'


def run(folder: Path, count: int, seed: int) -> dict[str, int]:
    results = dict(read=0, refused=0)
    for number in range(count):
        rng = random.Random(f'{seed} {number}')
        data = bytearray(annotation(rng).encode())
        for _ in range(rng.choice([1, 1, 2])):
            if data:
                rng.choice(MUTATIONS)(data, rng)
        path = folder / f'{number}.xml'
        path.write_bytes(data)
        try:
            results[check(path)] += 1
        except Exception as error:
            raise AssertionError(f'file {number} of seed {seed}: {bytes(data[:3000])!r}') from error
        path.unlink()
    return results


@pytest.mark.fault('e')
def test_sixty_damaged_annotation_files(tmp_path):
    results = run(tmp_path, 60, SEED)
    assert min(results.values()) > 5  # both happen


@pytest.mark.fuzz
@pytest.mark.fault('e', 'e2')
def test_two_thousand_damaged_annotation_files(tmp_path):
    results = run(tmp_path, 2000, SEED + 1)
    assert min(results.values()) > 200
