"""Draw a prediction on its image, in the style of the sheets of predictions."""

import numpy as np
from PIL import Image, ImageDraw

from mdvision.errors import UserError
from mdvision.visualization.boxes import class_color, draw_boxes, shortened
from mdvision.visualization.lettering import font_for, has_letters
from mdvision.visualization.palette import INK, PAPER, RULE

from .predictions import Classification, Detections

__all__ = ['draw_prediction', 'unwritable_names']

MOST_BARS = 10
STRIP = 18  # the narrowest strip of bars, in font sizes
WIDEST_BARS = 52  # in font sizes
SMALLEST = 160  # pixels; a classifier's image below that is enlarged


def draw_prediction(one: Detections | Classification, top: int = 5) -> np.ndarray:
    """Return the image (H, W, 3) uint8 RGB with boxes, names and scores, or with a strip of class scores.

    An image with detections keeps its size. That of a classifier gets a white strip below it (beside it
    where it is higher than wide), which covers nothing; all images of one size get a strip of one size.

    Args:
        one: with its ``image``, see ``images`` of :meth:`~mdvision.inference.trained.TrainedModel.stream`.
        top: classes in the strip of a classifier, at most 10.

    Raises:
        UserError: the prediction has no image.
    """
    if one.image is None:
        raise UserError(
            f'{one.source}: the prediction has no image to draw on. Predict with images=True, as in '
            'model.predict(source, images=True).'
        )
    picture = Image.fromarray(one.image)
    size = _font_size(picture)
    if isinstance(one, Classification):
        return np.asarray(_with_strip(picture, one, min(top, MOST_BARS)))
    names = [_shown(one.classes, label) for label in one.labels]
    values = [f'{score:.2f}' for score in one.scores]
    draw_boxes(picture, one.boxes, one.labels, names, values, line=max(1, size // 6), font_size=size)
    return np.asarray(picture)


def unwritable_names(classes: tuple[str, ...]) -> list[str]:
    """Return the class names that no installed font can write; in a picture they are ``#3``, by label."""
    return [name for name in classes if not has_letters(name)]


def _shown(classes: tuple[str, ...], label: int) -> str:
    name = classes[label]
    return name if has_letters(name) else f'#{label}'


def _font_size(picture: Image.Image) -> int:
    """Return that of the sheets, smaller on small pictures; from 1000 pixels on it grows with the picture."""
    side = max(picture.size)
    return round(max(9, min(12, side / 16), side / 80))


def _with_strip(picture: Image.Image, one: Classification, rows: int) -> Image.Image:
    """Return the picture with the best classes in a strip: name and score, and a bar below them."""
    factor = max(1, SMALLEST // max(picture.size))
    picture = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
    size = max(12, _font_size(picture))
    labels = np.argsort(-one.scores, kind='stable')[:rows]
    row, margin = round(1.9 * size), size
    height = len(labels) * row + 2 * margin - size // 2
    if picture.width > picture.height:
        strip = max(picture.width, STRIP * size), height
        whole, corner = (strip[0], picture.height + height), (0, picture.height)
    else:
        strip = STRIP * size, max(height, picture.height)
        whole, corner = (picture.width + strip[0], strip[1]), (picture.width, 0)
    canvas = Image.new('RGB', whole, PAPER)
    canvas.paste(picture)
    draw = ImageDraw.Draw(canvas)
    left, width = corner[0] + margin, min(strip[0] - 2 * margin, WIDEST_BARS * size)
    for place, label in enumerate(labels):
        score, y = float(one.scores[label]), corner[1] + margin + place * row
        bold = place == 0
        value = f'{score:.2f}'
        value_width = font_for(value, size, bold).getlength(value)
        name = shortened(_shown(one.classes, label), width - value_width - size, size, bold)
        middle = y + size // 2
        draw.text((left, middle), name, fill=INK, font=font_for(name, size, bold), anchor='lm')
        draw.text((left + width, middle), value, fill=INK, font=font_for(value, size, bold), anchor='rm')
        top, bottom = y + round(1.15 * size), y + round(1.45 * size)
        draw.rectangle((left, top, left + width - 1, bottom), fill=RULE)
        filled = round(min(max(score, 0), 1) * width)
        if filled:
            draw.rectangle((left, top, left + filled - 1, bottom), fill=class_color(int(label)))
    return canvas
