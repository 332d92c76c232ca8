"""tools/check.py finds what is wrong before a training is started, and says whether it may start."""

import argparse
import json

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS

from mdvision import UserError
from mdvision.checks import run as run_checks
from mdvision.checks.run import check_classes, check_run, checkpoint_bytes
from mdvision.commands import check as module
from mdvision.commands import faults
from mdvision.commands.check import check, check_and_print
from mdvision.console import import_upstream
from mdvision.findings import Finding
from tests.data_sets import write_image_folder
from tests.engine.toy import ToyModel, make_runner
from tests.running import ROOT


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return write_image_folder(tmp_path_factory.mktemp('data'), ('ant', 'bee'), count=4)


@pytest.fixture
def arguments(folder, tmp_path, monkeypatch):
    """Arguments of the tool for a small classifier on four pictures a class."""
    monkeypatch.chdir(tmp_path)

    def make(*overrides: str, text: str = '', **more) -> argparse.Namespace:
        file = tmp_path / 'mine.py'
        file.write_text(f"_base_ = '{ROOT}/configs/image_folder/resnet18.py'\n{text}\n")
        small = [
            f'data_root={folder}', 'model.backbone.base_channels=8',
            'train_dataloader.batch_size=2', 'train_dataloader.dataset.pipeline.1.scale=32',
            'val_dataloader.dataset.pipeline.1.scale=36', 'val_dataloader.dataset.pipeline.2.crop_size=32',
        ]  # fmt: skip
        defaults = dict(
            config=str(file), cfg_options=[*small, *overrides], work_dir=None, device='cpu', launcher='none',
            threads=1, workers=0, allow_partial=False, debug=False, amp=None, ema=None, backbone_from=None,
            init_from=None, auto_scale_lr=False, seed=None, quick=True, json=False,
        )  # fmt: skip
        return argparse.Namespace(**(defaults | more))

    return make


def texts(findings: list[Finding], severity: str) -> str:
    return '\n'.join(str(finding) for finding in findings if finding.severity == severity)


def test_a_sound_training_may_start_and_nothing_is_left_behind(arguments, tmp_path, capsys):
    check_and_print(arguments(quick=False))
    said = capsys.readouterr().out
    for part in ('config', 'model and data', 'run', 'memory', 'steps'):
        assert f'check: {part}' in said
    assert 'dry run passed' in said
    assert '8 examples of 2 classes: from 4 of ant to 4 of bee' in said
    assert 'nothing stands in the way' in said
    assert [path.name for path in tmp_path.iterdir()] == ['mine.py']


@pytest.mark.parametrize(
    ('overrides', 'text', 'where', 'message'),
    [
        ((), 'optim_wraper = dict()', 'mine.py:2', "Did you mean 'optim_wrapper'"),
        ((), 'train_cfg = dict(max_epoch=1)', 'train_cfg', "Did you mean 'max_epochs'"),
        (('optim_wrapper.optimizer.type=SGDD',), '', 'optim_wrapper.optimizer.type', "Did you mean 'SGD'"),
        (('train_dataloader.num_workers=-1',), '', 'train_dataloader.num_workers', 'got -1'),
        (('data_root=nowhere',), '', 'config', 'nowhere'),
        (('model.head.num_classes=3',), '', 'num_classes', 'num_classes is 3'),
    ],
)
def test_an_error_is_a_finding_with_its_place(arguments, overrides, text, where, message):
    (found,) = [f for f in check(arguments(*overrides, text=text)) if f.severity == 'error']
    assert found.where.endswith(where)
    assert message in str(found)


@pytest.mark.fault('3.13')
def test_wrong_channels_are_found_by_the_steps(arguments):
    said = texts(check(arguments('model.head.in_channels=512', quick=False)), 'error')
    assert 'model.head.fc (Linear) failed: expected 512 in_features, got 64' in said


@pytest.mark.fault('3.4')
def test_a_best_metric_that_is_not_measured_is_found_by_the_steps(arguments):
    said = texts(check(arguments('default_hooks.checkpoint.save_best=acc/top1', quick=False)), 'error')
    assert "'acc/top1'" in said and "'accuracy/top1'" in said


def test_json_and_the_exit_status_say_whether_it_may_train(arguments, capsys):
    assert faults.run(check_and_print, arguments(json=True)) == 0
    found = json.loads(capsys.readouterr().out)
    assert found['may_train'] is True
    assert faults.run(check_and_print, arguments('model.head.num_classes=3', json=True)) == 1
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert found['may_train'] is False
    assert {'severity', 'where', 'text', 'fix'} == set(found['findings'][0])
    assert 'is not ready: 1 error' in captured.err


@MODELS.register_module(force=True)
class ToyWithIdlePart(ToyModel):
    def __init__(self):
        super().__init__()
        self.idle = torch.nn.Linear(2, 2)


@pytest.mark.fault('5.11')
def test_parameters_without_a_gradient_are_named(tmp_path):
    runner = make_runner(tmp_path, model=dict(type='ToyWithIdlePart'))
    record = module._Gradients()
    record.watch(runner)
    runner.train()
    (found,) = record.findings()
    assert 'idle.bias, idle.weight' in found.text
    assert 'find_unused_parameters=True' in found.fix
    runner = make_runner(tmp_path / 'whole')
    record = module._Gradients()
    record.watch(runner)
    runner.train()
    assert record.findings() == []


def test_what_is_odd_about_a_run_is_said(tmp_path, monkeypatch):
    runner = make_runner(
        tmp_path,
        default_hooks=dict(logger=dict(type='LoggerHook', interval=500)),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=40.0)),
    )
    runner.build_train_loop(runner.cfg.train_cfg)
    findings = check_run(runner, tmp_path)
    assert '40 is more than in any known recipe' in texts(findings, 'warning')
    assert '500 is more than the 4 iterations' in texts(findings, 'warning')
    assert 'does not say for which batch size this learning rate is; the batch size is 2' in texts(
        findings, 'note'
    )
    assert texts(findings, 'error') == ''
    usage = type('Usage', (), dict(free=10))
    monkeypatch.setattr(run_checks.shutil, 'disk_usage', lambda folder: usage)
    assert 'checkpoints of 0.0 MiB need' in texts(check_run(runner, tmp_path / 'not' / 'there'), 'error')


@pytest.mark.parametrize('kind', ['SGD', 'torch.optim.SGD', torch.optim.SGD])
@pytest.mark.parametrize(
    ('rate', 'auto', 'said'),
    [
        (40.0, dict(enable=False, base_batch_size=1), '40 is more than in any known recipe with SGD'),
        (3.0, dict(enable=True, base_batch_size=1), '6 (3 scaled to the batch size) is more than in any'),
        (3.0, dict(enable=False, base_batch_size=1), ''),
        (40.0, dict(enable=True, base_batch_size=32), ''),
    ],
)
def test_a_learning_rate_is_judged_as_it_is_used(kind, rate, auto, said, tmp_path):
    wrapper = dict(optimizer=dict(type=kind, lr=rate))
    runner = make_runner(tmp_path, optim_wrapper=wrapper, auto_scale_lr=auto)
    assert runner.cfg.train_dataloader.batch_size == 2
    runner.build_train_loop(runner.cfg.train_cfg)
    found = texts(check_run(runner, tmp_path), 'warning')
    assert said in found
    assert ('known recipe' in found) == bool(said)
    if '(3 scaled' in said:
        assert 'try 0.2 or less' in found


def test_the_size_of_a_checkpoint_is_that_of_its_file(tmp_path):
    for kind, more in (('SGD', dict(momentum=0.9)), ('SGD', {}), ('AdamW', {})):
        work_dir = tmp_path / f'{kind}{len(more)}'
        big = dict(type='ToyBig')
        runner = make_runner(
            work_dir, epochs=1, model=big, optim_wrapper=dict(optimizer=dict(type=kind, lr=0.01, **more))
        )
        runner.train()
        written = (work_dir / 'epoch_1.pth').stat().st_size
        assert checkpoint_bytes(runner) == pytest.approx(written, rel=0.05)


@MODELS.register_module(force=True)
class ToyBig(ToyModel):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Sequential(torch.nn.Linear(3, 200_000), torch.nn.Linear(200_000, 1))


class Labels:
    metainfo = dict(classes=('a', 'b', 'c'))

    def __init__(self, labels):
        self.labels = labels

    def __len__(self):
        return len(self.labels)

    def get_data_info(self, index):
        return self.labels[index]


def test_classes_are_counted():
    boxes = [dict(instances=[dict(bbox_label=0), dict(bbox_label=2)]), dict(instances=[])]
    found = check_classes(Labels(boxes))
    assert '1 of 3 classes have no example: b' in texts(found, 'warning')
    assert 'from 1 of a to 1 of c' in texts(found, 'note')
    rare = [dict(gt_label=0)] * 200 + [dict(gt_label=1), dict(gt_label=2)]
    assert 'from 1 of b to 200 of a' in texts(check_classes(Labels(rare)), 'warning')
    assert check_classes(object()) == []


def test_the_config_of_a_check_is_left_as_it_is(arguments):
    import_upstream('mmpretrain')
    args = arguments()
    before = Config.fromfile(args.config).pretty_text
    check(args)
    assert Config.fromfile(args.config).pretty_text == before
    with pytest.raises(UserError, match='not ready'):
        check_and_print(arguments('data_root=nowhere'))
