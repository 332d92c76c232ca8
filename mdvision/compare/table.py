"""The tables of a comparison: Markdown, CSV, LaTeX and JSON, with the same rows and the same caption."""

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from mdvision.text import aligned, short_number

from .statistics import INTERVAL, Difference, Summary, interval_method

__all__ = ['Comparison', 'Row', 'as_csv', 'as_json', 'as_latex', 'as_markdown', 'as_text', 'caption']

NOTHING = '-'


@dataclass(frozen=True)
class Row:
    """One variant.

    Attributes:
        values: values of the metric, one per seed.
        difference: difference to the first variant; None for the first itself.
        params: number of stored model parameters.
        macs: multiply-adds for one image; None if they cannot be counted.
        images_per_second: forward and backward; None if not measured.
        memory: bytes; see ``memory_of`` of the comparison.
    """

    name: str
    config: str
    values: tuple[float, ...]
    summary: Summary
    difference: Difference | None
    params: int | None = None
    macs: int | None = None
    images_per_second: float | None = None
    memory: int | None = None


@dataclass(frozen=True)
class Comparison:
    """What is compared, and how the numbers were obtained.

    Attributes:
        select: ``'last'`` or ``'best'``: which validation of a run counts.
        provenance: sentences on hardware, versions and length of the runs.
        memory_of: what the memory column holds.
        speed_of: how the speed was measured, or empty.
        command: the command line that writes these tables again, or empty.
    """

    metric: str
    lower_is_better: bool
    select: str
    seeds: tuple[int, ...]
    rows: tuple[Row, ...]
    provenance: tuple[str, ...] = ()
    memory_of: str = ''
    speed_of: str = ''
    notes: tuple[str, ...] = field(default=())
    command: str = ''

    @property
    def digits(self) -> int:
        """Digits after the decimal point: two for percentages, four for fractions."""
        return 2 if any(abs(value) > 1.5 for row in self.rows for value in row.values) else 4

    def number(self, value: float, sign: bool = False) -> str:
        return f'{value:{"+" * sign}.{self.digits}f}'

    def interval(self, interval: tuple[float, float] | None, sign: bool = False) -> str:
        if interval is None:
            return NOTHING
        return f'[{self.number(interval[0], sign)}, {self.number(interval[1], sign)}]'


def caption(comparison: Comparison) -> list[str]:
    """Return sentences on what the numbers are, without which they mean little."""
    count = len(comparison.seeds)
    direction = 'lower' if comparison.lower_is_better else 'higher'
    which = {
        'last': 'the last validation of each run',
        'best': 'the best validation of each run, which is optimistic: it was selected on the same data',
    }[comparison.select]
    first = comparison.rows[0].name
    lines = [
        f'{comparison.metric} ({direction} is better): mean and standard deviation over {count} '
        f'seed{"s" * (count != 1)} ({", ".join(map(str, comparison.seeds))}), of {which}.',
        f'{INTERVAL}s: {interval_method(count)}.',
        f'Differences are to {first}, paired by seed: a pair shares seed and order of the data. The verdict '
        'is not distinguishable where the interval of the difference contains 0 or does not exist'
        + ('.' if count == 1 else ' (differences without any spread).'),
    ]
    if count > 1 and len(comparison.rows) > 2:
        lines.append(
            f'Each of the {len(comparison.rows) - 1} differences is judged on its own: among many, one in '
            'twenty appears distinguishable by chance alone.'
        )
    if any(row.macs is not None for row in comparison.rows):
        lines.append('Multiply-adds (MACs) are for one image; a multiply-add counts once.')
    lines += [text for text in (comparison.speed_of, comparison.memory_of) if text]
    return [*lines, *comparison.provenance, *comparison.notes]


def _columns(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Return head and cells of the main table as plain text; columns without content are left out."""
    head = ['variant', comparison.metric, INTERVAL, 'difference', f'{INTERVAL} of the difference',
            'verdict', 'parameters', 'multiply-adds', 'images/s', 'memory']  # fmt: skip
    cells = []
    for row in comparison.rows:
        spread = row.summary.deviation
        mean = comparison.number(row.summary.mean)
        difference = row.difference
        cells.append(
            [
                row.name,
                mean if spread is None else f'{mean} ± {comparison.number(spread)}',
                comparison.interval(row.summary.interval),
                comparison.number(difference.mean, sign=True) if difference else NOTHING,
                comparison.interval(difference.interval, sign=True) if difference else NOTHING,
                difference.verdict if difference else 'reference',
                f'{row.params:,}' if row.params is not None else NOTHING,
                short_number(row.macs) if row.macs is not None else NOTHING,
                _speed(row.images_per_second),
                f'{row.memory / 2**20:.1f} MiB' if row.memory is not None else NOTHING,
            ]
        )
    kept = [i for i in range(len(head)) if i < 6 or any(line[i] != NOTHING for line in cells)]
    return [head[i] for i in kept], [[line[i] for i in kept] for line in cells]


def as_text(comparison: Comparison) -> str:
    """Return the main table and its caption for a terminal."""
    head, cells = _columns(comparison)
    return '\n'.join([*aligned([head, *cells]), '', *caption(comparison)])


def _speed(speed: float | None) -> str:
    if speed is None:
        return NOTHING
    return f'{speed:.0f}' if speed >= 100 else f'{speed:.3g}'


def _by_seed(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    head = ['variant', *(f'seed {seed}' for seed in comparison.seeds)]
    return head, [[row.name, *map(comparison.number, row.values)] for row in comparison.rows]


def as_markdown(comparison: Comparison) -> str:
    """Return caption, main table and the values for each seed."""

    def table(head: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
        aligned = ['---', *['---:'] * (len(head) - 1)]
        lines = [map(escape_markdown, line) for line in (head, *cells)]
        rows = ['| ' + ' | '.join(line) + ' |' for line in lines]
        return [rows[0], '|' + '|'.join(aligned) + '|', *rows[1:]]

    return '\n'.join(
        [
            '# Comparison',
            '',
            *map(escape_markdown, caption(comparison)),
            *(['', f'    {comparison.command}'] if comparison.command else []),
            '',
            *table(*_columns(comparison)),
            '',
            '## Values for each seed',
            '',
            *table(*_by_seed(comparison)),
            '',
        ]
    )


def escape_markdown(text: str) -> str:
    """Escape text so that a Markdown table shows it unchanged."""
    text = text.replace('\\', '\\\\').replace('\n', ' ')
    for sign in '|*_`<[]':
        text = text.replace(sign, '\\' + sign)
    return text


def as_latex(comparison: Comparison) -> str:
    """Return a table environment; it needs the package booktabs."""
    head, cells = _columns(comparison)
    lines = [' & '.join(map(escape_latex, line)) + r' \\' for line in (head, *cells)]
    return '\n'.join(
        [
            r'% needs \usepackage{booktabs} and, for wide tables, \usepackage{graphicx}',
            r'\begin{table}',
            r'\centering',
            r'\caption{' + ' '.join(map(escape_latex, caption(comparison))) + '}',
            r'\label{tab:comparison}',
            r'\resizebox{\textwidth}{!}{%',
            r'\begin{tabular}{l' + 'r' * (len(head) - 1) + '}',
            r'\toprule',
            lines[0],
            r'\midrule',
            *lines[1:],
            r'\bottomrule',
            r'\end{tabular}}',
            r'\end{table}',
            '',
        ]
    )


_LATEX = {
    '\\': r'\textbackslash{}',
    **{sign: '\\' + sign for sign in '&%$#_{}'},
    '~': r'\textasciitilde{}',
    '^': r'\textasciicircum{}',
    '±': r'$\pm$',
    '|': r'\textbar{}',
    '<': r'\textless{}',
    '>': r'\textgreater{}',
    # At the start of a row, a bracket would be read as the argument of the preceding line break.
    '[': '{[}',
    ']': '{]}',
    '"': "''",
    '\n': ' ',
}


def escape_latex(text: str) -> str:
    """Escape text so that LaTeX prints it unchanged."""
    escaped = ''.join(_LATEX.get(sign, sign) for sign in text)
    return re.sub(r'(?<![\w.-])-(?=\d)', '$-$', escaped)  # a minus, not a hyphen


def as_csv(comparison: Comparison) -> str:
    """Return one line per variant, in full precision."""
    seeds = [f'seed_{seed}' for seed in comparison.seeds]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator='\n')
    writer.writerow(['variant', 'config', 'metric', 'select', 'seeds', 'mean', 'deviation', 'low', 'high',
                     'difference', 'difference_low', 'difference_high', 'verdict', 'parameters', 'macs',
                     'images_per_second', 'memory_bytes', *seeds])  # fmt: skip
    for row in comparison.rows:
        difference = row.difference
        writer.writerow(
            [
                row.name,
                row.config,
                comparison.metric,
                comparison.select,
                len(comparison.seeds),
                row.summary.mean,
                row.summary.deviation,
                *(row.summary.interval or (None, None)),
                difference.mean if difference else None,
                *((difference.interval if difference else None) or (None, None)),
                difference.verdict if difference else 'reference',
                row.params,
                row.macs,
                row.images_per_second,
                row.memory,
                *row.values,
            ]
        )
    return out.getvalue()


def as_json(comparison: Comparison) -> str:
    """Return everything, in full precision."""
    rows = []
    for row in comparison.rows:
        rows.append(
            dict(
                name=row.name,
                config=row.config,
                values=dict(zip(map(str, comparison.seeds), row.values, strict=True)),
                mean=row.summary.mean,
                deviation=row.summary.deviation,
                interval=row.summary.interval,
                difference=vars(row.difference) if row.difference else None,
                parameters=row.params,
                macs=row.macs,
                images_per_second=row.images_per_second,
                memory_bytes=row.memory,
            )
        )
    record = dict(
        metric=comparison.metric,
        lower_is_better=comparison.lower_is_better,
        select=comparison.select,
        seeds=comparison.seeds,
        caption=caption(comparison),
        command=comparison.command,
        variants=rows,
    )
    return json.dumps(record, indent=2) + '\n'
