"""Check whether an image file is intact, and how large it is: before training, not in epoch 7.

OpenCV decodes a corrupt JPEG without an error and rejects a half-written one only when it is loaded. There
are three levels: ``'header'`` parses the structure of the whole file without decoding JPEG or PNG data,
``'decode'`` also decodes it with OpenCV and captures the decoder's messages, and ``'none'`` reads only the
size, where needed. Some damage to a JPEG header is visible only to the decoder. No level finds wrong bytes
that happen to be valid code: no decoder reports those.
"""

import contextlib
import io
import os
import time
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from mdvision.console import say

from .decoding import decode_files

__all__ = [
    'CHECKS',
    'ImageFacts',
    'SizeError',
    'check_image',
    'check_images',
    'loader_turns',
    'settle_size',
    'unreadable',
]

CHECKS = ('decode', 'header', 'none')
_ORIENTATION_TAG = 0x0112
_MOST_PIXELS = 2**30  # that OpenCV reads
_SILENCE = 10.0  # seconds of checking between two progress lines

_known: dict[tuple, 'ImageFacts'] = {}


@dataclass(frozen=True)
class ImageFacts:
    """Facts about one image file.

    Holds the size in pixels as stored, the EXIF orientation 1..8, and the problem ('' if intact).
    ``complaint`` is the decoder's message about a JPEG that it still read, perhaps with wrong pixels, or ''.
    The orientation is 1 where OpenCV ignores it. TIFF files, which Pillow and OpenCV always rotate, have the
    rotated size and 1.
    """

    width: int = 0
    height: int = 0
    orientation: int = 1
    sixteen_bit: bool = False
    fault: str = ''
    complaint: str = ''


class SizeError(ValueError):
    """An annotation's size contradicts the image. ``kind`` is ``'size'``, ``'turned'`` or ``'unturned'``."""

    def __init__(self, kind: str, reason: str):
        self.kind = kind
        super().__init__(reason)


def check_images(paths: list[str], check: str) -> list[ImageFacts]:
    """Run :func:`check_image` on every path, on several cores; unchanged files are not read again.

    With ``'decode'``, OpenCV also decodes every file. A long check reports its progress every ten seconds.
    """
    keys = [_state(path, check) for path in paths]
    new = list(dict.fromkeys(key for key in keys if key is not None and key not in _known))
    with _any_size(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        progress = _Progress(len(new), 'image files checked')
        found = []
        for facts in pool.map(lambda key: check_image(key[0], check), new):
            found.append(facts)
            progress(1)
    if check == 'decode':
        whole = [index for index, facts in enumerate(found) if not facts.fault]
        decoded = decode_files([new[index][0] for index in whole], _Progress(len(whole), 'images decoded'))
        for index, (fault, said) in zip(whole, decoded, strict=True):
            if fault:
                found[index] = ImageFacts(fault=fault)
            elif said:
                found[index] = replace(found[index], complaint=said)
    _known.update(zip(new, found, strict=True))
    return [_known[key] if key else check_image(path, check) for key, path in zip(keys, paths, strict=True)]


class _Progress:
    """Report the progress of a long check."""

    def __init__(self, total: int, what: str):
        self._total, self._what = total, what
        self._count, self._said = 0, time.monotonic()

    def __call__(self, count: int) -> None:
        self._count += count
        if time.monotonic() - self._said > _SILENCE:
            self._said = time.monotonic()
            say(f'{self._what}: {self._count:,} of {self._total:,}')


def _state(path: str, check: str) -> tuple | None:
    """Return a value that changes when the file does; None if the file cannot be accessed."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return os.path.abspath(path), status.st_mtime_ns, status.st_size, check


@contextlib.contextmanager
def _any_size() -> Iterator[None]:
    """Accept images above 179 megapixels, which Pillow takes for an attack, and silence EXIF warnings."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def check_image(path: str, check: str) -> ImageFacts:
    """Return the facts of one file; never raise because of its content. ``check`` is one of ``CHECKS``."""
    try:
        with open(path, 'rb') as file:
            head = file.read(32)
            if not head:
                return ImageFacts(fault='is empty (0 bytes)')
            file.seek(0)
            with _any_size():
                return _facts(file, head, check)
    except UnidentifiedImageError:
        if head.lstrip()[:1] == b'<':
            return ImageFacts(fault='is not an image: it begins like an HTML or XML page')
        return ImageFacts(fault='is not a recognizable image')
    except OSError as error:
        reason = error.strerror and f'cannot be read: {error.strerror}'
        return ImageFacts(fault=reason or f'cannot be decoded: {error}')
    except Exception as error:  # Pillow's parsers raise SyntaxError, struct.error and more for corrupt files
        return ImageFacts(fault=f'cannot be decoded: {type(error).__name__}: {error}')


def unreadable(path: str) -> str:
    """Return why the loader cannot read a file, or ''."""
    facts = check_image(path, 'header')
    if facts.fault:
        return facts.fault
    readable = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR) is not None
    return '' if readable else 'cannot be decoded by OpenCV'


def _facts(file, head: bytes, check: str) -> ImageFacts:
    with Image.open(file) as image:
        kind = image.format
        width, height = image.size
        # Pillow presents 16-bit color PNGs as 8-bit: the header tells them apart.
        sixteen_bit = image.mode.startswith('I;16') or (kind == 'PNG' and head[24] == 16)
        if check != 'none' and kind == 'PNG':
            image.verify()  # the checksum of every chunk; the object is unusable afterwards
        elif check != 'none' and kind not in ('JPEG', 'MPO'):
            image.load()
        orientation = _orientation(image) if kind != 'PNG' else 1
    if kind == 'PNG':
        orientation = _png_orientation(file)
    if kind == 'WEBP' and not _opencv_turns_webp():
        orientation = 1
    fault = ''
    if check != 'none':
        if width * height > _MOST_PIXELS:
            fault = f'has {width}x{height} pixels: OpenCV, which loads the images, reads at most 2**30'
        elif kind in ('JPEG', 'MPO'):
            file.seek(0)
            fault = _jpeg_fault(file.read())
        elif kind != 'PNG':
            fault, sixteen_bit = _opencv_fault(file)
    if fault:
        return ImageFacts(fault=fault)
    return ImageFacts(width, height, orientation, sixteen_bit)


def _opencv_fault(file) -> tuple[str, bool]:
    """Return the fault of a TIFF, BMP, WebP or similar as OpenCV reads it, and whether it has 16 bits.

    Pillow reads floating-point images, which OpenCV cannot convert to color, and takes 12-bit color for
    8-bit.
    """
    file.seek(0)
    data = np.frombuffer(file.read(), np.uint8)
    try:
        if cv2.imdecode(data, cv2.IMREAD_COLOR) is None:
            return 'is of a kind that OpenCV, which loads the images, cannot read', False
        values = cv2.imdecode(data, cv2.IMREAD_ANYDEPTH)
        if values.dtype.kind == 'f':
            return 'holds floating-point values, which OpenCV cannot convert to an image', False
        return '', values.itemsize > 1
    except cv2.error as error:
        return f'cannot be decoded by OpenCV: {error.err or error}', False


@cache
def _opencv_turns_webp() -> bool:
    """Return whether OpenCV obeys EXIF orientation in WebP: versions up to 4.12 do not."""
    file, exif = io.BytesIO(), Image.Exif()
    exif[_ORIENTATION_TAG] = 6
    Image.new('RGB', (2, 1)).save(file, 'WEBP', exif=exif)
    return cv2.imdecode(np.frombuffer(file.getvalue(), np.uint8), cv2.IMREAD_COLOR).shape[:2] == (2, 1)


def _png_orientation(file) -> int:
    """Read the EXIF orientation of a PNG from its bytes: Pillow would decode the whole file for it."""
    file.seek(0)
    data = file.read()
    if b'eXIf' not in data and b'Raw profile type exif' not in data:
        return 1
    file.seek(0)
    with Image.open(file) as image:
        return _orientation(image)


def _orientation(image: Image.Image) -> int:
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # a corrupt EXIF block: OpenCV ignores it too
        return 1
    return orientation if orientation in range(1, 9) else 1


def _jpeg_fault(data: bytes) -> str:
    """Return '' if marker follows marker up to the end-of-image marker, whose trailing bytes are ignored.

    A truncated file and one with a zero-filled tail have no end-of-image marker. Random bytes within the
    compressed data soon contain an invalid marker.
    """
    position, in_scan = 2, False
    while True:
        if in_scan:  # compressed data: FF is followed by 00, or is a marker
            position = data.find(b'\xff', position)
        if position < 0 or position + 1 >= len(data):
            return f'is truncated: no end-of-image marker in {len(data)} bytes'
        if data[position] != 0xFF:
            return f'is corrupt at byte {position}: a marker is missing'
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
        elif in_scan and (marker == 0x00 or 0xD0 <= marker <= 0xD7):
            position += 2
        elif marker == 0xD9 and in_scan:
            return ''
        elif 0xC0 <= marker <= 0xFE and not 0xD0 <= marker <= 0xD9:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], 'big')
            in_scan = marker == 0xDA
        else:
            return f'is corrupt at byte {position}: marker FF{marker:02X} is not allowed there'


def loader_turns(transforms: Iterable) -> bool:
    """Return whether a pipeline's image loader obeys EXIF orientation, as OpenCV does by default."""
    for step in transforms:
        flag = getattr(step, 'color_type', None)
        if isinstance(flag, str):
            return flag != 'unchanged' and not flag.endswith('ignore_orientation')
    return True


def settle_size(
    facts: ImageFacts,
    stated: tuple[int, int] | None,
    corners: list[tuple[float, float]],
    turns: bool,
    source: str = 'the XML',
) -> tuple[tuple[int, int], str]:
    """Return the (width, height) that the loader will deliver, and the repair applied.

    Args:
        facts: facts about the image.
        stated: the size in ``source``.
        corners: (xmax, ymax) of its boxes.
        turns: whether the loader obeys EXIF orientation (it rotates the image, never the boxes).
        source: what states the size, for the message.

    Returns:
        the size and the repair: ``''``, ``'no size'``, ``'exchanged'`` or ``'orientation'`` (mirrored or
            upside down by EXIF, where the sizes cannot show whether the boxes are too).

    Raises:
        SizeError: the boxes may belong to another image.
    """
    stored = (facts.width, facts.height)
    sideways = facts.orientation >= 5
    seen = stored[::-1] if turns and sideways else stored
    if stated is None:
        return seen, 'no size'
    if stated == seen:
        unclear = facts.orientation in (2, 3, 4) or (sideways and facts.width == facts.height)
        return seen, 'orientation' if unclear else ''
    says = f'{source} says {stated[0]}x{stated[1]}'
    if sideways and stated == seen[::-1]:
        if turns:
            raise SizeError(
                'turned',
                f'EXIF orientation {facts.orientation}: {says}, the stored size, but the loader rotates the '
                f'image to {seen[0]}x{seen[1]} and leaves the boxes as they are',
            )
        raise SizeError(
            'unturned',
            f'EXIF orientation {facts.orientation}: {says}, the size after rotation, but this loader leaves '
            f'the image at {seen[0]}x{seen[1]}',
        )
    exchanged = stated == seen[::-1]

    def fits(size: tuple[int, int]) -> bool:
        return all(x <= size[0] + 1 and y <= size[1] + 1 for x, y in corners)

    if exchanged and fits(seen) and not fits(stated):
        return seen, 'exchanged'  # the boxes prove which of the two is right
    note = ', width and height are swapped' if exchanged else ''
    raise SizeError('size', f'{says}, the image is {seen[0]}x{seen[1]}{note}')
