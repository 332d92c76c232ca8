"""Learning curves: one figure with the losses and the metrics of a run."""

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mdvision.evaluation.direction import is_lower_better
from mdvision.evaluation.headlines import HEADLINES

from .lettering import any_letters, plain
from .palette import COLORS, FAINT, INK, OTHERS, PAPER, RULE, VALIDATION

__all__ = ['draw_curves', 'epoch_positions', 'headline_metrics']

BOOKKEEPING = {'step', 'iter', 'epoch', 'time', 'data_time', 'memory', 'lr'}
MAX_PARTS = 8
MAX_METRICS = 4
DASHES = (0, (4, 2))
DPI = 110
FIGURE_INCHES = (1200 / DPI, 500 / DPI)

PathLike = str | Path


def epoch_positions(train_rows: Sequence[dict]) -> list[float]:
    """Return the position of each training line: in epochs if the lines have them, otherwise in iterations.

    The log does not contain the number of iterations per epoch. Every line bounds it from below (epoch e ends
    at iteration e times that number or later), and the best bound is used. A position never leaves its own
    epoch, even if a resumed run has shorter epochs because of a larger batch.
    """
    if not all('epoch' in row for row in train_rows):
        return [float(row['iter']) for row in train_rows]
    per_epoch = max((math.ceil(row['iter'] / row['epoch']) for row in train_rows), default=1)
    per_epoch = max(per_epoch, 1)
    return [max(row['iter'] / per_epoch, row['epoch'] - 1) for row in train_rows]


def headline_metrics(val_rows: Sequence[dict]) -> list[str]:
    """Return the metrics to draw: the known headline metrics that exist, otherwise the first four numbers."""
    keys = list(dict.fromkeys(key for row in val_rows for key in row if _is_number(row[key])))
    keys = [key for key in keys if key not in BOOKKEEPING and 'loss' not in key]
    if 'coco/mAP' in keys and 'coco/bbox_mAP' in keys:  # the same number twice
        keys.remove('coco/mAP')
    return ([key for key in HEADLINES if key in keys] or keys)[:MAX_METRICS]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _series(rows: Sequence[dict], positions: Sequence[float], key: str) -> tuple[list[float], list[float]]:
    """Return positions and values of one key where it has a finite number."""
    points = [
        (x, float(row[key]))
        for row, x in zip(rows, positions, strict=True)
        if _is_number(row.get(key)) and math.isfinite(row[key])
    ]
    return [x for x, _ in points], [y for _, y in points]


def _draw_losses(
    axes: Axes, train_rows: list[dict], val_rows: list[dict], val_positions: list[float], unit: str
) -> None:
    positions = epoch_positions(train_rows)
    total = _series(train_rows, positions, 'loss')
    if total[0]:
        _plot(axes, total, color=INK, linewidth=2.4, label='loss')
    names = dict.fromkeys(key for row in train_rows for key in row if 'loss' in key and key != 'loss')
    parts = {key: _series(train_rows, positions, key) for key in names}
    parts = {key: series for key, series in parts.items() if series[0]}
    # Each of the largest parts gets a color: more lines than that cannot be told apart.
    largest = sorted(parts, key=lambda key: -sum(parts[key][1]) / len(parts[key][1]))[:MAX_PARTS]
    colored = [key for key in parts if key in largest]
    colors = dict(zip(colored, COLORS, strict=False))
    for key in colored:
        _plot(axes, parts[key], color=colors[key], linewidth=1.1, label=plain(key))
    rest = [key for key in parts if key not in colored]
    for index, key in enumerate(rest):
        label = f'{len(rest)} smaller parts' if index == 0 else None
        _plot(axes, parts[key], color=OTHERS, linewidth=0.8, label=label)

    val_losses = list(
        dict.fromkeys(k for row in val_rows for k in row if k.startswith('val') and 'loss' in k)
    )
    # The same color as its training counterpart: val/loss_cls goes with loss_cls and needs no name.
    known = [key for key in val_losses if key.removeprefix('val/') in colors]
    for key in known:
        series = _series(val_rows, val_positions, key)
        _plot(axes, series, color=colors[key.removeprefix('val/')], linewidth=1.6, label=None, dashed=True)
    if known:
        axes.plot([], [], color=FAINT, linewidth=1.6, linestyle=DASHES, label='dashed: validation')
    # Those of the small gray parts are left out: what remains has no counterpart, or is the total.
    others = [key for key in val_losses if key.removeprefix('val/') not in parts]
    for index, key in enumerate(others[:MAX_PARTS]):
        series = _series(val_rows, val_positions, key)
        if key == 'val/loss':
            _draw_validation_loss(axes, *series, unit, alone=not parts)
        else:
            _plot(axes, series, color=COLORS[index], linewidth=1.6, label=plain(key), dashed=True)

    values = [value for line in axes.get_lines() for value in line.get_ydata()]
    axes.set_ylabel('loss')
    if values:
        axes.set_ylim(min(0.0, *values), max(max(values) * 1.05, 1e-6))
    else:
        _say(axes, 'no training losses in the log')


def _draw_validation_loss(axes: Axes, xs: list[float], ys: list[float], unit: str, alone: bool) -> None:
    """Draw the validation loss and its lowest point, after which a run overfits."""
    if not xs:
        return
    # If the total has no parts, no other line has this color.
    color = VALIDATION if alone else INK
    best = min(range(len(ys)), key=ys.__getitem__)
    label = f'val/loss: lowest {ys[best]:.3f} ({unit} {xs[best]:g}), last {ys[-1]:.3f}'
    axes.plot(xs, ys, color=color, linewidth=1.8, linestyle=DASHES, marker='o', ms=3.5, label=label)
    axes.plot(xs[best], ys[best], color=color, marker='*', ms=13, mec=PAPER, mew=0.9, zorder=5)


def _plot(
    axes: Axes, series: tuple[list, list], color: str, linewidth: float, label: str | None, dashed=False
) -> None:
    # A line through a single point is invisible.
    marker = 'o' if len(series[0]) == 1 else None
    style = DASHES if dashed else '-'
    axes.plot(*series, color=color, linewidth=linewidth, linestyle=style, marker=marker, ms=5, label=label)


def _draw_metrics(axes: Axes, val_rows: list[dict], positions: list[float], unit: str) -> None:
    endings, highest = [], 0.0
    for key, color in zip(headline_metrics(val_rows), COLORS, strict=False):
        xs, ys = _series(val_rows, positions, key)
        if not xs:
            axes.plot([], [], color=color, label=f'{plain(key)}: no finite value')
            continue
        best = (min if is_lower_better(key) else max)(range(len(ys)), key=ys.__getitem__)
        digits = 1 if max(ys) > 1 else 3
        label = f'{plain(key)}: best {ys[best]:.{digits}f} ({unit} {xs[best]:g}), last {ys[-1]:.{digits}f}'
        axes.plot(xs, ys, color=color, linewidth=2, marker='o', ms=3.5, label=label, clip_on=False)
        axes.plot(
            xs[best], ys[best], color=color, marker='*', ms=13, mec=PAPER, mew=0.9, clip_on=False, zorder=5
        )
        endings.append((ys[-1], f'{ys[-1]:.{digits}f}', color))
        highest = max(highest, *ys)
    keys = headline_metrics(val_rows)
    axes.set_ylabel('accuracy (%)' if keys and all(k.startswith('accuracy/') for k in keys) else 'metric')
    axes.set_ylim(0, 1 if highest <= 1 else max(100, highest))
    if not axes.get_lines():
        _say(axes, 'no validation results in the log')
    _label_endings(axes, endings)


def _label_endings(axes: Axes, endings: list[tuple[float, str, str]]) -> None:
    """Print the last values beside the right edge, moved apart so that close ones stay readable."""
    step = 0.05 * axes.get_ylim()[1]
    previous = -math.inf
    for value, text, color in sorted(endings):
        previous = max(value, previous + step)
        axes.annotate(
            text,
            (1.015, previous),
            xycoords=('axes fraction', 'data'),
            color=color,
            fontsize=9,
            fontweight='bold',
            va='center',
            annotation_clip=False,
        )


def _say(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha='center', va='center', color=FAINT, fontsize=11)


def _finish(axes: Axes, x_label: str, last_x: float, legend_columns: int) -> None:
    axes.set_xlabel(x_label)
    axes.set_xlim(0, last_x * 1.02)
    if last_x >= 3:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(True, color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ('top', 'right'):
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=9.5)
    if axes.get_legend_handles_labels()[1]:
        # Above the axes and not inside: no place inside is free in every run.
        axes.legend(
            loc='lower left',
            bbox_to_anchor=(-0.02, 1.0),
            ncols=legend_columns,
            frameon=False,
            fontsize=8.5,
            handlelength=1.6,
            columnspacing=1.2,
            labelspacing=0.3,
        )


@any_letters()
def draw_curves(train_rows: Sequence[dict], val_rows: Sequence[dict], out_png: PathLike) -> Path:
    """Draw losses (left) and headline metrics (right) over the run, 1200x500 pixels.

    The total loss is thick, its parts are thin; validation losses are dashed, in the colors of the training
    losses. Metrics range from 0 to 1, or to 100 if any is above 1; a star marks the best validation of each,
    and the lowest ``val/loss``. Non-finite values are left out. Nothing is smoothed beyond what mmengine did
    when it wrote the log.

    Args:
        train_rows: as returned by :func:`mdvision.work_dir.scalars.read_scalars`: losses by name, ``iter``
            and, in epoch-based runs, ``epoch``.
        val_rows: metrics by name, and ``step``.
        out_png: the figure; its folder is created if needed.

    Returns:
        the path of the figure.
    """
    by_epoch = all('epoch' in row for row in train_rows)
    unit = 'epoch' if by_epoch else 'iteration'
    val_rows = [row for row in val_rows if _is_number(row.get('step'))]
    val_positions = [float(row['step']) for row in val_rows]
    last_x = max([*epoch_positions(train_rows), *val_positions], default=1.0) or 1.0

    figure = Figure(figsize=FIGURE_INCHES, dpi=DPI, facecolor=PAPER, layout='constrained')
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    _draw_losses(left, train_rows, val_rows, val_positions, unit)
    labels = left.get_legend_handles_labels()[1]
    # A column is as wide as its longest name, and a legend wider than its axes shrinks them.
    _finish(left, unit, last_x, legend_columns=2 if max(map(len, labels), default=0) > 30 else 4)
    _draw_metrics(right, val_rows, val_positions, unit)
    _finish(right, unit, last_x, legend_columns=1)
    out_png = Path(out_png)
    out_png.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out_png, dpi=DPI)
    return out_png
