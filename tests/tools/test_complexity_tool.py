"""tools/complexity.py, as a user runs it and in process."""

import argparse
import json

import pytest
import torch
from mmengine.registry import DefaultScope

from mdvision.commands.complexity import complexity
from mdvision.complexity import count as counting
from mdvision.errors import UserError
from mdvision.meta_device import meta_device
from mdvision.models.named import create_model
from tests.running import ROOT, run_tool, start_tool

MINI = 'configs/emanet/faster_rcnn_minivoc.py'


@pytest.fixture
def count(capsys, monkeypatch):
    """The tool's work without a process of its own; what it printed."""
    monkeypatch.chdir(ROOT)

    def run(model, size=None, options=(), as_json=False):
        complexity(argparse.Namespace(model=model, size=size, cfg_options=list(options), json=as_json))
        printed = capsys.readouterr().out
        DefaultScope._instance_dict.clear()
        return json.loads(printed) if as_json else printed

    return run


def test_a_name():
    printed = run_tool('complexity.py', 'resnet50_cifar')
    assert 'resnet50_cifar: one image of 3 x 32 x 32' in printed
    lines = {line.split()[0]: line.split()[1:] for line in printed.splitlines() if line}
    assert lines['backbone.layer1'] == ['215,808', '218,103,808', '218.104', 'M', '1,441,792']
    assert lines['head'] == ['20,490', '20,480', '20.480', 'k', '10']
    assert lines['total'] == ['23,520,842', '1,297,829,888', '1.298', 'G', '3,432,458']
    assert 'multiply-adds by kind: convolution 1.298 G, linear 20.480 k\n' in printed
    assert '193.5 MiB (202,868,520 bytes) in float32' in printed
    assert '1 G = 10^9' in printed


def test_a_two_stage_detector(count):
    printed = count(MINI)
    assert f'{MINI}: one image of 3 x 128 x 160' in printed  # 120 x 160, padded to a multiple of 32
    # 3 x 3 convolution at 7 x 7, three linear layers, 1 + 3 classes and one box
    region = 49 * 64 * 64 * 9 + 49 * 64 * 256 + 256 * (4 + 4)
    (line,) = (line for line in printed.splitlines() if line.startswith('roi_head for 100 regions'))
    assert f'{100 * region:,}' in line
    assert 'a training step on one image and 48 regions' in printed


def test_json_is_exact_and_alone(count):
    result = start_tool('complexity.py', MINI, '--json', '--cfg-options', 'model.test_cfg.rpn.max_per_img=50')
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found == count(MINI, options=['model.test_cfg.rpn.max_per_img=50'], as_json=True)
    assert (found['regions'], found['training_regions']) == (50, 48)
    assert found['macs'] == sum(stage['macs'] for stage in found['stages'].values())
    assert found['params'] == sum(stage['params'] for stage in found['stages'].values())
    all_regions = count(MINI, as_json=True)
    assert all_regions['stages']['roi_head']['macs'] == 2 * found['stages']['roi_head']['macs']
    assert all_regions['training_bytes'] == found['training_bytes']


def test_the_c4_detector_runs_its_last_stage_on_every_region(count):
    """RPN of 6.85e9 at 600 x 600: 38 x 38 positions, 1024 -> 512 by 3 x 3, then 18 and 36 by 1 x 1."""
    found = count('configs/emanet/faster_rcnn_c4_voc.py', size=(600, 600), as_json=True)
    assert found['params'] == 25_011_050
    assert found['stages']['rpn_head']['macs'] == 38 * 38 * 512 * (1024 * 9 + 18 + 36)
    with meta_device():
        net = create_model('emanet50').backbone
        stage = counting.count(net.layer4, torch.empty(1, 1024, 14, 14))
    outputs = 2048 * (21 + 80)
    assert found['stages']['roi_head']['macs'] == 300 * (stage.macs + outputs)


HOSTS = {
    'classifier.py': "_base_ = 'mmpretrain::resnet/resnet18_8xb32_in1k.py'\n",
    'without_size.py': "_base_ = 'mmpretrain::resnet/resnet18_8xb16_cifar10.py'\n",
    'one_stage.py': "_base_ = 'mmdet::retinanet/retinanet_r18_fpn_1x_coco.py'\n",
    'cascade.py': "_base_ = 'mmdet::cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py'\n",
    'built_by_value.py': "_base_ = 'mmpretrain::swin_transformer/swin-tiny_16xb64_in1k.py'\n",
    'plain.py': "model = dict(type='mmengine.BaseModule')\n",
    'nothing.py': 'a = 1\n',
}


@pytest.fixture
def config(tmp_path):
    def write(name):
        (tmp_path / name).write_text(HOSTS[name])
        return str(tmp_path / name)

    return write


def test_configs_of_the_hosts(count, config):
    classifier = count(config('classifier.py'), as_json=True)
    assert classifier['image'] == [3, 224, 224]
    assert (classifier['macs'], classifier['params']) == (1_814_073_344, 11_689_512)
    swin = count(config('built_by_value.py'), as_json=True)
    assert swin['params'] == 28_288_354
    assert swin['macs_by_kind']['attention'] == sum(
        blocks * 2 * (side // 7) ** 2 * 49 * 49 * width
        for blocks, side, width in ((2, 56, 96), (2, 28, 192), (6, 14, 384), (2, 7, 768))
    )
    retina = count(config('one_stage.py'), size=(64, 96), as_json=True)
    assert retina['regions'] is None
    assert retina['stages']['bbox_head']['macs'] > 0
    cascade = count(config('cascade.py'), size=(64, 96), as_json=True)
    three_heads = 3 * (256 * 49 * 1024 + 1024 * 1024 + 1024 * (81 + 4))
    assert cascade['stages']['roi_head']['macs'] == 1000 * three_heads


def test_a_size_and_arguments_of_the_backbone(count):
    small = count('resnet50', size=(64, 96), options=['depth=101', 'base_channels=32'], as_json=True)
    assert small['image'] == [3, 64, 96]
    assert small['model'] == 'resnet50 depth=101 base_channels=32'
    grey = count('resnet18_cifar', options=['in_channels=1'], as_json=True)
    assert grey['image'] == [1, 32, 32]


def test_a_model_that_cannot_train_on_one_image_is_counted_nevertheless(count):
    printed = count('resnet50_cifar', size=(8, 8))
    assert '81,133,568' in printed
    assert 'a training step on one image is not possible: Expected more than 1 value per channel' in printed


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(model='emanet5'), "no model is called 'emanet5'. Did you mean 'emanet50'"),
        (dict(model='faster_rcnn_minivoc'), f'There is a config of this name: {MINI}.'),
        (dict(model='configs/emanet/faster_rcn_voc.py'), 'does not exist'),
        (dict(model='resnet50', options=['dpth=101']), "no argument 'dpth'. Did you mean 'depth'"),
        (dict(model='resnet50', options=['depth']), 'expected KEY=VALUE'),
        (dict(model=MINI, options=['model.backbone.dpth=101']), "no key 'dpth'. Did you mean 'depth'"),
        (dict(model='dems_vit_tiny', size=(33, 33)), 'multiples of 16'),
    ],
)
def test_bad_input(count, arguments, message):
    with pytest.raises(UserError) as error:
        count(**arguments)
    assert message in str(error.value)


def test_configs_without_a_size_or_a_model(count, config):
    with pytest.raises(UserError, match=r'image size is unknown\. Set it, for example with --size 224 224'):
        count(config('without_size.py'))
    assert count(config('without_size.py'), size=(32, 32), as_json=True)['macs'] == 555_422_720
    with pytest.raises(UserError, match='has no model'):
        count(config('nothing.py'))


def test_the_message_of_an_error_is_one_line_without_a_traceback():
    result = start_tool('complexity.py', 'emanet5')
    assert result.returncode == 1
    assert result.stderr.strip().startswith("Error: no model is called 'emanet5'.")
    assert 'Traceback' not in result.stderr
    assert start_tool('complexity.py', 'resnet50', '--size', '0', '5').returncode == 2
