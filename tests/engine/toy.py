"""A training of milliseconds, to look at what happens around the steps."""

import os
import uuid
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, HOOKS, METRICS, MODELS
from torch import nn
from torch.utils.data import Dataset

from mdvision.checkpoints.reading import read_checkpoint
from mdvision.engine.runner import Runner

__all__ = ['SignalAt', 'ToyData', 'last', 'make_runner', 'same_training']


@DATASETS.register_module(force=True)
class ToyData(Dataset):
    """Numbered points; ``seen`` lists what was loaded, in order."""

    metainfo = dict(classes=('a', 'b'))
    seen: list[int] = []

    def __init__(self, size: int):
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict:
        if self.size > 4:  # the training set
            ToyData.seen.append(index)
        return dict(inputs=torch.full((3,), float(index)))


@MODELS.register_module(force=True)
class ToyModel(BaseModel):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 1)

    def forward(self, inputs, mode='tensor'):
        value = self.linear(torch.stack(list(inputs)) / 10)
        return dict(loss=(value - 1).square().mean()) if mode == 'loss' else [value]


@METRICS.register_module(force=True)
class ToyMetric(BaseMetric):
    """Gives the next of ``values`` in each validation."""

    default_prefix = ''

    def __init__(self, values: tuple[float, ...] = (1.0, 2.0, 3.0, 4.0)):
        super().__init__()
        self.values = list(values)

    def process(self, data_batch, data_samples) -> None:
        self.results.append(0)

    def compute_metrics(self, results: list) -> dict[str, float]:
        value = self.values.pop(0)
        return dict(score=value, loss=10 * value)


@HOOKS.register_module(force=True)
class SignalAt(Hook):
    """Sends this process a signal in a training iteration or a validation batch."""

    def __init__(self, iteration: int | None = None, validation_batch: int | None = None, number: int = 15):
        self.iteration, self.validation_batch, self.number = iteration, validation_batch, number

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.iteration:
            os.kill(os.getpid(), self.number)

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        if batch_idx == self.validation_batch:
            os.kill(os.getpid(), self.number)


def last(work_dir, epochs):
    """The checkpoint of that epoch."""
    return read_checkpoint(str(work_dir / f'epoch_{epochs}.pth'))


def same(one, other):
    """Tensors and numbers in lists and dicts, to the last bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def same_training(one, other):
    """Whether two checkpoints hold the same weights, optimizer and schedule, to the last bit."""
    return all(same(one[part], other[part]) for part in ('state_dict', 'optimizer', 'param_schedulers'))


def make_runner(
    work_dir: Path, epochs: int = 2, hooks: tuple = (), resume: str | None = None, **more
) -> Runner:
    """Eight points in batches of two, three validation batches of one; see ``more`` for other keys."""
    toy_hooks = dict(logger=dict(type='LoggerHook', interval=1), checkpoint=more.pop('checkpoint', {}))
    toy_hooks['checkpoint'] = dict(type='CheckpointHook', interval=1) | toy_hooks['checkpoint']
    cfg = dict(
        model=dict(type='ToyModel'),
        work_dir=str(work_dir),
        experiment_name=f'toy_{uuid.uuid4().hex}',
        train_dataloader=dict(
            batch_size=2, num_workers=0, dataset=dict(type='ToyData', size=8),
            sampler=dict(type='DefaultSampler', shuffle=True),
        ),
        val_dataloader=dict(
            batch_size=1, num_workers=0, dataset=dict(type='ToyData', size=3),
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        val_cfg=dict(),
        val_evaluator=dict(type='ToyMetric'),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9)),
        param_scheduler=[dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=6)],
        default_hooks=toy_hooks,
        custom_hooks=list(hooks),
        randomness=dict(seed=0),
        load_from=resume,
        resume=resume is not None,
    )  # fmt: skip
    for key, value in more.items():
        whole = not isinstance(cfg.get(key), dict) or 'type' in value
        cfg[key] = value if whole else cfg[key] | value
    ToyData.seen.clear()
    return Runner.from_cfg(Config(cfg))
