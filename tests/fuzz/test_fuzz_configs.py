"""Configs mutated by the hundred: an error in words or a sound training; no traceback, no hang, no silence.

Each seed is one config. Seeds of ``make test`` are the first forty; ``make test-faults`` has all.
"""

import argparse
import random
import re
import signal
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger

from mdvision.commands import faults
from mdvision.config.faults import find_config_faults
from mdvision.config.overrides import apply_overrides
from mdvision.config.reading import find_unread_names, load_config, read_files
from mdvision.engine.runner import Runner
from mdvision.findings import report
from tests.engine.toy import ToyModel  # registers the toys  # noqa: F401

CASES, FEW, SECONDS = 500, 40, 30

BASE = """\
model = dict(type='ToyModel')
size = 8
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    dataset=dict(type='ToyData', size=size),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    dataset=dict(type='ToyData', size=3),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
val_cfg = dict()
val_evaluator = dict(type='ToyMetric')
"""
MINE = """\
_base_ = './base.py'
train_cfg = dict(by_epoch=True, max_epochs=1, val_interval=1)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9), clip_grad=dict(max_norm=1.0))
param_scheduler = [dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=6)]
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=1),
    checkpoint=dict(type='CheckpointHook', interval=1),
)
auto_scale_lr = dict(base_batch_size=2)
randomness = dict(seed=0)
"""
# Names that are read somewhere: a misspelling of each must be said.
NAMES = re.compile(
    r'\b(model|\w+_dataloader|\w+_cfg|\w+_evaluator|\w+_wrapper|\w+_scheduler|default_hooks|randomness|'
    r'auto_scale_lr|batch_size|num_workers|dataset|sampler|shuffle|max_epochs|val_interval|optimizer|momentum|'
    r'clip_grad|max_norm|start_factor|interval|checkpoint|logger|base_batch_size|seed|LinearLR|SGD|ToyModel|'
    r'ToyData|ToyMetric|LoggerHook|CheckpointHook)\b'
)
WRONG = ('None', "'a'", '-1', '[1]', "'0.1'", '2.5', 'dict()', 'float("nan")')
VALUES = ('batch_size', 'num_workers', 'max_epochs', 'val_interval', 'lr', 'momentum', 'interval', 'seed')


def misspelt(word: str, rng: random.Random) -> str:
    """A word with a letter lost, doubled or changed, or two of them exchanged."""
    place = rng.randrange(1, len(word))
    kind = rng.randrange(4)
    if kind == 0:
        return word[:place] + word[place + 1 :]
    if kind == 1:
        return word[:place] + word[place - 1] + word[place:]
    if kind == 2:
        return word[:place] + rng.choice('bcdfghkq') + word[place + 1 :]
    return word[: place - 1] + word[place] + word[place - 1] + word[place + 1 :]


def mutate(seed: int, marker: Path) -> tuple[str, str, str, list[str], bool]:
    """``(kind, base, mine, overrides, whether it must be said)`` of a seed."""
    rng = random.Random(seed)
    kind = ('typo', 'value', 'text', 'bytes', 'override')[seed % 5]
    texts = [BASE, MINE]
    which = rng.randrange(2)
    text, overrides, must = texts[which], [], False
    if kind == 'typo':
        found = rng.choice(list(NAMES.finditer(text)))
        wrong = misspelt(found[0], rng)
        text = text[: found.start()] + wrong + text[found.end() :]
        must = wrong != found[0]
    elif kind == 'value':
        found = rng.choice(list(re.finditer(rf'\b({"|".join(VALUES)})=([\d.]+)', text)))
        wrong = rng.choice(WRONG)
        text = text[: found.start(2)] + wrong + text[found.end(2) :]
        # None leaves a value out; 2.5 and -1 may be a rate or stand for never.
        must = wrong not in ('None', '2.5', '-1')
    elif kind == 'text':
        lines = text.splitlines()
        for _ in range(rng.randint(1, 3)):
            place = rng.randrange(len(lines))
            change = rng.randrange(4)
            if change == 0:
                lines.pop(place)
            elif change == 1:
                lines.insert(place, lines[rng.randrange(len(lines))])
            elif change == 2:
                lines[place] = lines[place][: rng.randrange(len(lines[place]) + 1)]
            else:
                lines[place] = lines[place].replace('dict', rng.choice(('list', 'set', 'tuple', 'dct')))
            lines = lines or ['']
        text = '\n'.join(lines)
    elif kind == 'bytes':
        raw = bytearray(text.encode())
        for _ in range(rng.randint(1, 4)):
            raw[rng.randrange(len(raw))] = rng.randrange(256)
        text = bytes(raw).decode('latin1')
    else:
        key = rng.choice(
            ('train_cfg.max_epochs', 'optim_wrapper.optimizer.lr', 'model', 'param_scheduler.0', 'x')
        )
        code = f'__import__("pathlib").Path("{marker}").touch()'
        values = [
            code,
            f'[{code}]',
            f'dict(a={code})',
            f'{{"type": {code}}}',
            '[1',
            '{"a"',
            '(' * 300,
            'dict(',
        ]
        values += ['', '[[[]]]', '1e999', '{}' * 3, 'lambda: 0', '9' * 5000]
        value = rng.choice(values)
        overrides = [f'{key}={value}']
    texts[which] = text
    return kind, *texts, overrides, must


def run(folder: Path, base: str, mine: str, overrides: list[str]) -> list[str]:
    """What the checks warned of; a training of four iterations follows them."""
    # As bytes: a mutated file may be no text at all.
    (folder / 'base.py').write_bytes(base.encode('latin1'))
    (folder / 'mine.py').write_bytes(mine.encode('latin1'))
    file = str(folder / 'mine.py')
    cfg = load_config(file)
    apply_overrides(cfg, overrides)
    found = [*find_unread_names(read_files(Path(file))), *find_config_faults(cfg, file)]
    report(found)
    small = Config(cfg.to_dict())
    small.work_dir, small.experiment_name = str(folder / 'run'), folder.name
    if (small.get('train_cfg') or {}).get('max_epochs') == 1:
        Runner.from_cfg(small).train()
    return [str(finding) for finding in found if finding.severity != 'note']


def check(seed: int, folder: Path, capsys) -> str:
    """Run one seed; asserts what holds for all. Returns what became of it."""
    folder.mkdir()
    marker = folder / 'marker'
    kind, base, mine, overrides, must = mutate(seed, marker)
    state = {}

    def alarm(number, frame):
        raise AssertionError(f'seed {seed}: no end after {SECONDS} s')

    MMLogger._instance_dict.clear()  # those of earlier runs write to a console that is gone
    before = signal.signal(signal.SIGALRM, alarm)
    signal.alarm(SECONDS)
    try:
        status = faults.run(
            lambda args: state.update(said=run(folder, base, mine, overrides)),
            argparse.Namespace(debug=False),
        )
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    text = capsys.readouterr().err
    where = f'seed {seed} ({kind}):\n{mine}\n{base}\n{overrides}\n{text}'
    assert not marker.exists(), where
    assert 'Traceback' not in text, where
    assert status in (0, 1), where
    if status:
        message = text.split('Error: ')[-1].strip()
        assert len(message) > 15, where
        assert len(message) < 3000, where
        assert 'no message' not in message, where
    assert status or state['said'] or not must, where
    return 'error' if status else 'warning' if state['said'] else 'ran'


@pytest.mark.fault('3.2', 'i3')
def test_forty_mutated_configs(tmp_path, capsys):
    became = [check(seed, tmp_path / str(seed), capsys) for seed in range(FEW)]
    assert became.count('error') > FEW / 3


@pytest.mark.fuzz
@pytest.mark.parametrize('first', range(FEW, CASES, 20))
def test_many_mutated_configs(first, tmp_path, capsys):
    for seed in range(first, min(first + 20, CASES)):
        check(seed, tmp_path / str(seed), capsys)


def test_the_unchanged_config_trains_without_a_word(tmp_path):
    torch.manual_seed(0)
    assert run(tmp_path, BASE, MINE, []) == []
