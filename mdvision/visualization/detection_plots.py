"""Figures of a detector's mistakes: the confusion matrix, and precision against recall.

Each comes with a CSV of its numbers. C classes; names longer than 22 letters are shortened in the figures.
"""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mdvision.errors import UserError
from mdvision.evaluation.voc_ap import PrecisionRecallCurve, VocResult

from .lettering import any_letters, plain
from .palette import (
    BEST_COLORS,
    COLORS,
    FAINT,
    INK,
    OTHERS,
    PALE,
    PAPER,
    RULE,
    SHARES,
    WORST_COLORS,
)

__all__ = ['draw_confusion_matrix', 'draw_pr_curves', 'write_confusion_matrix', 'write_pr_curves']

DPI = 110
PR_INCHES = 5.0  # side length of the square of the curves
MAX_NAME = 22
# Up to this many rows of a confusion matrix: cell size in inches, font size in points.
CELLS = ((4, 0.95, 10), (11, 0.66, 9.5), (21, 0.42, 8.5), (31, 0.36, 7.5), (math.inf, 0.15, 6.5))
WITH_SHARES, WITH_COUNTS = 11, 31  # number of rows up to which the cells contain these
MAX_SIDE = 24  # inches

PathLike = str | Path


@any_letters()
def draw_confusion_matrix(counts: np.ndarray, classes: Sequence[str], out_png: PathLike, note: str) -> Path:
    """Draw the objects of each class (rows) by the class as which they were detected (columns).

    The color is the fraction of the row. Up to 10 classes have counts and fractions in the cells, up to 30
    only counts. Each class is labeled with the sum of its row: its objects.

    Args:
        counts: (C + 1, C + 1) from :func:`mdvision.evaluation.confusion.confusion_matrix`: the last row is
            background, the last column the missed objects.
        classes: C names.
        out_png: the figure; its folder is created if needed.
        note: how the detections were counted, for the line below the title.

    Returns:
        the path of the figure.

    Raises:
        UserError: the counts are not (C + 1, C + 1).
    """
    counts = _checked(counts, classes)
    size = len(counts)
    cell, font = next((cell, font) for limit, cell, font in CELLS if size <= limit)
    cell = min(cell, MAX_SIDE / size)
    side = size * cell
    figure, axes = _square(side)
    totals = counts.sum(axis=1)
    shares = counts / np.maximum(totals, 1)[:, None]
    # A fraction of 4 % gets a fifth of the full color: confusions are rare, and should still be visible.
    image = axes.imshow(shares, norm=PowerNorm(0.5, vmin=0, vmax=1), cmap=SHARES, interpolation='nearest')
    _label_classes(axes, [_shortened(name) for name in classes], totals, font, cell)
    _rule(axes, size)
    if size <= WITH_COUNTS:
        _write_counts(axes, counts, shares, font, with_shares=size <= WITH_SHARES)

    bar = figure.colorbar(image, cax=axes.inset_axes((1 + 0.2 / side, 0, 0.18 / side, 1)))
    bar.set_ticks([0, 0.05, 0.2, 0.5, 1], labels=['0', '5 %', '20 %', '50 %', '100 %'], fontsize=8.5)
    bar.set_label('share of the row', color=FAINT, fontsize=8.5)
    bar.outline.set_visible(False)
    found, objects = int(counts[:-1, :-1].sum()), int(totals[:-1].sum())
    summary = (
        f'{found} of {objects} objects detected, {found - int(np.trace(counts))} of them as another class; '
        f'{totals[-1]} detections on background'
    )
    _title(axes, 'Confusion matrix', f'{note}\n{summary}')
    return _save(figure, out_png)


def _label_classes(axes: Axes, names: list[str], totals: np.ndarray, font: float, cell: float) -> None:
    rows = [f'{name} ({total})' for name, total in zip([*names, 'background'], totals, strict=True)]
    columns = [*names, 'missed']
    # If the cells are lower than a line of text, only every second or third class is named.
    step = math.ceil(font * 1.3 / (72 * cell))
    shown = range(0, len(rows), step)
    axes.set_yticks(shown, rows[::step], fontsize=font)
    if len(rows) > WITH_COUNTS:
        turned = dict(rotation=90)
    elif max(map(len, columns)) * font * 0.62 > cell * 72:  # wider than a cell
        turned = dict(rotation=40, ha='right', rotation_mode='anchor')
    else:
        turned = {}
    axes.set_xticks(shown, columns[::step], fontsize=font, **turned)
    axes.set_ylabel('true class (row sum)', color=FAINT)
    axes.set_xlabel('predicted class', color=FAINT)
    axes.tick_params(length=0, pad=4)


def _rule(axes: Axes, size: int) -> None:
    """Draw lines between the cells; background and missed are not classes, and are set apart."""
    for spine in axes.spines.values():
        spine.set_visible(False)
    edges = np.arange(size + 1) - 0.5 if size <= 150 else []
    for draw in (axes.axhline, axes.axvline):
        for edge in edges:
            draw(edge, color=RULE, lw=0.5)
        draw(size - 1.5, color=PALE, lw=1.2)


def _write_counts(axes: Axes, counts: np.ndarray, shares: np.ndarray, font: float, with_shares: bool) -> None:
    corner = (len(counts) - 1, len(counts) - 1)
    for (row, column), count in np.ndenumerate(counts):
        if not count or (row, column) == corner:
            continue
        text = str(count) if count < 10_000 else f'{count / 1000:.0f}k'
        if with_shares:
            text += f'\n{100 * shares[row, column]:.0f} %'
        color = PAPER if shares[row, column] > 0.3 else INK
        axes.text(column, row, text, ha='center', va='center', fontsize=font - 1, color=color)


@any_letters()
def draw_pr_curves(voc: VocResult, classes: Sequence[str], out_png: PathLike, note: str) -> Path:
    """Draw precision against recall per class; the area below a line is its VOC AP.

    The lines are the envelopes whose area is this AP, with steps down to the recall that is reached. A dot
    marks the highest F1, and the legend gives its score threshold. The dashed line pools the detections of
    all classes: its dot is the best single threshold. From 11 classes on, only the best and worst three have
    a color, and the mean over the classes is drawn, whose area is the mAP.

    Args:
        voc: results of C classes.
        classes: C names.
        out_png: the figure; its folder is created if needed.
        note: what was evaluated, for the line below the title.

    Returns:
        the path of the figure.

    Raises:
        UserError: the numbers of names and results differ.
    """
    _check_names(voc, classes)
    figure, axes = _square(PR_INCHES)
    _draw_f1_lines(axes)

    handles = _draw_all_classes(axes, voc, classes) if len(classes) <= 10 else _draw_few(axes, voc, classes)
    if len(classes) > 1 and voc.num_objects.any():
        style = dict(color=INK, linewidth=1.6, linestyle=(0, (4, 2)))
        handles.append(_draw_curve(axes, voc.pooled, style, 'all classes together'))
    if not len(voc.pooled.scores):
        text = 'no object was found' if voc.num_objects.any() else 'no objects to find'
        axes.text(0.5, 0.5, text, ha='center', va='center', color=FAINT, fontsize=12)

    axes.set(xlim=(0, 1.005), ylim=(0, 1.01), xlabel='recall', ylabel='precision')
    for side in ('top', 'right'):
        axes.spines[side].set_visible(False)
    axes.legend(
        handles=handles, loc='upper left', bbox_to_anchor=(1.11, 1.0), frameon=False, fontsize=9,
        handlelength=1.8, labelspacing=0.75, borderaxespad=0,
    )  # fmt: skip
    mean = 'not defined' if math.isnan(voc.mean_area) else f'{voc.mean_area:.3f}'
    _title(axes, f'Precision and recall: mAP50 {mean}', f'{note}; dots: the best F1 and its score threshold')
    return _save(figure, out_png)


def _draw_f1_lines(axes: Axes) -> None:
    """Draw the points of equal F1 f: precision = f r / (2 r - f)."""
    for f1 in (0.2, 0.4, 0.6, 0.8):
        recall = np.linspace(f1 / (2 - f1), 1, 200)
        axes.plot(recall, f1 * recall / (2 * recall - f1), color=RULE, linewidth=0.9, zorder=0)
        axes.text(1.015, f1 / (2 - f1), f'F1 {f1:g}', color=PALE, fontsize=8, va='center')


def _draw_all_classes(axes: Axes, voc: VocResult, classes: Sequence[str]) -> list[Line2D]:
    handles = []
    for index, name in enumerate(classes):
        style = dict(color=COLORS[index], linewidth=1.8)
        handles.append(_draw_class(axes, voc, index, name, style))
    return handles


def _draw_few(axes: Axes, voc: VocResult, classes: Sequence[str]) -> list[Line2D]:
    """Draw the best and the worst three in color, the others faint, and the mean."""
    defined = [index for index in range(len(classes)) if voc.num_objects[index]]
    ranked = sorted(defined, key=lambda index: -voc.ap_area[index])
    # The same class must not appear in both groups.
    each = min(3, len(ranked) // 2)
    best, worst = ranked[:each], ranked[len(ranked) - each :]
    others = ranked[each : len(ranked) - each]
    for index in others:
        x, y = _steps(voc.curves[index])
        axes.plot(x[:-1], y[:-1], color=OTHERS, linewidth=0.7, zorder=1)
    handles = []
    for chosen, colors in ((best, BEST_COLORS), (worst, WORST_COLORS)):
        for index, color in zip(chosen, colors, strict=False):
            style = dict(color=color, linewidth=1.6)
            handles.append(_draw_class(axes, voc, index, classes[index], style))
    if others:
        noun = 'other class' if len(others) == 1 else 'other classes'
        handles.append(Line2D([], [], color=OTHERS, linewidth=0.9, label=f'{len(others)} {noun}'))
    if len(defined) < len(classes):
        absent = len(classes) - len(defined)
        handles.append(Line2D([], [], linewidth=0, label=f'{absent} without objects'))
    if defined:
        grid = np.linspace(0, 1, 1001)
        mean = np.mean([_envelope_at(voc.curves[index], grid) for index in defined], axis=0)
        label = f'mean of {len(defined)} classes\nmAP50 {voc.mean_area:.3f}'
        handles += axes.plot(grid, mean, color=INK, linewidth=2.4, label=label, zorder=4)
    return handles


def _draw_class(axes: Axes, voc: VocResult, index: int, name: str, style: dict) -> Line2D:
    label = f'{_shortened(name)}  AP {voc.ap_area[index]:.3f}'
    if not voc.num_objects[index]:
        return Line2D([], [], **style, label=f'{_shortened(name)}  no objects')
    return _draw_curve(axes, voc.curves[index], style, label)


def _draw_curve(axes: Axes, curve: PrecisionRecallCurve, style: dict, label: str) -> Line2D:
    """Draw the line with its best point; return what the legend shows."""
    if curve.best is not None:
        best = curve.best
        axes.plot(*_steps(curve), **style, zorder=3)
        axes.plot(
            curve.recall[best], curve.precision[best], 'o', ms=7, color=style['color'],
            mec=PAPER, mew=1.0, zorder=5, clip_on=False,
        )  # fmt: skip
        label += f'\nbest F1 {curve.f1[best]:.3f} at score ≥ {_threshold(curve.scores[best])}'
    return Line2D([], [], **style, label=label)


def _threshold(score: float) -> str:
    """Format with three digits, rounded down: rounded up, it would exclude the detection it stands for."""
    return f'{math.floor(score * 1000) / 1000:.3f}'


def _envelope(curve: PrecisionRecallCurve) -> np.ndarray:
    """Return (K,) the highest precision at the recall of each point or a larger one."""
    return np.maximum.accumulate(curve.precision[::-1])[::-1]


def _envelope_at(curve: PrecisionRecallCurve, recall: np.ndarray) -> np.ndarray:
    """Return the envelope at any recall; 0 if that recall is not reached."""
    return np.append(_envelope(curve), 0.0)[np.searchsorted(curve.recall, recall, side='left')]


def _steps(curve: PrecisionRecallCurve) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners of the envelope, from recall 0 to the largest one and down to precision 0."""
    ends, heights = curve.recall, _envelope(curve)
    x = np.concatenate([[0.0], np.repeat(ends, 2)])
    y = np.concatenate([np.repeat(heights, 2), [0.0]])
    return x, y


def write_confusion_matrix(counts: np.ndarray, classes: Sequence[str], out_csv: PathLike) -> Path:
    """Write the counts: rows are true classes and ``background``, columns predictions and ``missed``.

    Arguments, result and errors as for :func:`draw_confusion_matrix`.
    """
    counts = _checked(counts, classes)
    rows = [['true', *classes, 'missed']]
    rows += [[name, *row.tolist()] for name, row in zip([*classes, 'background'], counts, strict=True)]
    return _write_rows(rows, out_csv)


def write_pr_curves(voc: VocResult, classes: Sequence[str], out_csv: PathLike) -> Path:
    """Write ``class, score, precision, recall, f1``: the result of each score threshold for each class.

    The rows of a class are the points of its :class:`~mdvision.evaluation.voc_ap.PrecisionRecallCurve`, from
    the highest score down. The last rows, for ``all classes``, are for one common threshold.

    Arguments, result and errors as for :func:`draw_pr_curves`.
    """
    _check_names(voc, classes)
    rows: list[list] = [['class', 'score', 'precision', 'recall', 'f1']]
    for name, curve in zip([*classes, 'all classes'], [*voc.curves, voc.pooled], strict=True):
        points = zip(curve.scores.tolist(), curve.precision, curve.recall, curve.f1, strict=True)
        # The full score, so that a threshold from the file keeps the detection.
        rows += [[name, score, *(f'{value:.6f}' for value in values)] for score, *values in points]
    return _write_rows(rows, out_csv)


def _write_rows(rows: list[list], path: PathLike) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('w', newline='', encoding='utf-8') as file:
        csv.writer(file, lineterminator='\n').writerows(rows)
    return path


def _checked(counts: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    counts = np.asarray(counts)
    expected = (len(classes) + 1, len(classes) + 1)
    if counts.shape != expected:
        raise UserError(
            f'Confusion matrix: expected {expected} counts for {len(classes)} classes, background and '
            f'missed, got {counts.shape}. Pass the class names of the same data set.'
        )
    return counts


def _check_names(voc: VocResult, classes: Sequence[str]) -> None:
    if len(voc.curves) != len(classes):
        raise UserError(
            f'Precision-recall curves: expected {len(voc.curves)} class names, got {len(classes)}. Pass '
            'those of the evaluated data set.'
        )


def _shortened(name: str) -> str:
    return plain(name if len(name) <= MAX_NAME else name[: MAX_NAME - 1] + '…')


def _square(side: float) -> tuple[Figure, Axes]:
    """Create axes of an exact size in inches; saving crops the page to what is drawn around them."""
    figure = Figure(figsize=(side + 2, side + 2), dpi=DPI, facecolor=PAPER)
    FigureCanvasAgg(figure)
    share = side / (side + 2)
    return figure, figure.add_axes(((1 - share) / 2, (1 - share) / 2, share, share))


def _title(axes: Axes, title: str, note: str) -> None:
    axes.set_title(note, loc='left', fontsize=8.5, color=FAINT, linespacing=1.4)
    above = 10 + 13 * len(note.splitlines())  # points
    axes.annotate(
        title, (0, 1), (0, above), xycoords='axes fraction', textcoords='offset points',
        fontsize=12, fontweight='bold', color=INK,
    )  # fmt: skip


def _save(figure: Figure, path: PathLike) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI, bbox_inches='tight', pad_inches=0.2)
    return path
