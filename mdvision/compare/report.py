"""Write the files of the comparison from finished runs."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config

from mdvision.provenance import command_line

from . import table
from .costs import costs_of
from .plan import Variant
from .plot import draw_comparison
from .run import Run
from .statistics import paired_difference, summarize
from .values import is_lower_better, metric_of, value_of

__all__ = ['write_comparison']


def write_comparison(
    args: argparse.Namespace,
    folder: Path,
    variants: Sequence[Variant],
    configs: Sequence[Config],
    keys: Sequence[str],
    runs: Sequence[Sequence[Run]],
    seeds: Sequence[int],
) -> None:
    """Write comparison.md, .csv, .tex, .json and .png.

    Args:
        keys: per variant, what its costs depend on.
        runs: per variant, one run per seed, all finished.
    """
    metric = metric_of([run for of_variant in runs for run in of_variant], args.metric)
    lower = args.lower_is_better or bool(is_lower_better(metric))
    values = [tuple(value_of(run, metric, args.select, lower) for run in of_variant) for of_variant in runs]
    costs = costs_of(folder, variants, configs, keys, not args.no_speed)
    rows = [
        table.Row(
            variant.name,
            variant.config,
            values[index],
            summarize(values[index]),
            paired_difference(values[index], values[0], lower) if index else None,
            runs[index][0].results().get('parameters'),
            **_costs_of_row(costs, index),
        )
        for index, variant in enumerate(variants)
    ]
    comparison = table.Comparison(
        metric,
        lower,
        args.select,
        tuple(seeds),
        tuple(rows),
        provenance=_provenance(runs),
        memory_of=_memory_of(costs, rows),
        speed_of=_speed_of(costs, rows),
        notes=tuple(_notes(costs, variants)),
        command=command_line(),
    )
    files = dict(md=table.as_markdown, csv=table.as_csv, tex=table.as_latex, json=table.as_json)
    for ending, write in files.items():
        (folder / f'comparison.{ending}').write_text(write(comparison), encoding='utf-8')
    draw_comparison(comparison, folder / 'comparison.png')
    print('\n' + table.as_text(comparison))
    print(f'\n  {folder}/comparison.md, .csv, .tex, .json, .png')


def _on_gpu(costs: dict) -> bool:
    return bool(costs['speed']) and any(result.get('memory') for result in costs['speed']['results'])


def _costs_of_row(costs: dict, index: int) -> dict:
    count = costs['counts'][index]
    speed = costs['speed']['results'][index] if costs['speed'] else {}
    memory = speed.get('memory') if _on_gpu(costs) else count.get('training_bytes')
    return dict(macs=count.get('macs'), images_per_second=speed.get('images_per_second'), memory=memory)


def _memory_of(costs: dict, rows: Sequence[table.Row]) -> str:
    if all(row.memory is None for row in rows):
        return ''
    if _on_gpu(costs):
        return 'Memory is the peak that torch allocated on the GPU in the measured steps, for a whole batch.'
    return (
        'Memory is counted, not measured: weights, gradients and what the backward pass of one image keeps '
        'in float32, without the optimizer state.'
    )


def _speed_of(costs: dict, rows: Sequence[table.Row]) -> str:
    if all(row.images_per_second is None for row in rows):
        return ''
    asked = costs['speed']['asked']
    batches = sorted(set(asked['batches']))
    return (
        f'Images per second: forward and backward pass on random images in batches of '
        f'{" or ".join(map(str, batches))} on {asked["device"]}, without data loading and optimizer; median '
        'of rounds in which the variants took turns.'
    )


def _notes(costs: dict, variants: Sequence[Variant]) -> list[str]:
    notes = []
    for variant, count in zip(variants, costs['counts'], strict=True):
        if count.get('problem'):
            notes.append(f'{variant.name}: multiply-adds not counted: {count["problem"]}')
        if count.get('uncounted'):
            notes.append(f'{variant.name}: without {", ".join(count["uncounted"])}, of unknown cost.')
    return notes


def _provenance(runs: Sequence[Sequence[Run]]) -> tuple[str, ...]:
    records = [run.results() for of_variant in runs for run in of_variant]
    hardware = sorted({str(record.get('hardware')) for record in records})
    versions = sorted(
        {', '.join(f'{k} {v}' for k, v in record.get('versions', {}).items()) for record in records}
    )
    epochs = sorted({run.max_epochs for of_variant in runs for run in of_variant if run.max_epochs})
    length = f' for {" or ".join(map(str, epochs))} epoch{"s" * (epochs != [1])}' if epochs else ''
    dates = ' and '.join(sorted({record['date'] for record in records if record.get('date')}))
    return (f'Trained{length} on {"; ".join(hardware)}; {"; or ".join(versions)}; {dates}.',)
