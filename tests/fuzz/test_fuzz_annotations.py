"""Annotations of other formats damaged at random: refused by name, or read to boxes within their images."""

import random
from pathlib import Path

import pytest

from mdvision.annotations import FORMATS
from mdvision.annotations.form import ConversionReport, ReadOptions
from mdvision.annotations.settle import settle
from mdvision.errors import UserError
from tests.annotations import small_sets as sets

COUNT = 400  # of every file
FILES = [
    ('coco', 'instances.json'), ('yolo', 'labels/a.txt'), ('yolo', 'classes.txt'), ('yolo', 'data.yaml'),
    ('csv', 'boxes.csv'), ('cvat', 'annotations.xml'), ('labelme', 'a.json'),
]  # fmt: skip
PIECES = [
    b'nan', b'inf', b'-1', b'1e400', b'9' * 5000, b'null', b'true', b'[]', b'{}', b'""', b'"', b'\x00',
    b'\xff', b'[' * 3000, b'&x;', b'../', b',', b'\n', b'1_0', b'<box/>', b': ', b'- ', b'&a *a',
]  # fmt: skip


def damage(data: bytes, rng: random.Random) -> bytes:
    data = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        start, length = rng.randrange(len(data) + 1), rng.randint(0, 12)
        kind = rng.randrange(5)
        if kind == 0 and data:
            data[min(start, len(data) - 1)] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del data[start : start + length]
        elif kind == 2:
            data[start:start] = data[start : start + 5 * length]
        elif kind == 3:
            data[start : start + length] = rng.choice(PIECES)
        else:
            digits = [place for place, byte in enumerate(data) if 48 <= byte <= 57] or [0]
            place = rng.choice(digits)
            data[place : place + 1] = rng.choice(PIECES)
    return bytes(data)


@pytest.mark.fuzz
@pytest.mark.parametrize(('kind', 'name'), FILES)
def test_a_damaged_file_is_refused_or_read(kind, name, tmp_path):
    source: Path = sets.SETS[kind](tmp_path / 'set')
    if name == 'data.yaml':
        sets.write(source / name, 'train: images\nnames: {0: cat, 1: dog}\n')
    whole = (source / name).read_bytes()
    read = 0
    for seed in range(COUNT):
        (source / name).write_bytes(damage(whole, random.Random(seed)))
        report = ConversionReport('', str(source), kind)
        try:
            data = FORMATS[kind].read(source, report, ReadOptions(check='header'))
            settle(data, report, 'header')
            report.raise_faults()
        except UserError as error:
            assert len(str(error)) < 6000, seed
            continue
        read += 1
        for image in data.images:
            for box in image.boxes:
                x1, y1, x2, y2 = box.corners
                assert 0 <= x1 < x2 <= image.size[0] and 0 <= y1 < y2 <= image.size[1], (seed, box)
                assert box.label in data.classes, (seed, box)
    assert 0 < read < COUNT
