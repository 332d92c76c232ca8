"""Schedules that cannot do what they are for are left out or named before the training starts."""

import pytest
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from mdvision import UserError
from mdvision.checks.data.splits import check_splits
from mdvision.checks.run import check_schedule
from mdvision.datasets.mnist import MNIST
from mdvision.engine import runner as runner_module
from mdvision.findings import report
from tests.data_sets import write_mnist
from tests.engine.toy import make_runner


@HOOKS.register_module(force=True)
class Rates(Hook):
    """The rate of every iteration."""

    seen: list[float] = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.seen.append(runner.optim_wrapper.get_lr()['lr'][0])


@pytest.mark.parametrize(
    ('warm_up', 'note'),
    [
        (dict(by_epoch=True, begin=0, end=1), 'the warm-up of 1 epoch is left out'),
        (dict(by_epoch=False, begin=0, end=1), 'the warm-up of 1 iteration is left out'),
        (dict(by_epoch=True, begin=0, end=0.1, convert_to_iter_based=True), 'of 0 iterations is left out'),
        (dict(by_epoch=True, begin=0, end=1, convert_to_iter_based=True), ''),
        (dict(by_epoch=True, begin=0, end=2), ''),
    ],
)
def test_the_full_rate_is_reached(warm_up, note, tmp_path, monkeypatch):
    """mmengine's warm-up of one step stays at its first rate in every later epoch."""
    Rates.seen.clear()
    said = []
    monkeypatch.setattr(runner_module, 'say', said.append)
    cosine = dict(type='CosineAnnealingLR', T_max=3, by_epoch=True, begin=1, end=4)
    schedulers = [dict(type='LinearLR', start_factor=0.01, **warm_up), cosine]
    runner = make_runner(tmp_path, epochs=4, hooks=(dict(type='Rates'),), param_scheduler=schedulers)
    runner.train()
    assert max(Rates.seen) == pytest.approx(0.01)
    assert Rates.seen[0] == pytest.approx(0.01 if note else 0.0001)
    assert sum('is left out' in line for line in said) == bool(note)
    assert note in ''.join(said)


@pytest.mark.parametrize(
    ('scheduler', 'epochs', 'note'),
    [
        (
            dict(T_max=49, begin=1, end=50),
            10,
            'the cosine schedule ends after epoch 50, the run after 10',
        ),
        (
            dict(T_max=50, begin=0, end=50),
            100,
            'the cosine schedule ends after epoch 50, the run after 100',
        ),
        (dict(T_max=50), 10, 'the cosine schedule ends after epoch 50, the run after 10'),
        (dict(milestones=[8, 11]), 10, 'the step schedule ends after epoch 12, the run after 10'),
        (dict(milestones=[8, 11]), 12, ''),
        (dict(T_max=49, begin=1, end=50), 50, ''),
        (dict(T_max=280, begin=18, end=200, eta_min=1e-5), 200, ''),  # MDNet's, which means to stop early
        (dict(T_max=92, begin=3, end=96, eta_min_ratio=0.01), 100, ''),  # goes on at its last rate
        (dict(T_max=10, by_epoch=False), 100, ''),
    ],
)
def test_a_schedule_of_another_length_is_named(scheduler, epochs, note):
    cfg = Config(dict(train_cfg=dict(max_epochs=epochs), param_scheduler=[scheduler]))
    said = [str(finding) for finding in check_schedule(cfg)]
    assert len(said) == bool(note)
    assert note in ''.join(said)


def test_held_out_images_must_not_be_trained_on(tmp_path):
    folder = str(write_mnist(tmp_path / 'mnist'))
    held = MNIST(folder, split='val', holdout=4)
    for fault in (dict(), dict(holdout=4, holdout_seed=1), dict(split='trainval', holdout=4)):
        with pytest.raises(UserError, match=r"expected split='train', holdout=4, holdout_seed=42"):
            report(check_splits(MNIST(folder, **fault), held))
    report(check_splits(MNIST(folder, holdout=4), held))
    report(check_splits(MNIST(folder), MNIST(folder, split='test')))


def test_a_resumed_run_counts_the_time_before(tmp_path):
    runner = make_runner(tmp_path, epochs=1)
    runner.seconds_before = 100.0
    runner.train()
    again = make_runner(tmp_path, epochs=2, resume=str(tmp_path / 'epoch_1.pth'))
    again.train()
    assert again.seconds_before >= 100
