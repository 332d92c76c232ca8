"""How many epochs fit, and what becomes of the schedules."""

import argparse
import json
import re

import pytest
from mmengine.config import Config

from mdvision.commands import compare as main
from mdvision.compare import plan
from mdvision.compare import probe as probe_module
from mdvision.compare.budget import Timing, choose_epochs, epoch_options, makespan, parse_time, show_time
from mdvision.compare.probe import timing_of
from mdvision.compare.run import Slots
from mdvision.config.overrides import apply_overrides
from mdvision.errors import UserError
from tests.integration.conftest import picture_folder, write_classifier  # noqa: F401
from tests.running import start_tool


def test_times_have_units():
    assert parse_time('45m') == 2700
    assert parse_time('1h30m') == 5400
    assert parse_time('0.5h') == 1800
    assert parse_time('90s') == 90
    assert parse_time('1H 5M'.replace(' ', '')) == 3900
    for text in ('30', 'm', '', '0m', '-5m', '1m1h'):
        with pytest.raises(UserError, match='with its unit'):
            parse_time(text)
    assert (show_time(40), show_time(720), show_time(3900)) == ('40 s', '12 min', '1 h 05 min')


def test_a_run_has_its_validations_and_its_overhead():
    timing = Timing(epoch=10.0, validation=2.0, overhead=5.0, val_interval=3)
    # Epochs 3, 6 and, because it is the last, 7.
    assert timing.run(7) == 5 + 70 + 3 * 2
    assert Timing(10.0, 2.0, 5.0, val_interval=1, val_begin=4).run(5) == 5 + 50 + 2 * 2
    # With fewer epochs than val_begin the last is validated.
    assert Timing(10.0, 2.0, 5.0, val_interval=1, val_begin=4).run(2) == 5 + 20 + 2


def test_the_most_epochs_that_fit_are_chosen():
    slow, fast = Timing(10.0, 1.0, 4.0), Timing(5.0, 1.0, 4.0)
    # 3 seeds of both: 24 s around, and 3 (11 + 6) = 51 s an epoch; 0.9 x 1000 - 24 = 876 = 17.2 x 51
    assert makespan([slow, fast], 3, 17) == 24 + 17 * 51
    assert choose_epochs([slow, fast], 3, 1000.0) == 17
    assert choose_epochs([slow, fast], 3, 1000.0, spent=100.0) == 15
    assert choose_epochs([slow, fast], 3, (24 + 51) / 0.9 + 1e-9) == 1
    with pytest.raises(UserError, match='need 75 s for one epoch each') as error:
        choose_epochs([slow, fast], 3, 80.0)
    assert 'Give at least 83 s' in str(error.value)
    assert '--budget leaves 72 s' in str(error.value)


def test_jobs_share_the_time():
    timings = [Timing(10.0, 0.0, 0.0), Timing(5.0, 0.0, 0.0)]
    # 10 | 5, then the second seed: 10 goes to the place that is free after 5, and 5 to the other.
    assert makespan(timings, 2, 1, jobs=2) == 15
    assert choose_epochs(timings, 2, 100.0, jobs=2) == 6


def test_a_probe_is_taken_apart():
    cfg = Config(dict(train_cfg=dict(val_interval=2)))
    seconds = [3.0, 1.0, 1.0, 1.0, 0.5, 0.6, 0.4]
    record = dict(iterations=100, trained=7.5, seconds=seconds, checkpoint=2.0, validation=8.0)
    timing = timing_of(record, 30.0, cfg)
    assert timing.epoch == pytest.approx(100 * 0.5 + 2)
    assert timing.validation == 8
    assert timing.val_interval == 2
    # 30 - 7.5 - 2 - 8 around, and 7.5 - 7 x 0.5 because the first iterations are slow
    assert timing.overhead == pytest.approx(12.5 + 4.0)
    assert timing_of(dict(record, seconds=[2.0], trained=2.0), 30.0, cfg).epoch == 202


def scaled(schedulers, before: int, after: int, **train_cfg):
    cfg = Config(dict(train_cfg=dict(max_epochs=before, **train_cfg), param_scheduler=schedulers))
    apply_overrides(cfg, list(epoch_options(cfg, after)))
    return cfg


def test_schedules_keep_their_proportions():
    cfg = scaled(
        [
            dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=20),
            dict(type='LinearLR', start_factor=0.01, by_epoch=True, begin=0, end=10),
            dict(type='CosineAnnealingLR', T_max=90, eta_min=1e-6, by_epoch=True, begin=10, end=100),
            dict(type='MultiStepLR', milestones=[50, 75], gamma=0.1),
            dict(type='CosineAnnealingLR', T_max=100, convert_to_iter_based=True),
        ],
        100,
        30,
    )
    iterations, warm_up, cosine, steps, by_iter = cfg.param_scheduler
    assert cfg.train_cfg.max_epochs == 30
    assert iterations.end == 20
    assert (warm_up.begin, warm_up.end) == (0, 3)
    assert (cosine.begin, cosine.T_max, cosine.end) == (3, 27, 30)
    assert steps.milestones == [15, 22]
    assert by_iter.T_max == 30


@pytest.mark.parametrize('epochs', [1, 2, 3, 7, 300])
def test_no_schedule_becomes_impossible(epochs):
    cfg = scaled(
        [
            dict(type='LinearLR', start_factor=0.01, by_epoch=True, begin=0, end=5),
            dict(type='CosineAnnealingLR', T_max=95, by_epoch=True, begin=5, end=100),
        ],
        100,
        epochs,
    )
    warm_up, cosine = cfg.param_scheduler
    assert 0 <= warm_up.begin < warm_up.end <= cosine.begin < cosine.end
    assert cosine.T_max >= 1
    assert cosine.end == max(2, epochs)
    assert all(isinstance(n, int) for n in (warm_up.end, cosine.begin, cosine.end, cosine.T_max))


def test_a_warm_up_in_fractions_of_epochs_stays_exact_where_it_may():
    cfg = scaled(
        [dict(type='LinearLR', start_factor=0.1, begin=0, end=5, convert_to_iter_based=True)], 100, 10
    )
    assert cfg.param_scheduler[0].end == 0.5


@pytest.mark.parametrize('kind', ['StepLR', 'ExponentialLR'])
def test_a_decay_of_every_epoch_decays_as_far(kind):
    step = dict(step_size=1) if kind == 'StepLR' else {}
    cfg = scaled([dict(type=kind, gamma=0.98, **step)], 300, 10)
    assert cfg.param_scheduler[0].gamma == pytest.approx(0.98**30)


def test_steps_that_still_fit_keep_their_factor():
    cfg = scaled([dict(type='StepLR', step_size=30, gamma=0.1)], 120, 40)
    assert (cfg.param_scheduler[0].step_size, cfg.param_scheduler[0].gamma) == (10, 0.1)


def test_other_configs_keep_what_they_have():
    cfg = scaled([dict(type='MultiStepLR', milestones=[5])], 10, 10)
    assert cfg.param_scheduler[0].milestones == [5]
    cfg = scaled(dict(type='CosineAnnealingLR', T_max=10), 10, 5, val_begin=8)
    assert cfg.param_scheduler.T_max == 5
    assert cfg.train_cfg.val_begin == 1
    assert epoch_options(Config(dict(train_cfg=dict(max_epochs=3))), 4) == ('train_cfg.max_epochs=4',)


@pytest.mark.slow
def test_a_real_probe_says_how_much_is_needed(write_classifier, tmp_path):  # noqa: F811
    command = [write_classifier(epochs=1), '--vary', 'optim_wrapper.optimizer.lr', '0.05', '0.01',
               '--seeds', '1', '--work-dir', tmp_path / 'w', '--device', 'cpu', '--budget', '5s']  # fmt: skip
    failed = start_tool('compare.py', *command)
    assert failed.returncode == 1
    assert re.search(
        r'  lr=0.05: \d+\.\d s per epoch, \d+\.\d s per validation, \d+\.\d s overhead', failed.stdout
    )
    assert '2 variants x 1 seeds need' in failed.stderr
    assert [path.name for path in (tmp_path / 'w').iterdir()] == ['.lock']


@pytest.mark.fault('D33')
def test_a_single_cycle_is_stretched_to_its_end():
    cycle = dict(type='OneCycleLR', eta_max=0.1, total_steps=100)
    assert scaled([cycle], 100, 20).param_scheduler[0].total_steps == 20


@pytest.mark.fault('D19')
def test_the_probe_trains_as_many_beside_each_other_as_the_runs_will(tmp_path, monkeypatch):
    """The slowest counts."""
    seen = []

    def run_all(runs, slots):
        for number, run in enumerate(runs):
            seen.append(run.folder)
            run.folder.mkdir(parents=True)
            seconds = [0.1 * (number + 1)] * 8
            record = dict(
                iterations=10, trained=sum(seconds), seconds=seconds, checkpoint=0.0, validation=0.0
            )
            (run.folder / 'probe.json').write_text(json.dumps(record))

    monkeypatch.setattr(probe_module, 'run_all', run_all)
    cfg = Config(dict(train_cfg=dict(max_epochs=1)))
    variant = plan.Variant('a', 'a.py')
    timing = probe_module.probe(variant, cfg, tmp_path / 'timing', ['train.py'], Slots(3), copies=3)
    assert len(set(seen)) == 3
    assert timing.epoch == pytest.approx(10 * 0.3)
    assert not (tmp_path / 'timing').exists()


@pytest.mark.fault('D19')
@pytest.mark.parametrize(
    ('cores', 'jobs', 'workers', 'threads'), [(8, 2, 1, 3), (64, 8, 4, 4), (2, 2, 0, 1), (4, 4, 2, 1)]
)
def test_jobs_with_their_workers_do_not_exceed_the_cores(cores, jobs, workers, threads, monkeypatch):
    monkeypatch.setattr(main, 'available_cores', lambda: cores)
    args = argparse.Namespace(threads=None)
    assert main._threads(args, jobs, workers) == threads
    assert main._threads(args, 1, workers) is None  # the training itself shares them
    assert main._threads(argparse.Namespace(threads=5), jobs, workers) == 5
