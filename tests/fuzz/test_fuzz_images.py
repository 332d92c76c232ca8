"""Image files damaged at random: the same pixels, or a fault or complaint that names the file.

Bytes of a JPEG that are changed into other valid code cannot be told from an original: no decoder reports
them. Those are counted and must not be read otherwise than OpenCV, which loads them, reads them.
"""

import io
import random
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mdvision.datasets.image_check import check_images

SEED = 30


def originals() -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    picture = Image.fromarray(cv2.resize(noise, (160, 120), interpolation=cv2.INTER_CUBIC))
    kinds = {
        'baseline.jpg': ('JPEG', dict(quality=90)),
        'progressive.jpg': ('JPEG', dict(quality=90, progressive=True)),
        'grey.jpg': ('JPEG', dict(quality=90)),
        'restarts.jpg': ('JPEG', dict(quality=90, restart_marker_blocks=4)),
        'a.png': ('PNG', {}),
        'palette.png': ('PNG', {}),
    }
    found = {}
    for name, (kind, options) in kinds.items():
        mode = 'L' if 'grey' in name else 'P' if 'palette' in name else 'RGB'
        buffer = io.BytesIO()
        picture.convert(mode).save(buffer, kind, **options)
        found[name] = buffer.getvalue()
    return found


def damage(data: bytes, rng: random.Random) -> bytes:
    garbled, how = bytearray(data), rng.randrange(6)
    place = rng.randrange(len(data))
    if how == 0:
        garbled[place] ^= 1 << rng.randrange(8)
    elif how == 1:  # in the header, where a flip does most
        garbled[rng.randrange(min(600, len(data)))] ^= 1 << rng.randrange(8)
    elif how == 2:
        del garbled[place:]
    elif how == 3:
        garbled[place:] = bytes(len(data) - place)
    elif how == 4:
        garbled[place : place + 40] = rng.randbytes(40)
    else:
        del garbled[place : place + rng.randint(1, 100)]
    return bytes(garbled)


def run(folder: Path, count: int, seed: int) -> dict[str, int]:
    whole, rng = originals(), random.Random(seed)
    files = []
    for number in range(count):
        name = rng.choice(sorted(whole))
        path = folder / f'{number}_{name}'
        path.write_bytes(damage(whole[name], rng))
        files.append((path, name))
    results = dict(same=0, named=0, undetectable=0)
    found = check_images([str(path) for path, _ in files], 'decode')
    for (path, name), facts in zip(files, found, strict=True):
        pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR) if path.stat().st_size else None
        before = cv2.imdecode(np.frombuffer(whole[name], np.uint8), cv2.IMREAD_COLOR)
        if facts.fault or facts.complaint:
            results['named'] += 1
            continue
        assert pixels is not None, f'{path.name} would end an epoch in the middle'
        assert (facts.width, facts.height) == pixels.shape[1::-1], path.name
        if pixels.shape == before.shape and (pixels == before).all():
            results['same'] += 1
        else:
            assert name.endswith('.jpg'), f'{path.name}: other pixels without a word'
            results['undetectable'] += 1
    return results


@pytest.mark.fault('f')
def test_sixty_damaged_images(tmp_path):
    results = run(tmp_path, 60, SEED)
    assert results['named'] > 30


@pytest.mark.fuzz
@pytest.mark.fault('f')
def test_a_thousand_damaged_images(tmp_path):
    results = run(tmp_path, 1000, SEED + 1)
    assert results['named'] > 500
    assert results['undetectable'] < 250
