"""The page of published accuracies says what its tables say."""

import json
import shlex
from pathlib import Path

import pytest

from mdvision.records.ledger import changes_recipe, config_for, gpu_hours, published, render_ledger

ROOT = Path(__file__).resolve().parents[2]
HEADER = 'config,metric,value,seed,parameters,minutes,hardware,versions,date,command\n'


def test_every_published_accuracy_has_a_line():
    lines = [line for line in render_ledger(ROOT).splitlines() if line.startswith('| ')]
    for row in published(ROOT):
        start = f'| {row["name"]} | {row["data"]} | {row["metric"]} | {row["value"]} |'
        assert sum(line.startswith(start) for line in lines) == 1


@pytest.fixture
def root(tmp_path):
    configs, results = tmp_path / 'configs' / 'family', tmp_path / 'results'
    configs.mkdir(parents=True)
    results.mkdir()
    for name in ('net_cifar10', 'net_finetune_cifar10', 'net_imagenet'):
        (configs / f'{name}.py').touch()
    accuracy = [
        dict(metric='top-1 %', data='CIFAR-10', value='90.0'),
        dict(metric='top-1 %', data='CIFAR-10, fine-tuned', value='95.0'),
        dict(metric='top-5 %', data='ImageNet-1K', value='91.0'),
        dict(metric='top-1 %', data='CIFAR-100', value='70.0'),
        dict(metric='top-1 %', data='NEBP (private)', value='99.0'),
    ]
    (results / 'reported.json').write_text(
        json.dumps([dict(name='net_cifar', source='someone/net', accuracy=accuracy)])
    )
    (results / 'results.csv').write_text(HEADER)
    return tmp_path


def test_what_was_run_has_mean_spread_seeds_hardware_and_time(root):
    row = 'configs/family/net_cifar10.py,accuracy/top1,{},{},7,{},CPU,v,2026-01-01,python tools/train.py{}\n'
    rows = row.format('89.0', 0, 10, '') + row.format('91.0', 1, 20, '')
    (root / 'results' / 'results.csv').write_text(HEADER + rows)
    page = render_ledger(root)
    link = '[`python tools/train.py configs/family/net_cifar10.py`](../configs/family/net_cifar10.py)'
    assert f'| 90.0 | 90.00 ± 1.41, seeds 0, 1 | CPU, 15 min | {link} |' in page
    (root / 'results' / 'results.csv').write_text(HEADER + row.format('89.0', 0, 10, ' --cfg-options a=1'))
    assert '| 89.00, seed 0, with other settings than the config' in render_ledger(root)


def test_what_was_not_run_has_an_estimate_or_a_reason(root):
    (root / 'results' / 'gpu_hours.csv').write_text(
        'config,macs,images,epochs\nconfigs/family/net_imagenet.py,4000000000,1281167,100\n'
    )
    page = render_ledger(root)
    assert '| 95.0 | not run | - | [`python tools/train.py configs/family/net_finetune_cifar10.py`]' in page
    assert '| 91.0 | not run | needs about 150 GPU hours (estimate) | [`python' in page
    assert '| 70.0 | not run: no config yet | - | - |' in page
    assert '| 99.0 | not possible: the data is not public | - | - |' in page


def test_options_that_change_nothing_do_not_count_as_another_recipe():
    train = 'python tools/train.py configs/a/b.py --work-dir w'
    hook = shlex.quote("custom_hooks=[{'type': 'mdvision.compare.epoch_seed.EpochSeedHook'}]")
    assert not changes_recipe(train)
    assert not changes_recipe(
        f'{train} --cfg-options {hook} train_dataloader.dataset.data_root=/d --threads 1'
    )
    assert changes_recipe(f'{train} --cfg-options train_cfg.max_epochs=3 {hook}')


def test_the_estimate_by_hand():
    # 2 x 3 x 1e9 x 1e6 x 10 = 6e16 operations at 5.85e12 a second
    assert gpu_hours(10**9, 10**6, 10) == pytest.approx(6e16 / 5.85e12 / 3600)


def test_a_config_is_found_by_model_and_data(root):
    assert config_for(root, 'net_cifar', 'CIFAR-10 (2.27M parameters)') == 'configs/family/net_cifar10.py'
    assert config_for(root, 'net', 'CIFAR-10, from scratch') == 'configs/family/net_cifar10.py'
    assert config_for(root, 'net', 'CIFAR-10, fine-tuned') == 'configs/family/net_finetune_cifar10.py'
    assert config_for(root, 'other', 'CIFAR-10') is None


@pytest.mark.parametrize(
    ('options', 'changed'),
    [
        ('--cfg-options data_root=/x', False),
        ('--cfg-options train_dataloader.dataset.data_root=/x', False),
        ('--seed 1 --threads 1', False),
        ('--ema 0.01', True),
        ('--amp=bf16', True),
        ('--backbone-from a.pth', True),
        ('--cfg-options data_root=/x train_cfg.max_epochs=1', True),
    ],
)
def test_which_options_change_what_is_trained(options, changed):
    assert changes_recipe(f'python tools/train.py c.py {options}') == changed
