"""One figure of many detections: ground truth and prediction side by side, for visual inspection.

Each image is scaled to the width of a panel before anything is drawn, so that lines and text have the same
size on a 160x120 image as on a 4000x3000 one.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from mdvision.errors import UserError

from .boxes import class_color, draw_boxes, shortened
from .lettering import font_for
from .palette import BLACK, FAINT, INK, PAPER

__all__ = ['draw_prediction_sheet', 'panel_size']

PANEL_WIDTH = 340  # pixels; a panel is never higher than wide
GAP = 8  # between the panels of a sample
MARGIN = 22  # around the sheet and between samples
CAPTION = 22  # a line of text above a panel


def panel_size(height: int, width: int) -> tuple[int, int]:
    """Return the (height, width) in pixels at which an image is drawn: as large as a square panel allows."""
    scale = PANEL_WIDTH / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _draw_panel(
    image: np.ndarray, boxes: np.ndarray, labels: Sequence[int], names: list, values: list, dashed: Sequence
) -> Image:
    """Draw an image at panel size with its boxes."""
    height, width = panel_size(*image.shape[:2])
    enlarged = height > image.shape[0]
    picture = cv2.resize(
        image, (width, height), interpolation=cv2.INTER_CUBIC if enlarged else cv2.INTER_AREA
    )
    panel = Image.fromarray(picture)
    scale = np.array([width / image.shape[1], height / image.shape[0]] * 2)
    draw_boxes(panel, boxes * scale, labels, names, values, dashed)
    return panel


def _checked(sample: Mapping, number: int, num_classes: int) -> dict:
    """Return the arrays of a sample after checking what would otherwise draw nonsense."""
    image = np.asarray(sample['image'])
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise UserError(
            f'Sample {number}: expected an RGB image (H, W, 3) of uint8, got {image.shape} of {image.dtype}.'
        )
    checked = {'image': np.ascontiguousarray(image), 'title': sample.get('title', '')}
    for kind in ('gt', 'pred'):
        boxes = np.asarray(sample[f'{kind}_boxes'], dtype=float).reshape(-1, 4)
        labels = np.asarray(sample[f'{kind}_labels']).astype(int).reshape(-1)
        if len(boxes) != len(labels):
            raise UserError(f'Sample {number}: {len(boxes)} {kind}_boxes, but {len(labels)} {kind}_labels.')
        if labels.size and not 0 <= labels.min() <= labels.max() < num_classes:
            raise UserError(
                f'Sample {number}: {kind}_labels from {labels.min()} to {labels.max()}, but there are '
                f'{num_classes} classes, labeled 0 to {num_classes - 1}.'
            )
        checked[f'{kind}_boxes'], checked[f'{kind}_labels'] = boxes, labels
    difficult = sample.get('gt_difficult')
    difficult = np.zeros(len(checked['gt_boxes'])) if difficult is None else difficult
    checked['gt_difficult'] = np.asarray(difficult, dtype=bool)
    checked['pred_scores'] = np.asarray(sample['pred_scores'], dtype=float).reshape(-1)
    for key, of in (('gt_difficult', 'gt_boxes'), ('pred_scores', 'pred_boxes')):
        if len(checked[key]) != len(checked[of]):
            raise UserError(f'Sample {number}: {len(checked[of])} {of}, but {len(checked[key])} {key}.')
    return checked


def _above(sample: dict, score_thr: float) -> dict:
    """Return the sample with only the predictions of at least ``score_thr``, best first."""
    order = np.argsort(-sample['pred_scores'], kind='stable')
    order = order[sample['pred_scores'][order] >= score_thr]
    return {**sample, **{key: sample[key][order] for key in ('pred_boxes', 'pred_labels', 'pred_scores')}}


def _draw_legend(present: list[int], classes: Sequence[str], note: str, width: int) -> Image:
    """Draw the classes with their colors, in as many lines as they need, and a note in gray."""
    font, line_height = font_for('', 13), 24
    positions, x, y = [], 0, 0
    for label in present:
        needed = 22 + int(font_for(classes[label], 13).getlength(classes[label])) + 20
        if x and x + needed > width:
            x, y = 0, y + line_height
        positions.append((x, y))
        x += needed
    note_x = x
    if x and x + font.getlength(note) > width:
        note_x, y = 0, y + line_height
    legend = Image.new('RGB', (width, y + line_height), PAPER)
    draw = ImageDraw.Draw(legend)
    for label, (left, top) in zip(present, positions, strict=True):
        draw.rectangle((left, top + 5, left + 15, top + 19), fill=class_color(label), outline=BLACK)
        name = classes[label]
        draw.text((left + 22, top + 12), name, fill=INK, font=font_for(name, 13), anchor='lm')
    draw.text((note_x, y + 12), note, fill=FAINT, font=font, anchor='lm')
    return legend


def _draw_pair(sample: dict, classes: Sequence[str]) -> Image:
    """Draw a title, and below it both panels of one sample under their captions."""
    truth = _draw_panel(
        sample['image'],
        sample['gt_boxes'],
        sample['gt_labels'],
        [classes[label] for label in sample['gt_labels']],
        [],
        sample['gt_difficult'],
    )
    prediction = _draw_panel(
        sample['image'],
        sample['pred_boxes'],
        sample['pred_labels'],
        [classes[label] for label in sample['pred_labels']],
        [f'{score:.2f}' for score in sample['pred_scores']],
        [],
    )
    pair = Image.new('RGB', (2 * PANEL_WIDTH + GAP, 2 * CAPTION + truth.height), PAPER)
    draw = ImageDraw.Draw(pair)
    draw.text(
        (0, CAPTION / 2),
        shortened(sample['title'], pair.width, 13, bold=True),
        fill=INK,
        font=font_for(sample['title'], 13, bold=True),
        anchor='lm',
    )
    captions = ('ground truth', sample['gt_labels'], truth), ('prediction', sample['pred_labels'], prediction)
    for column, (name, labels, panel) in enumerate(captions):
        left = column * (PANEL_WIDTH + GAP)
        draw.text(
            (left, 1.5 * CAPTION), f'{name}: {len(labels)}', fill=FAINT, font=font_for(name, 12), anchor='lm'
        )
        pair.paste(panel, (left + (PANEL_WIDTH - panel.width) // 2, 2 * CAPTION))
    return pair


def draw_prediction_sheet(
    samples: Sequence[Mapping],
    classes: Sequence[str],
    out_png: str | Path,
    score_thr: float = 0.3,
    columns: int = 2,
) -> Path:
    """Draw the samples, each as ground truth beside prediction, with a legend of the classes at the top.

    Difficult objects are dashed. A class has the same color in both panels and on every sheet.

    Args:
        samples: one mapping per image: ``image`` (H, W, 3) uint8 RGB; ``gt_boxes`` (M, 4) and ``gt_labels``
            (M,); optionally ``gt_difficult`` (M,) bool; ``pred_boxes`` (N, 4), ``pred_scores`` (N,) and
            ``pred_labels`` (N,); optionally ``title``. Boxes are ``[x1, y1, x2, y2]`` in pixels of the image.
        classes: the name of each label.
        out_png: the figure; its folder is created if needed.
        score_thr: predictions with a lower score are not drawn, and not counted in the caption.
        columns: samples per row.

    Returns:
        the path of the figure.

    Raises:
        UserError: no samples, an image that is not RGB of uint8, differing numbers of boxes and labels, or a
            label without a class.
    """
    if not samples:
        raise UserError('Expected at least one sample to draw, got none.')
    checked = [_checked(sample, number, len(classes)) for number, sample in enumerate(samples)]
    shown = [_above(sample, score_thr) for sample in checked]
    columns = min(columns, len(shown))
    pairs = [_draw_pair(sample, classes) for sample in shown]
    rows = [pairs[start : start + columns] for start in range(0, len(pairs), columns)]

    present = sorted({int(v) for sample in shown for v in (*sample['gt_labels'], *sample['pred_labels'])})
    note = f'predictions with a score of at least {score_thr:g}'
    if any(sample['gt_difficult'].any() for sample in shown):
        note += '; dashed: difficult'
    inner_width = columns * pairs[0].width + (columns - 1) * MARGIN
    legend = _draw_legend(present, classes, note, inner_width)

    heights = [max(pair.height for pair in row) for row in rows]
    total_height = MARGIN + legend.height + sum(MARGIN + height for height in heights) + MARGIN
    sheet = Image.new('RGB', (inner_width + 2 * MARGIN, total_height), PAPER)
    sheet.paste(legend, (MARGIN, MARGIN))
    top = MARGIN + legend.height + MARGIN
    for row, height in zip(rows, heights, strict=True):
        for column, pair in enumerate(row):
            sheet.paste(pair, (MARGIN + column * (pair.width + MARGIN), top))
        top += height + MARGIN
    out_png = Path(out_png)
    out_png.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(out_png, format='PNG')
    return out_png
