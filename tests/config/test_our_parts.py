"""The config in a work dir names the classes that ran, and loads elsewhere."""

import subprocess
import sys

import mmengine.hooks
import pytest
from mmengine import registry as registries
from mmengine.config import Config
from mmengine.registry import HOOKS

from mdvision.commands import train as command
from mdvision.config.our_parts import use_our_parts
from tests.engine.starting import train, write_config
from tests.running import ENVIRONMENT, ROOT

STOCK = (
    'train_cfg.type=EpochBasedTrainLoop',
    'default_hooks.checkpoint.type=mmengine.CheckpointHook',
    'default_hooks.logger.type=LoggerHook',
    'log_processor.type=LogProcessor',
    'optim_wrapper.type=BFloat16OptimWrapper',
)


def types(node: object) -> list[str]:
    """Every ``type`` of a config."""
    if isinstance(node, dict):
        return [*([node['type']] if 'type' in node else []), *types(list(node.values()))]
    return [kind for one in node for kind in types(one)] if isinstance(node, list | tuple) else []


def class_of(name: str) -> type:
    every = [one for one in vars(registries).values() if isinstance(one, registries.Registry)]
    return next(found for found in (one.get(name) for one in every) if found is not None)


def test_every_name_in_the_config_of_a_run_is_the_class_that_ran(tmp_path, monkeypatch):
    runs = []
    monkeypatch.setattr(command, 'report_training', lambda runner, *_: runs.append(runner))
    train(write_config(tmp_path / 'toy.py', epochs=1), tmp_path / 'run', *STOCK)
    (runner,) = runs
    ran = [runner.model, *runner.hooks, runner.log_processor, runner.train_loop, *runner.param_schedulers]
    ran += [runner.optim_wrapper, runner.optim_wrapper.optimizer, *runner.val_evaluator.metrics]
    for loader in (runner.train_dataloader, runner.val_dataloader):
        ran += [loader.dataset, loader.sampler.inner]
    dumped = Config.fromfile(tmp_path / 'run' / 'toy.py').to_dict()
    for key in ('test_dataloader', 'test_evaluator'):
        dumped.pop(key)
    names = types(dumped)
    ours = ('BFloat16OptimWrapper', 'CheckpointHook', 'EpochLoop', 'LoggerHook', 'ProgressLog')
    others = ('DefaultSampler', 'LinearLR', 'SGD', 'ToyData', 'ToyMetric', 'ToyModel')
    assert set(names) == {*others, *(f'mdvision.{name}' for name in ours)}
    assert {class_of(name) for name in names} <= set(map(type, ran))


def test_that_config_builds_in_a_new_process(tmp_path):
    train(write_config(tmp_path / 'toy.py', epochs=1), tmp_path / 'run', *STOCK)
    lines = (
        'from mmengine.config import Config',
        'from mmengine.registry import HOOKS, LOG_PROCESSORS, LOOPS, OPTIM_WRAPPERS',
        f'cfg = Config.fromfile({str(tmp_path / "run" / "toy.py")!r})',
        'for part in cfg.default_hooks.values():',  # as mmengine finds them, without an import of mdvision
        '    assert HOOKS.get(part.type), part',
        'assert OPTIM_WRAPPERS.get(cfg.optim_wrapper.type)',
        'assert LOOPS.get(cfg.train_cfg.type) and LOG_PROCESSORS.get(cfg.log_processor.type)',
        'import tests.engine.toy',
        'from mdvision.engine.runner import Runner',
        'cfg.work_dir, cfg.train_cfg.max_epochs = cfg.work_dir + "_again", 2',
        'Runner.from_cfg(cfg).train()',
    )
    subprocess.run([sys.executable, '-c', '\n'.join(lines)], check=True, cwd=ROOT, env=ENVIRONMENT)
    assert (tmp_path / 'run_again' / 'epoch_2.pth').is_file()


def test_what_mmengine_takes_by_itself_is_written_down():
    cfg = dict(train_cfg=dict(by_epoch=False, max_iters=4))
    ours = use_our_parts(cfg)
    assert cfg == dict(train_cfg=dict(by_epoch=False, max_iters=4))
    assert ours['train_cfg'] == dict(type='mdvision.IterLoop', max_iters=4)
    assert ours['log_processor'] == dict(type='mdvision.ProgressLog')
    assert ours['default_hooks'] == dict(
        logger=dict(type='mdvision.LoggerHook'),
        checkpoint=dict(type='mdvision.CheckpointHook', interval=1),
    )
    assert use_our_parts(ours) == ours


class OwnHook(mmengine.hooks.CheckpointHook):
    """Of a user."""


@pytest.mark.parametrize('kind', ['CheckpointHook', 'mmdet.CheckpointHook', mmengine.hooks.CheckpointHook])
def test_ours_are_used_wherever_a_hook_may_stand(kind):
    cfg = Config(
        dict(
            default_hooks=dict(checkpoint=None, second=dict(type=kind, interval=2)),
            custom_hooks=[dict(type=kind), dict(type=OwnHook), dict(type='other.CheckpointHook')],
        )
    )
    ours = use_our_parts(cfg)
    assert ours.default_hooks.checkpoint is None  # taken out by the config
    assert ours.default_hooks.second == dict(type='mdvision.CheckpointHook', interval=2)
    names = [hook.type for hook in ours.custom_hooks]
    assert names == ['mdvision.CheckpointHook', OwnHook, 'other.CheckpointHook']
    assert HOOKS.get(names[0]).__module__ == 'mdvision.engine.hooks.checkpoint'
