"""The figure of a comparison: the values of each variant, and its differences to the first."""

import re
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mdvision.visualization.palette import BETTER, COLORS, FAINT, INK, PAPER, RULE, UNDECIDED, WORSE

from .statistics import INTERVAL, SAME
from .table import Comparison, Row

__all__ = ['draw_comparison']

DPI = 150
# Verdicts differ in color and in shape.
VERDICTS = {'better': (BETTER, '^'), 'worse': (WORSE, 'v'), SAME: (UNDECIDED, 'o')}


def draw_comparison(comparison: Comparison, out_png: Path) -> Path:
    """Draw one line per variant: seeds, mean and interval on the left, differences on the right.

    A small point is a seed; the first seed is the top one in every line.
    """
    rows = comparison.rows
    names = [_wrapped(row.name) for row in rows]
    lines = sum(max(2, name.count('\n') + 1) for name in names)
    figure = Figure(figsize=(10, 1.9 + 0.27 * lines), dpi=DPI, layout='constrained')
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1.25, 1])
    for index, row in enumerate(rows):
        _draw_values(left, index, row)
        _draw_difference(right, index, row, comparison)
    unit = 'lower' if comparison.lower_is_better else 'higher'
    left.set_xlabel(f'{_plain(comparison.metric)} ({unit} is better)')
    right.set_xlabel('difference to the first, paired by seed')
    left.set_yticks(range(len(rows)), names)
    left.set_ylim(len(rows) - 0.5, -0.5)
    right.axvline(0, color=FAINT, linewidth=1, zorder=1)
    low, high = right.get_xlim()
    reach = max(abs(low), abs(high), 1e-9)
    right.set_xlim(-1.3 * reach, 1.3 * reach)  # room for the words above the markers
    for index, row in enumerate(rows):
        _label_difference(right, index, row, comparison, 0.6 * right.get_xlim()[1])
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.grid(True, axis='x', color=RULE, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(axis='y', length=0)
        for side in ('top', 'right', 'left'):
            axes.spines[side].set_visible(False)
        for boundary in range(1, len(rows)):
            axes.axhline(boundary - 0.5, color=RULE, linewidth=0.8, zorder=0)
    _explain(figure, comparison)
    figure.savefig(out_png, metadata={'Software': None})
    return Path(out_png)


def _wrapped(name: str, width: int = 28) -> str:
    """Wrap a name, preferably after a space, a comma, an underscore or a bracket."""
    lines = ['']
    for part in re.findall(rf'[^\s,_/(]{{1,{width}}}[\s,_/(]*|[\s,_/(]+', name):
        if len(lines[-1]) + len(part.rstrip()) > width and lines[-1]:
            lines.append('')
        lines[-1] += part
    return '\n'.join(_plain(line.strip()) for line in lines)


def _plain(text: str) -> str:
    """Escape text that matplotlib would take for a formula."""
    return text.replace('$', r'\$')


def _spread(count: int, width: float) -> np.ndarray:
    """Return offsets that separate equal points."""
    return np.linspace(-width, width, count) if count > 1 else np.zeros(1)


def _draw_values(axes: Axes, index: int, row: Row) -> None:
    color = INK if index == 0 else COLORS[0]
    offsets = 0.24 + _spread(len(row.values), 0.1)
    axes.scatter(row.values, index + offsets, s=22, color=color, alpha=0.55, linewidths=0, zorder=3)
    _draw_mean(axes, index - 0.08, row.summary.mean, row.summary.interval, color, 'D')


def _draw_difference(axes: Axes, index: int, row: Row, comparison: Comparison) -> None:
    if row.difference is None:
        axes.annotate('reference', (0, index), xytext=(6, 0), textcoords='offset points', va='center',
                      color=FAINT, fontsize=9)  # fmt: skip
        return
    color, marker = VERDICTS[row.difference.verdict]
    pairs = np.subtract(row.values, comparison.rows[0].values)
    offsets = 0.24 + _spread(len(pairs), 0.1)
    axes.scatter(pairs, index + offsets, s=22, color=color, alpha=0.55, linewidths=0, zorder=3)
    _draw_mean(axes, index - 0.08, row.difference.mean, row.difference.interval, color, marker)


def _label_difference(axes: Axes, index: int, row: Row, comparison: Comparison, reach: float) -> None:
    if row.difference is None:
        return
    text = f'{comparison.number(row.difference.mean, sign=True)}  {row.difference.verdict}'
    position = (max(-reach, min(reach, row.difference.mean)), index - 0.08)
    behind = dict(boxstyle='square,pad=0.15', facecolor=PAPER, edgecolor='none')
    axes.annotate(text, position, xytext=(0, 8), textcoords='offset points', ha='center', va='bottom',
                  color=VERDICTS[row.difference.verdict][0], fontsize=8.5, zorder=4, bbox=behind)  # fmt: skip


def _draw_mean(axes: Axes, y: float, mean: float, interval: tuple | None, color: str, marker: str) -> None:
    if interval is not None:
        axes.plot(interval, (y, y), color=color, linewidth=2, solid_capstyle='butt', zorder=2)
        axes.plot(interval, (y, y), color=color, marker='|', ms=9, mew=1.6, linestyle='none', zorder=2)
    axes.plot(mean, y, color=color, marker=marker, ms=8, mec=PAPER, mew=0.9, zorder=5)


def _explain(figure: Figure, comparison: Comparison) -> None:
    count = len(comparison.seeds)
    text = f'large: mean of {count} seeds with its {INTERVAL}; small: each seed'
    if count == 1:
        text = 'one seed: no interval'
    figure.suptitle(text, fontsize=9, color=FAINT, x=0.995, ha='right')
