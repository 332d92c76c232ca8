"""Boxes with labels on a picture: the one style of every figure that shows detections."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from .lettering import font_for
from .palette import BLACK, CLASS_COLORS, PAPER

__all__ = ['class_color', 'draw_boxes', 'place_label', 'shortened']


def class_color(label: int) -> tuple[int, int, int]:
    """Return the RGB color of a class: the same on every sheet, repeating from the 21st class on."""
    value = CLASS_COLORS[label % len(CLASS_COLORS)]
    return tuple(int(value[i : i + 2], 16) for i in (1, 3, 5))


def shortened(text: str, width: float, font_size: int, bold: bool = False) -> str:
    """Return ``text``, or as much of its beginning as fits into ``width`` pixels with an ellipsis."""
    font = font_for(text, font_size, bold)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + '…') > width:
        text = text[:-1]
    return text.rstrip() + '…'


def draw_boxes(
    picture: Image.Image,
    boxes: np.ndarray,
    labels: Sequence[int],
    names: Sequence[str],
    values: Sequence[str] = (),
    dashed: Sequence = (),
    line: int = 2,
    font_size: int = 12,
) -> None:
    """Draw boxes and their labels on a picture; the first box is the most important one, and on top.

    A label that would cover another one wherever it is put is left out.

    Args:
        picture: RGB; drawn on in place.
        boxes: (N, 4) ``[x1, y1, x2, y2]`` in pixels of the picture.
        labels: the class of each, for its color.
        names: the text of each label; shortened where it is long for the picture.
        values: what follows a name and is never shortened, such as a score; none by default.
        dashed: whether the line of each has gaps; by default none has.
        line: width of the line in pixels, without its black rim.
        font_size: in pixels.
    """
    draw = ImageDraw.Draw(picture)
    width, height = picture.size
    boxes = np.clip(np.rint(np.reshape(boxes, (-1, 4))), 0, [width - 1, height - 1] * 2).astype(int)
    values, dashed = values or [''] * len(boxes), dashed if len(dashed) else [False] * len(boxes)
    order = range(len(boxes))
    for index in reversed(order):
        _draw_box(draw, boxes[index], class_color(labels[index]), bool(dashed[index]), line)

    texts, places, taken = [], [], []
    for index in order:
        longest = min(max(width / 2, 12 * font_size), width) - 3.5 * line
        text = _text(names[index], values[index], longest, font_size)
        size = int(font_for(text, font_size).getlength(text) + 3.5 * line), font_size + 2 * line
        place = place_label(boxes[index], size, (width, height), taken)
        texts.append(text)
        places.append(place)
        taken += [place] * (place is not None)
    for index in reversed(order):
        if places[index] is None:
            continue
        color, (x1, y1, x2, y2) = class_color(labels[index]), places[index]
        draw.rectangle((x1, y1, x2 - 1, y2 - 1), fill=color)
        draw.text(
            (x1 + 1.5 * line, (y1 + y2) / 2), texts[index], fill=_text_color(color),
            font=font_for(texts[index], font_size), anchor='lm',
        )  # fmt: skip


def _text(name: str, value: str, width: float, font_size: int) -> str:
    if not value:
        return shortened(name, width, font_size)
    left = width - font_for(value, font_size).getlength(f' {value}')
    return f'{shortened(name, left, font_size)} {value}'


def _pieces(start: int, stop: int, dashed: bool, line: int) -> list[tuple[int, int]]:
    """Return the drawn parts of a line from ``start`` to ``stop``: all of it, or dashes."""
    if not dashed:
        return [(start, stop)]
    return [(at, min(at + 3 * line, stop)) for at in range(start, stop, 6 * line)]


def _draw_box(draw: ImageDraw.ImageDraw, box: np.ndarray, color: tuple, dashed: bool, line: int) -> None:
    """Draw a colored line with a black rim, visible on every background."""
    x1, y1, x2, y2 = map(int, box)
    rim, inner = max(1, line // 3), line - 1
    bars = []  # inclusive rectangles
    for a, b in _pieces(x1, x2, dashed, line):
        bars += [(a, y1, b, y1 + inner), (a, y2 - inner, b, y2)]
    for a, b in _pieces(y1, y2, dashed, line):
        bars += [(x1, a, x1 + inner, b), (x2 - inner, a, x2, b)]
    bars = [(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in bars]
    for a, b, c, d in bars:
        draw.rectangle((a - rim, b - rim, c + rim, d + rim), fill=BLACK)
    for bar in bars:
        draw.rectangle(bar, fill=color)


def place_label(
    box: np.ndarray, size: tuple[int, int], panel: tuple[int, int], taken: list[tuple]
) -> tuple | None:
    """Return a place at the box where its label covers no other label; None if there is none.

    Args:
        box: in pixels of the picture.
        size: (width, height) of the label.
        panel: (width, height) of the picture.
        taken: rectangles of the existing labels.

    Returns:
        the rectangle (x1, y1, x2, y2) for the label, inside the picture.
    """
    (x1, y1, x2, y2), (width, height) = box, size
    left, right = x1 + 1, x2 - 1 - width
    choices = [
        (x1 - 1, y1 - height),  # above the box, at the left
        (x2 + 2 - width, y1 - height),
        (x1 - 1, y2 + 1),  # below the box
        (x2 + 2 - width, y2 + 1),
        (left, y1 + 1),  # in the box
        (left, y2 - height),
        *((x, y1 + 1 + step) for step in range(height, int(y2 - y1) - height, height) for x in (left, right)),
    ]
    lowest, rightmost = max(panel[1] - height, 0), max(panel[0] - width, 0)
    inside = [(x, y) for x, y in choices if 0 <= y <= lowest]
    for x, y in inside or choices[4:6]:  # a picture lower than box and label
        x, y = min(max(x, 0), rightmost), min(max(y, 0), lowest)
        rectangle = (x, y, x + width, y + height)
        if not any(_overlap(rectangle, other) for other in taken):
            return rectangle
    return None


def _overlap(one: tuple, other: tuple) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _text_color(background: tuple[int, int, int]) -> str:
    red, green, blue = background
    return BLACK if 0.299 * red + 0.587 * green + 0.114 * blue > 128 else PAPER
