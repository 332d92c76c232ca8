"""The learning rate of each recipe is the authors', epoch by epoch, in mmengine's own training loop."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.optim import LinearLR
from mmengine.registry import PARAM_SCHEDULERS
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mdvision.datasets.augmentation_schedule import augmentation_probability
from mdvision.engine.schedulers import PolyWarmupLR
from mdvision.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
SCHEDULES = ROOT / 'configs' / '_base_' / 'schedules'


@pytest.fixture(scope='module')
def fixture():
    with np.load(ROOT / 'tests/data/golden/schedules.npz', allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


class Toy(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, inputs, mode='tensor'):
        return dict(loss=self.weight.sum())


class Recorder(Hook):
    """The learning rate that every batch is trained with, (epochs, batches)."""

    def __init__(self):
        self.rates = []

    def before_train_epoch(self, runner):
        self.rates.append([])

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        (rate,) = runner.optim_wrapper.get_lr()['lr']
        self.rates[-1].append(rate)


@pytest.fixture
def train(tmp_path):
    """Train on a toy as a config says; gives the rates, (epochs, batches)."""

    def train(cfg, batches=1):
        recorder = Recorder()
        quiet = dict.fromkeys(('logger', 'timer', 'checkpoint', 'sampler_seed', 'runtime_info'))
        runner = Runner(
            model=Toy(),
            work_dir=str(tmp_path),
            experiment_name=tmp_path.name,
            train_dataloader=DataLoader([dict(inputs=torch.zeros(1))] * batches),
            optim_wrapper=cfg.optim_wrapper,
            param_scheduler=cfg.param_scheduler,
            train_cfg=cfg.train_cfg,
            auto_scale_lr=cfg.auto_scale_lr,
            default_hooks=quiet,
            custom_hooks=[recorder],
            log_level='ERROR',
        )
        runner.train()
        return np.array(recorder.rates)

    return train


def load(name: str) -> Config:
    return Config.fromfile(SCHEDULES / f'{name}.py')


def check(rates: np.ndarray, want: np.ndarray) -> None:
    np.testing.assert_allclose(rates, want, rtol=1e-9, atol=0)


@pytest.mark.parametrize(
    ('name', 'key'),
    [
        ('emanet_cifar', 'emanet_cifar_lr'),
        ('emanet_mini', 'emanet_mini_lr'),
        ('dems_pretrain', 'dems_pretrain_lr'),
        ('dems_finetune', 'dems_finetune_lr'),
    ],
)
def test_one_rate_an_epoch(fixture, train, name, key):
    check(train(load(name))[:, 0], fixture[key])


@pytest.mark.parametrize('epochs', [10, 20, 30])
def test_the_cosine_of_the_small_vit_ends_with_the_training(fixture, train, epochs):
    cfg = load('nano_diff_vit')
    cfg.train_cfg.max_epochs = epochs
    check(train(cfg)[:, 0], fixture[f'nano_lr_{epochs}'])


def test_mdnet_warms_up_within_its_first_batches(fixture, train):
    rates = train(load('mdnet_cifar'), batches=30)
    check(rates[0], fixture['mdnet_lr_first_batches'])
    check(rates[:, 0], fixture['mdnet_lr_epoch_start'])
    check(rates[:, -1], fixture['mdnet_lr_epoch_end'])


def test_the_detector_with_adam(fixture, train):
    cfg = load('emanet_detector')
    cfg.train_cfg = dict(by_epoch=True, max_epochs=100, val_interval=1)
    check(train(cfg)[:, 0], fixture['frcnn_lr_adam'])


def test_the_detector_with_sgd_while_the_extractor_is_frozen(fixture, train):
    cfg = load('emanet_detector')
    cfg.train_cfg = dict(by_epoch=True, max_epochs=100, val_interval=1)
    batch = 4
    cfg.optim_wrapper.optimizer = dict(type='SGD', lr=1e-2 * batch / 16, momentum=0.9, nesterov=True)
    check(train(cfg)[:, 0], fixture['frcnn_lr_sgd_frozen'])


@pytest.mark.parametrize('path', sorted(SCHEDULES.glob('*.py')), ids=lambda path: path.stem)
def test_every_schedule_is_a_whole_config_fragment(path):
    cfg = Config.fromfile(path)
    assert {'optim_wrapper', 'param_scheduler', 'auto_scale_lr'} <= set(cfg)
    assert set(cfg) <= {'optim_wrapper', 'param_scheduler', 'auto_scale_lr', 'train_cfg'}
    assert cfg.auto_scale_lr.base_batch_size > 0


def rates_of(scheduler_type, steps=8, **kwargs):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    scheduler = scheduler_type(optimizer, **kwargs)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        scheduler.step()
    return rates


def test_power_one_is_the_linear_warm_up():
    kwargs = dict(start_factor=0.2, end_factor=0.8, begin=1, end=6)
    check(np.array(rates_of(PolyWarmupLR, power=1.0, **kwargs)), np.array(rates_of(LinearLR, **kwargs)))


def test_the_warm_up_follows_its_formula_and_then_leaves_the_rate_alone():
    rates = rates_of(PolyWarmupLR, start_factor=0.1, power=3.0, end=5)
    want = [0.5 * (0.1 + 0.9 * (min(step, 4) / 4) ** 3) for step in range(8)]
    check(np.array(rates), np.array(want))


def test_the_warm_up_converts_to_iterations():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    cfg = dict(type='PolyWarmupLR', start_factor=0.1, end=2, convert_to_iter_based=True)
    scheduler = PARAM_SCHEDULERS.build(cfg, default_args=dict(optimizer=optimizer, epoch_length=10))
    assert isinstance(scheduler, PolyWarmupLR)
    assert (scheduler.by_epoch, scheduler.end, scheduler.total_iters) == (False, 20, 19)


def test_the_warm_up_cannot_start_at_zero():
    with pytest.raises(UserError, match='start_factor must be greater than 0'):
        rates_of(PolyWarmupLR, start_factor=0.0, end=5)


@pytest.mark.parametrize(('key', 'start'), [('dems_aug_small', 0.8), ('dems_aug_tiny', 0.6)])
def test_the_intended_augmentation_of_dems(fixture, key, start):
    got = np.array([augmentation_probability(epoch, 800, start) for epoch in range(800)])
    check(got, fixture[key])
