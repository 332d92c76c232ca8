"""A dry run goes through everything, leaves nothing behind, and names the part that fails."""

import pytest
from mmengine.config import Config
from mmengine.dist import broadcast_object_list

from mdvision import UserError
from mdvision.checks import dry_run as module
from mdvision.checks.dry_run import dry_run, shortened
from mdvision.processes import distributed
from tests.engine.toy import make_runner
from tests.forking import run_forked


@pytest.fixture
def cfg(tmp_path, monkeypatch):
    cfg = make_runner(tmp_path / 'run', checkpoint=dict(save_best='score', rule='greater')).cfg
    monkeypatch.setattr(module.tempfile, 'tempdir', str(tmp_path))
    return cfg


def test_it_passes_and_leaves_nothing(cfg, tmp_path, monkeypatch):
    said, before = [], {path.name for path in tmp_path.rglob('*')}
    monkeypatch.setattr(module, 'say', said.append)
    text = cfg.pretty_text
    dry_run(cfg, 1.0, lambda runner: None)
    assert [line.split(':')[0] for line in said] == ['dry run', 'dry run', 'dry run passed']
    assert {path.name for path in tmp_path.rglob('*')} == before
    assert cfg.pretty_text == text


def test_it_passes_with_fewer_images_than_a_batch(cfg, monkeypatch):
    said = []
    monkeypatch.setattr(module, 'say', said.append)
    cfg.train_dataloader.batch_size = 64
    dry_run(cfg, 1.0, lambda runner: None)
    assert said[-1].startswith('dry run passed')


def test_it_names_the_part_that_fails(cfg):
    cfg.default_hooks.checkpoint.save_best = 'accuracy'
    with pytest.raises(UserError, match=r'dry run failed \(two iterations.*save_best'):
        dry_run(cfg, 1.0, lambda runner: None)


def test_a_training_that_counts_iterations_is_shortened_too(tmp_path):
    cfg = Config(
        dict(
            train_dataloader=dict(batch_size=2),
            train_cfg=dict(type='IterBasedTrainLoop', max_iters=90000, val_interval=5000),
            default_hooks=dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=5000)),
        )
    )
    short = shortened(cfg, tmp_path, batches=2, until=1)
    assert (short.train_cfg.max_iters, short.train_cfg.val_interval) == (2, 2)
    assert short.default_hooks.checkpoint.interval == 2
    assert shortened(cfg, tmp_path, batches=1, until=2).train_cfg.max_iters == 3
    assert cfg.train_cfg.max_iters == 90000


@pytest.mark.fault('D24')
def test_another_machine_gets_the_checkpoint(cfg, tmp_path, monkeypatch, capfd):
    """It does not see the folder of the main process."""

    def other_machine(objects: list) -> None:
        broadcast_object_list(objects)
        if isinstance(objects[0], str) and 'mdvision_dry_run' in objects[0]:
            objects[0] = f'/another_machine{objects[0]}'

    def run(rank: int) -> None:
        distributed.prepare_distributed(cfg, 'pytorch', on_gpu=False)
        if rank == 1:
            module.broadcast_object_list = other_machine
        dry_run(cfg, 1.0, lambda runner: None)

    assert run_forked(run) == [0, 0], capfd.readouterr().err
