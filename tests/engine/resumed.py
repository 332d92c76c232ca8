"""Trainings that end before their end, by a signal or as ``kill -9`` does, and what is left of them."""

import os
import random

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.registry import DATASETS, HOOKS, METRICS, MODELS
from torch import nn

from mdvision.engine.hooks.csv_log import read_rows
from mdvision.engine.hooks.interruption import Interrupted, train_interruptibly
from mdvision.work_dir.folder import find_resumable
from tests.engine.toy import ToyData, ToyMetric, ToyModel, make_runner

__all__ = ['Killed', 'assert_same', 'settings_of', 'state', 'train']


@DATASETS.register_module(force=True)
class NoisyData(ToyData):
    """Points with noise of three generators, as augmentation is."""

    def __getitem__(self, index: int) -> dict:
        noise = torch.tensor([random.random(), np.random.rand(), torch.rand(()).item()])
        return dict(inputs=super().__getitem__(index)['inputs'] + noise)


@MODELS.register_module(force=True)
class DrawingModel(ToyModel):
    """Dropout, and numbers of NumPy and Python such as mixup and mmdet's samplers draw."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 1))

    def forward(self, inputs, mode='tensor'):
        out = super().forward(inputs, mode)
        if mode == 'loss':
            out['loss'] = out['loss'] * (1 + np.random.rand() + random.random())
        return out


class Killed(BaseException):
    """What ends a process at once: nothing that catches exceptions sees it."""


@HOOKS.register_module(force=True)
class EndAt(Hook):
    """Ends the run in an iteration or a validation batch, with a signal or as ``kill -9`` does."""

    priority = 'VERY_HIGH'

    def __init__(self, iteration=None, validation=None, batch=1, signal=None):
        self.iteration, self.validation, self.batch, self.signal = iteration, validation, batch, signal
        self.validations = 0

    def end(self):
        if self.signal is None:
            raise Killed
        os.kill(os.getpid(), self.signal)

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.iteration:
            self.end()

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        self.validations += batch_idx == 0
        if (self.validations, batch_idx) == (self.validation, self.batch):
            self.end()

    def after_val_epoch(self, runner, metrics=None):
        if (self.validations, None) == (self.validation, self.batch):
            self.end()


def settings_of(workers=0, **more):
    loader = dict(num_workers=workers, dataset=dict(type='NoisyData', size=10))
    loader |= more.pop('loader', {})
    rest = dict(model=dict(type='DrawingModel'), epochs=3, checkpoint=dict(save_best='score', rule='greater'))
    return rest | dict(train_dataloader=loader, val_evaluator=dict(type='ScoreByWeights')) | more


@METRICS.register_module(force=True)
class ScoreByWeights(ToyMetric):
    """Follows from the weights, so that a validation which is made up for gives its number."""

    def process(self, data_batch, data_samples) -> None:
        self.results.append(data_samples[0].sum().item())

    def compute_metrics(self, results: list) -> dict[str, float]:
        return dict(score=sum(results))


def train(folder, ends=(), **settings):
    """Train to the end, through the given ends of a run, each of which is followed by a resumption."""
    for end in [*ends, None]:
        checkpoint = find_resumable(folder) if folder.exists() else None
        hooks = (dict(type='EndAt', **end),) if end else ()
        runner = make_runner(folder, hooks=hooks, resume=checkpoint and str(checkpoint), **settings)
        try:
            train_interruptibly(runner)
        except (Interrupted, Killed):
            assert end is not None
        else:
            assert end is None, f'{end} was not reached'
    return runner


def state(folder):
    """Weights, optimizer and schedules of the end; which checkpoints there are; every logged number."""
    files = {path.name: torch.load(path, weights_only=False) for path in sorted(folder.glob('*.pth'))}
    parts = {
        name: {key: file.get(key) for key in ('state_dict', 'optimizer', 'param_schedulers')}
        for name, file in files.items()
    }
    rows = [
        {key: value for key, value in row.items() if key not in ('time', 'data_time', 'val/time')}
        for row in read_rows(folder / 'metrics.csv')
    ]
    for row in rows:
        row.pop('val/data_time', None)
    return parts, rows


def assert_same(one, other):
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    elif not callable(one):
        assert one == other
