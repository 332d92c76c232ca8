"""``configs/README.md`` from the data beside it: every published number has a row there.

``results.csv`` has what was trained, ``model_costs.json`` and ``reported.json`` what the models cost
(see :mod:`mdvision.records.costs`, which counts them anew).

python -m mdvision.records.results
"""

import csv
import json
import statistics
from pathlib import Path

from .costs import render_costs

__all__ = ['add_result', 'render']

COLUMNS = (
    'config',
    'metric',
    'value',
    'seed',
    'parameters',
    'minutes',
    'hardware',
    'versions',
    'date',
    'command',
)


def add_result(csv_path: Path, config: str, results_json: Path, metrics: list[str]) -> None:
    """Append a run's numbers, one row a metric.

    Args:
        csv_path: ``configs/results.csv``.
        config: path of the config, relative to the project.
        results_json: what the run left in its work dir.
        metrics: names of the metrics to publish.
    """
    record = json.loads(Path(results_json).read_text(encoding='utf-8'))
    with open(csv_path, 'a', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator='\n')
        if file.tell() == 0:
            writer.writeheader()
        for metric in metrics:
            writer.writerow(
                dict(
                    config=config,
                    metric=metric,
                    value=f'{record["metrics"][metric]:.4f}',
                    seed=record['seed'],
                    parameters=record['parameters'],
                    minutes=f'{record["seconds"] / 60:.1f}',
                    hardware=record['hardware'],
                    versions=' '.join(f'{k}={v}' for k, v in record['versions'].items()),
                    date=record['date'],
                    command=record['command'],
                )
            )


def render(csv_path: Path) -> str:
    """The Markdown page: one line for each config and metric, mean and range over the seeds.

    Args:
        csv_path: ``configs/results.csv``. The section on named models follows where ``model_costs.json``
            lies beside it.
    """
    with open(csv_path, newline='', encoding='utf-8') as file:
        rows = list(csv.DictReader(file))
    groups: dict[tuple[str, str], list[dict]] = {}
    for row in rows:
        groups.setdefault((row['config'], row['metric']), []).append(row)
    lines = [
        '# Results',
        '',
        'Generated from [results.csv](results.csv) by `python -m mdvision.records.results`; each number',
        'has its command, seed, hardware, versions and date there. Configs not listed are untrained.',
        '',
        '| config | metric | mean | each seed | parameters | minutes | hardware |',
        '|---|---|---|---|---|---|---|',
    ]
    for (config, metric), group in groups.items():
        values = [float(row['value']) for row in group]
        each = ', '.join(f'{row["seed"]}: {row["value"]}' for row in group)
        minutes = statistics.mean(float(row['minutes']) for row in group)
        lines.append(
            f'| [{config}]({Path(config).relative_to("configs").as_posix()}) | {metric} | '
            f'{statistics.mean(values):.4f} | {each} | {int(group[0]["parameters"]):,} | {minutes:.1f} | '
            f'{group[0]["hardware"]} |'
        )
    folder = Path(csv_path).parent
    if (folder / 'model_costs.json').is_file():
        lines += ['', *render_costs(folder)]
    return '\n'.join([*lines, ''])


if __name__ == '__main__':
    Path('configs/README.md').write_text(render(Path('configs/results.csv')), encoding='utf-8')
