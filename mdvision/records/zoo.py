"""The trained models of ``mdvision/zoo``: added with the metric that their file gets, and their cards."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from mdvision.errors import UserError
from mdvision.work_dir.files import MODEL, RESULTS, TEST
from mdvision.work_dir.model_file import read_model, write_model

__all__ = ['ZOO', 'add_to_zoo', 'read_zoo', 'render_card', 'render_zoo']

ZOO = Path('mdvision', 'zoo')
MOST_BYTES = 8_000_000
# What half precision may cost, as a fraction of the metric.
_TOLERANCE = 5e-4
_CARD = ('data', 'license', 'not_for')


def add_to_zoo(root: Path, work_dir: Path, name: str, config: str, card: dict[str, str]) -> dict:
    """Add the model of a run to the zoo, in half precision if its metric does not suffer.

    Both precisions are evaluated with ``tools/test.py``; what the card states is the metric of the file that
    is published.

    Args:
        root: the project root; the data of the config is found from there.
        work_dir: of the run.
        name: in the zoo.
        config: path of its config from the root.
        card: what the numbers do not say: ``data``, ``license`` (of the data) and ``not_for``.

    Returns:
        the content of its json.

    Raises:
        UserError: the card is incomplete, the file is too large, or the evaluation fails.
    """
    missing = [key for key in _CARD if not card.get(key)]
    if missing:
        raise UserError(f'The card of {name} lacks {", ".join(missing)}.')
    description, weights = read_model(work_dir)
    known = json.loads((work_dir / MODEL).read_text(encoding='utf-8'))
    metric = known['checkpoint'].get('chosen_by') or next(iter(known['metrics']))
    halves = {key: value.half() if value.is_floating_point() else value for key, value in weights.items()}
    folder = root / ZOO
    folder.mkdir(exist_ok=True)
    description['name'] = name
    facts = {key: known[key] for key in ('checkpoint', 'preprocessing', 'validation', 'provenance')}
    with tempfile.TemporaryDirectory() as place:
        write_model(Path(place), description, weights)
        record = _evaluate(root, config, Path(place, 'model.safetensors'))
        whole = record['metrics']
        write_model(Path(place), description, halves, 'half')
        half = _evaluate(root, config, Path(place, 'half.safetensors'))['metrics']
    suffers = half[metric] < whole[metric] - _TOLERANCE * abs(whole[metric])
    files = write_model(
        folder, description, weights if suffers else halves, name, **facts,
        config_file=config, parameters=record['parameters'], metric=metric,
        metrics=whole if suffers else half, in_single_precision=whole[metric], card=card,
    )  # fmt: skip
    size = files[0].stat().st_size
    if size > MOST_BYTES:
        for file in files:
            file.unlink()
        raise UserError(
            f'{name} has {size:,} bytes, more than the {MOST_BYTES:,} that a model of the zoo may have.'
        )
    return json.loads(files[1].read_text(encoding='utf-8'))


def _evaluate(root: Path, config: str, weights: Path) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, 'tools/test.py', config, str(weights), '--work-dir', folder]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True)
        if done.returncode:
            raise UserError(f'{config} could not be evaluated:\n{done.stderr[-1500:]}')
        return json.loads(Path(folder, TEST + RESULTS).read_text(encoding='utf-8'))


def read_zoo(root: Path) -> list[dict]:
    """Return the json of every model."""
    return [json.loads(path.read_text(encoding='utf-8')) for path in sorted((root / ZOO).glob('*.json'))]


def render_zoo(root: Path) -> str:
    """Return the page that lists the models."""
    lines = [
        '# Trained models',
        '',
        'They come with mdvision and work offline. Each was trained here, by the command on its card, and',
        'its metric is that of the file in this folder, measured with `tools/test.py`.',
        '',
        '```python',
        'import mdvision',
        '',
        "detector = mdvision.load('emanet_bccd')",
        "found = detector.predict('blood.jpg', score=0.5)[0]",
        '```',
        '',
        '| name | what it does | metric | parameters | file |',
        '|---|---|---:|---:|---:|',
    ]
    for one in read_zoo(root):
        size = one['weights']['bytes']
        lines.append(
            f'| [{one["name"]}]({one["name"]}.md) | {one["task"]}, {_classes(one, 3)} | {_metric(one)} | '
            f'{one["parameters"]:,} | {size / 1e6:.2f} MB |'
        )
    lines += ['', 'Written by `python -m mdvision.records`.', '']
    return '\n'.join(lines)


def render_card(one: dict) -> str:
    """Return the card of a model.

    Args:
        one: its json.
    """
    made, validation = one['provenance'], one['validation']
    versions = ', '.join(f'{name} {version}' for name, version in made['versions'].items() if version)
    kind = ' and '.join(kind for kind in one['weights']['dtypes'] if 'float' in kind)
    lines = [
        f'# {one["name"]}',
        '',
        f'{one["task"].capitalize()} into {len(one["classes"])} classes: {_classes(one, 20)}.',
        '',
        '| | |',
        '|---|---|',
        f'| metric | {_metric(one)}, on {validation["images"]:,} images (fingerprint '
        f'`{validation["fingerprint"]}`) |',
        *_chosen(one),
        f'| in single precision | {one["in_single_precision"]:.4f} |',
        f'| data | {one["card"]["data"]} |',
        f'| license of the data | {one["card"]["license"]} |',
        f'| not good for | {one["card"]["not_for"]} |',
        f'| config | [{one["config_file"]}](../../{one["config_file"]}) |',
        f'| parameters | {one["parameters"]:,} |',
        f'| weights | {one["weights"]["bytes"]:,} bytes, {kind}, '
        f'SHA-256 `{one["weights"]["sha256"][:16]}...` |',
        f'| trained | {made["date"]}, seed {made["seed"]}, {made["hardware"]} |',
        f'| versions | {versions} |',
        '',
        f'    {made["command"]}',
        '',
    ]
    return '\n'.join(lines)


def _chosen(one: dict) -> list[str]:
    """Return the row that says which checkpoint this is, if one was chosen by the metric."""
    checkpoint = one['checkpoint']
    if not checkpoint.get('chosen_by'):
        return []
    return [
        f'| checkpoint | epoch {checkpoint["epoch"]}, the best by {checkpoint["chosen_by"]} on these same '
        'images, so the metric may be slightly optimistic |'
    ]


def _metric(one: dict) -> str:
    return f'{one["metric"]} {one["metrics"][one["metric"]]:.4f}'


def _classes(one: dict, most: int) -> str:
    names = one['classes']
    return ', '.join(names[:most]) + (', ...' if len(names) > most else '')
