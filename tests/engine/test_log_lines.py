"""A small data set logs enough lines to be seen learning; an interval of the config is kept."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.hooks import Hook

from mdvision.engine.hooks.csv_log import read_rows
from mdvision.engine.hooks.logger import adapted_interval
from tests.engine.toy import make_runner

ROOT = Path(__file__).resolve().parents[2]


class Losses(Hook):
    """The loss of each iteration."""

    def __init__(self):
        self.of = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.of.append(float(outputs['loss']))


def trained(folder, points: int, logger: dict, **more) -> tuple[list[dict], list[float], str]:
    """The training rows of metrics.csv, every loss, and the log file."""
    losses = Losses()
    runner = make_runner(
        folder,
        experiment_name=folder.name,  # by which mmengine keeps log files
        default_hooks=dict(logger=dict(type='LoggerHook', **logger)),
        log_processor=dict(window_size=20, by_epoch='max_iters' not in more.get('train_cfg', {})),
        **{'epochs': 1, 'train_dataloader': dict(dataset=dict(type='ToyData', size=points)), **more},
    )
    runner.register_hook(losses)
    runner.train()
    rows = [row for row in read_rows(folder / 'metrics.csv') if row['phase'] == 'train']
    return rows, losses.of, next(folder.glob('*/*.log')).read_text()


@pytest.mark.parametrize(
    ('iterations', 'interval'), [(1, 1), (3, 1), (4, 1), (8, 2), (30, 7), (79, 19), (80, 20), (9000, 20)]
)
def test_four_lines_an_epoch_or_one_an_iteration(iterations, interval):
    assert adapted_interval(iterations) == interval
    assert iterations // interval >= min(iterations, 4)


def test_a_line_is_the_mean_since_the_line_before(tmp_path):
    rows, losses, log = trained(tmp_path, 48, {})
    assert [int(row['iter']) for row in rows] == [6, 12, 18, 24]
    means = [sum(losses[i : i + 6]) / 6 for i in range(0, 24, 6)]
    assert [float(row['loss']) for row in rows] == pytest.approx(means, rel=1e-5)
    assert 'validation  batch' not in log  # three batches are no reason for a line


def test_fewer_iterations_than_lines_are_all_logged(tmp_path):
    rows, _, _ = trained(tmp_path, 6, {}, epochs=2)
    assert [int(row['iter']) for row in rows] == [1, 2, 3, 4, 5, 6]


def test_an_interval_of_the_config_is_kept(tmp_path):
    rows, losses, _ = trained(tmp_path, 48, dict(interval=16))
    assert [int(row['iter']) for row in rows] == [16]
    assert float(rows[0]['loss']) == pytest.approx(sum(losses[:16]) / 16, rel=1e-5)


def test_a_training_that_counts_iterations_is_one_epoch(tmp_path):
    rows, _, _ = trained(
        tmp_path,
        6,
        {},
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=8, val_interval=8),
        train_dataloader=dict(
            dataset=dict(type='ToyData', size=6), sampler=dict(type='InfiniteSampler', shuffle=True)
        ),
        checkpoint=dict(by_epoch=False, interval=8),
    )
    assert [int(row['iter']) for row in rows] == [2, 4, 6, 8]


def test_every_config_leaves_the_interval_to_the_length_of_its_epoch():
    runtime = ROOT / 'configs' / '_base_' / 'runtime.py'
    assert Config.fromfile(runtime).default_hooks.logger == dict(type='LoggerHook')
    for path in (ROOT / 'configs').rglob('*.py'):
        assert path == runtime or 'logger=' not in path.read_text(encoding='utf-8'), path
