"""Read PASCAL VOC split files and annotation files strictly: every problem is named.

This is pure parsing: nothing here opens an image or imports an upstream library. Objects are numbered from 1,
in the order of the file, as one counts them in an editor.
"""

import math
import os
import re
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from mdvision.errors import UserError
from mdvision.text import shortlist

__all__ = [
    'AnnotationError',
    'BoxError',
    'Fault',
    'VOCAnnotation',
    'VOCObject',
    'parse_voc_xml',
    'read_split',
    'settle_box',
    'shorten',
]

COORDINATES = ('xmin', 'ymin', 'xmax', 'ymax')


@dataclass(frozen=True)
class Fault:
    """One problem in one annotation file. ``object_index`` counts from 1; 0 is the file as a whole."""

    reason: str
    object_index: int = 0
    field: str = ''
    line: int = 0

    def __str__(self) -> str:
        where = [f'line {self.line}'] if self.line else []
        where += [f'object {self.object_index}'] if self.object_index else []
        where += [f'<{self.field}>'] if self.field else []
        return f'{", ".join(where)}: {self.reason}' if where else self.reason


class AnnotationError(UserError):
    """An annotation file that cannot be used: its ``path`` and every :class:`Fault` in it."""

    def __init__(self, path: str | os.PathLike, faults: list[Fault]):
        self.path = str(path)
        self.faults = tuple(faults)
        super().__init__('\n'.join(f'{self.path}: {fault}' for fault in faults))

    def __reduce__(self):  # the default would call the class with the message
        return type(self), (self.path, list(self.faults))


class BoxError(ValueError):
    """A box that no repair makes usable. ``kind`` is ``'outside'`` or ``'normalized'``."""

    def __init__(self, kind: str, reason: str):
        self.kind = kind
        super().__init__(reason)


@dataclass(frozen=True)
class VOCObject:
    """One ``<object>``. ``box`` is (xmin, ymin, xmax, ymax) exactly as in the file, as unshifted floats."""

    index: int
    name: str
    box: tuple[float, float, float, float]
    difficult: bool
    truncated: bool
    occluded: bool = False
    odd_difficult: str = ''  # '', or what was found instead of 0 or 1: 'missing', "'False'", ...


@dataclass(frozen=True)
class VOCAnnotation:
    """One annotation file. ``width`` and ``height`` are in pixels, or None if the file has no usable size."""

    path: str
    filename: str  # last part of <filename>, '' if there is none
    width: int | None
    height: int | None
    objects: tuple[VOCObject, ...]


def read_split(path: str | os.PathLike) -> list[str]:
    """Return the image ids of a split file, in file order.

    Blank lines, spaces around an id, Windows line endings and a byte order mark are not part of an id. A file
    whose every line is ``id 1``, ``id 0`` or ``id -1`` has VOC's per-class form: the first column counts.

    Raises:
        UserError: the file is missing, empty or not UTF-8 text, or an id occurs twice.
    """
    path = Path(path)
    try:
        text = path.read_bytes().decode('utf-8-sig')
    except OSError as error:
        raise UserError(f'cannot read the split file {path}: {error.strerror}.') from None
    except UnicodeDecodeError as error:
        raise UserError(
            f'the split file {path} is not UTF-8 text (byte {error.start}). Save it as UTF-8, one id per '
            'line.'
        ) from None
    ids = [line.strip() for line in text.splitlines() if line.strip()]
    if not ids:
        raise UserError(f'the split file {path} is empty: expected one image id per line, such as 000005.')
    columns = [re.fullmatch(r'(\S+)\s+(?:-1|0|1)', line) for line in ids]
    if all(columns):
        ids = [match.group(1) for match in columns]
    twice = [(name, count) for name, count in Counter(ids).items() if count > 1]
    if twice:
        named = shortlist(f'{name} ({count}x)' for name, count in twice)
        raise UserError(
            f'the split file {path} lists {len(twice)} ids more than once, and each would count again in '
            f'training and in the metric: {named}. Fix: keep one line per id.'
        )
    return ids


def parse_voc_xml(path: str | os.PathLike) -> VOCAnnotation:
    """Read one annotation file.

    Tolerated, and left for the caller to report: a missing or unusual ``<difficult>`` (see ``odd_difficult``)
    and a missing, zero or fractional ``<size>`` (``width`` and ``height`` are None).

    Raises:
        AnnotationError: the file has problems; it holds all of them.
    """
    try:
        root = ET.fromstring(Path(path).read_bytes())
    except OSError as error:
        raise AnnotationError(path, [Fault(f'cannot read the file: {error.strerror}')]) from None
    except ET.ParseError as error:
        line, column = error.position
        reason = f'malformed XML, {str(error).split(":")[0]} (column {column + 1})'
        raise AnnotationError(path, [Fault(reason, line=line)]) from None
    except (LookupError, ValueError) as error:  # an encoding declaration that Python does not know
        raise AnnotationError(path, [Fault(f'malformed XML, {error}')]) from None
    if root.tag != 'annotation':
        raise AnnotationError(
            path, [Fault(f'expected the root element <annotation>, got <{shorten(root.tag)}>')]
        )
    faults = _misplaced(root)
    objects = []
    for index, node in enumerate(root.findall('object'), 1):
        found = _parse_object(node, index, faults)
        if found is not None:
            objects.append(found)
    if faults:
        raise AnnotationError(path, faults)
    filename = re.split(r'[\\/]', (root.findtext('filename') or '').strip())[-1]
    width, height = (_whole_positive(root.findtext(f'size/{side}')) for side in ('width', 'height'))
    if width is None or height is None:
        width = height = None
    return VOCAnnotation(str(path), filename, width, height, tuple(objects))


_PLACES = {'object': ('annotation',), 'bndbox': ('object', 'part'), 'xmin': ('bndbox',)}


def _misplaced(root: ET.Element) -> list[Fault]:
    """Return one fault per misplaced or misspelled kind of object tag: such objects would vanish."""
    found, nodes = {}, [(root, 0)]
    while nodes:
        parent, depth = nodes.pop()
        for node in parent:
            tag = node.tag if isinstance(node.tag, str) else ''  # the tag of a comment is a function
            usual = tag.rpartition('}')[2].lower()
            spelt = usual not in _PLACES or tag == usual
            here = parent.tag in _PLACES.get(usual, (parent.tag,)) and not (usual == 'object' and depth)
            if not (spelt and here):
                found.setdefault(f'<{shorten(tag)}> in <{shorten(str(parent.tag))}>')
            else:
                nodes.append((node, depth + 1))
    expected = 'expected objects as <object> directly in <annotation>, with <bndbox> containing <xmin>; got '
    return [Fault(expected + place) for place in found]


def shorten(text: str, most: int = 60) -> str:
    """Shorten a text from a file to ``most`` characters for a message."""
    return text if len(text) <= most else f'{text[:most]}... ({len(text)} characters)'


def _parse_object(node: ET.Element, index: int, faults: list[Fault]) -> VOCObject | None:
    """Parse one object; return None after adding its problems to ``faults``."""
    before = len(faults)
    name = (node.findtext('name') or '').strip()
    if not name:
        faults.append(Fault('expected a class name, got none', index, 'name'))
    box = node.find('bndbox')
    values = []
    for field in ('name', 'difficult', *(f'bndbox/{field}' for field in COORDINATES)):
        texts = list(dict.fromkeys((child.text or '').strip() for child in node.findall(field)))
        if len(texts) > 1:
            given = ' and '.join(shorten(repr(text)) for text in texts[:3])
            faults.append(Fault(f'given more than once: {given}', index, field.rpartition('/')[2]))
    if box is None:
        faults.append(Fault('missing', index, 'bndbox'))
    else:
        for field in COORDINATES:
            text = box.findtext(field)
            value = _number(text)
            if value is None:
                got = 'nothing' if text is None or not text.strip() else shorten(repr(text.strip()))
                faults.append(Fault(f'expected a finite number, got {got}', index, field))
            else:
                values.append(value)
    if len(faults) > before:
        return None
    difficult, odd = _flag(node.findtext('difficult'))
    truncated, _ = _flag(node.findtext('truncated'))
    occluded, _ = _flag(node.findtext('occluded'))
    return VOCObject(index, name, tuple(values), difficult, truncated, occluded, odd)


def _number(text: str | None) -> float | None:
    """Return a finite float, or None. ``1_000`` is a number in Python but not in annotations."""
    if text is None or '_' in text:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _whole_positive(text: str | None) -> int | None:
    if text is None or not text.strip().isdecimal():
        return None
    return int(text.strip()[:30]) or None  # more digits than any image has pixels; Python reads 4300


def _flag(text: str | None) -> tuple[bool, str]:
    """Return (value, what was unusual). 0 and 1 are standard; words are understood; all else counts as 0."""
    if text is None:
        return False, 'missing'
    word = text.strip().lower()
    if word in ('0', '1'):
        return word == '1', ''
    return word in ('true', 'yes'), shorten(repr(text.strip()))


def settle_box(
    box: tuple[float, float, float, float], base: int, width: int, height: int
) -> tuple[list[float] | None, tuple[str, ...]]:
    """Convert a box of a file to continuous coordinates [x1, y1, x2, y2] within the image.

    Args:
        box: (xmin, ymin, xmax, ymax) as in the file.
        base: 1 for VOC's 1-based inclusive pixel indices, (xmin - 1, ymin - 1, xmax, ymax); 0 to use them as
            they are.
        width: of the image, in pixels.
        height: of the image, in pixels.

    Returns:
        the box, or None if it is degenerate and dropped; and the repairs: ``'swapped'``, ``'clipped'``,
        ``'degenerate'``.

    Raises:
        BoxError: no repair makes the box usable.
    """
    xmin, ymin, xmax, ymax = box
    shown = f'({", ".join(f"{v:g}" for v in box)})'
    if all(0 <= v <= 1 for v in box) and xmin != xmax and ymin != ymax and max(width, height) > 1:
        raise BoxError('normalized', f'box {shown} lies within 0..1: a fraction of the image, not pixels')
    # With an inclusive last pixel, the only box in a one-pixel-wide image is from 1 to 1.
    if (xmin == xmax and not base == xmin == width) or (ymin == ymax and not base == ymin == height):
        return None, ('degenerate',)
    repairs = []
    if xmax < xmin or ymax < ymin:
        xmin, xmax = sorted((xmin, xmax))
        ymin, ymax = sorted((ymin, ymax))
        repairs.append('swapped')
    whole = [xmin - base, ymin - base, xmax, ymax]
    if whole[0] >= width or whole[1] >= height or whole[2] <= 0 or whole[3] <= 0:
        raise BoxError('outside', f'box {shown} lies entirely outside the {width}x{height} image')
    if whole[0] < -width or whole[1] < -height or whole[2] > 2 * width or whole[3] > 2 * height:
        raise BoxError('outside', f'box {shown} extends far beyond the {width}x{height} image')
    limits = (width, height, width, height)
    inside = [min(max(value, 0.0), float(limit)) for value, limit in zip(whole, limits, strict=True)]
    if inside != whole:
        repairs.append('clipped')
    if inside[2] - inside[0] < 1 or inside[3] - inside[1] < 1:
        return None, (*repairs, 'degenerate')
    return inside, tuple(repairs)
