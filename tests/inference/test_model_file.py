"""A model file is whole, or one message says what is wrong with it; nothing in it is executed."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from safetensors.torch import load_file, save_file
from torch import nn

import mdvision
from mdvision.errors import UserError
from mdvision.registry import MODELS
from mdvision.work_dir.model_file import describe, parse_config, read_model, write_model
from tests.inference.conftest import CLASSES, random_model, small_classifier, small_detector


@pytest.fixture
def folder(shared_detector, tmp_path) -> Path:
    """A copy of a detector's model file, to be damaged."""
    return Path(shutil.copytree(shared_detector, tmp_path / 'model'))


def changed(folder: Path, change) -> Path:
    content = json.loads((folder / 'model.json').read_text())
    change(content)
    (folder / 'model.json').write_text(json.dumps(content))
    return folder


def test_a_model_survives_its_file(shared_detector, pictures):
    cfg = small_detector('attention/resnet18_faster_rcnn_voc.py')
    wanted = random_model(cfg).state_dict()
    for path in (shared_detector, shared_detector / 'model.json', shared_detector / 'model.safetensors'):
        loaded = mdvision.load(path, device='cpu')
        assert (loaded.task, loaded.classes) == ('detection', CLASSES)
        state = loaded.model.state_dict()
        assert state.keys() == wanted.keys()
        assert all(torch.equal(state[key], wanted[key]) for key in wanted)
        assert not loaded.model.training
    assert loaded.config['pipeline'][1]['scale'] == (96, 96)  # a tuple again, which Resize insists on
    assert repr(loaded) == '<detection small: 3 classes>'


def test_the_json_is_json(shared_classifier):
    def refuse(constant):
        raise AssertionError(constant)

    content = json.loads((shared_classifier / 'model.json').read_text(), parse_constant=refuse)
    assert content['classes'] == ['cat', 'dog', 'owl']
    assert content['weights']['bytes'] == (shared_classifier / 'model.safetensors').stat().st_size


def test_half_precision_on_disk_is_single_precision_in_use(tmp_path):
    cfg = small_classifier()
    model = random_model(cfg)
    write_model(tmp_path, describe(cfg, ('cat', 'dog', 'owl'), 'half'), model.half().state_dict())
    assert load_file(tmp_path / 'model.safetensors')['head.fc.weight'].dtype == torch.float16
    assert mdvision.load(tmp_path, device='cpu').model.head.fc.weight.dtype == torch.float32


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('model.json', 'model.safetensors has no model.json beside it'),
        (
            'model.safetensors',
            r'model.safetensors is missing: the weights \([\d,]+ bytes\) that model.json is about',
        ),
    ],
)
def test_half_a_model(folder, name, message):
    (folder / name).unlink()
    with pytest.raises(UserError, match=message):
        mdvision.load(folder)


def test_damaged_weights(folder):
    file = folder / 'model.safetensors'
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(UserError, match=r'is damaged, or belongs to another model.json: equal size, SHA-256'):
        mdvision.load(folder)
    file.write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=r'[\d,]+ bytes instead of [\d,]+, SHA-256'):
        mdvision.load(folder)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{"format": "mdvision', 'model.json is damaged or no JSON'),
        ('[1, 2]', "expected format 'mdvision model 1', got 'list'"),
        ('{"format": "pt"}', "is no model file of mdvision: expected format 'mdvision model 1', got 'pt'"),
        (
            '{"format": "mdvision model 1", "name": "x"}',
            'is incomplete: it has no task, classes, config, weights',
        ),
    ],
)
def test_another_json(folder, text, message):
    (folder / 'model.json').write_text(text)
    with pytest.raises(UserError, match=message):
        mdvision.load(folder)


def test_weights_of_another_model(folder, shared_classifier):
    content = json.loads((shared_classifier / 'model.json').read_text())
    shutil.copy(shared_classifier / 'model.safetensors', folder)
    changed(folder, lambda here: here.update(weights=content['weights']))
    with pytest.raises(UserError, match='The weights are not those of the config beside them'):
        mdvision.load(folder)


def test_what_is_no_model(tmp_path):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'weights.bin').write_bytes(b'0')
    for path, message in [
        (tmp_path / 'empty', 'The folder .*empty has no model.json'),
        (tmp_path / 'nothing.pth', 'There is no model file .*nothing.pth'),
        (
            tmp_path / 'weights.bin',
            r"expected a model file \(.json or .safetensors\) or a checkpoint.*got '.bin'",
        ),
    ]:
        with pytest.raises(UserError, match=message):
            mdvision.load(path)


def test_checkpoints_of_other_programs(tmp_path):
    state = nn.Linear(2, 2).state_dict()
    torch.save(state, tmp_path / 'bare.pth')
    torch.save(dict(state_dict=state, meta=dict(cfg='model = dict()')), tmp_path / 'unnamed.pth')
    save_file(state, tmp_path / 'lonely.safetensors')
    for name, message in [
        ('bare.pth', 'holds weights, but no config: it is no checkpoint of a run of mdvision'),
        ('unnamed.pth', 'holds weights, but no class names'),
        ('lonely.safetensors', 'has no lonely.json beside it'),
    ]:
        with pytest.raises(UserError, match=message):
            mdvision.load(tmp_path / name)


def test_a_config_in_a_checkpoint_is_read_and_not_executed(tmp_path):
    marker = tmp_path / 'executed'
    assert parse_config('a=1\nb=dict(type="X", c=(1, None), d=[dict(e="f")])', tmp_path) == dict(
        a=1, b=dict(type='X', c=(1, None), d=[dict(e='f')])
    )
    for text in (f'a = open({str(marker)!r}, "w")', 'import os', 'a = [x for x in (1,)]', 'a = b', 'a +'):
        with pytest.raises(UserError, match='is not one that mdvision writes, and it is not executed'):
            parse_config(text, tmp_path)
    assert not marker.exists()


@pytest.mark.parametrize(
    'kind', ['os.system', 'subprocess.run', 'mmdet.x.y', 'builtins.exec', 'torch.nn.Module', 7]
)
def test_a_type_that_is_a_path_to_an_object_is_refused(folder, kind):
    def change(content):
        content['config']['model']['neck']['type'] = kind

    with pytest.raises(UserError, match='is no registered class'):
        mdvision.load(changed(folder, change))


@pytest.mark.parametrize('kind', ['mmengine.dump', 'mmengine.fileio', 'torchvision.io', 'this'])
def test_what_is_registered_nowhere_is_not_even_imported(folder, kind):
    """mmengine would import a module of that name, and call a function."""

    def change(content):
        content['config']['model']['neck'] = dict(type=kind)

    before = set(sys.modules)
    with pytest.raises(UserError, match=r'no class .* is registered'):
        mdvision.load(changed(folder, change))
    assert kind not in set(sys.modules) - before


def test_another_scope_is_refused(folder):
    with pytest.raises(UserError, match='expected default_scope to be one of mmpretrain, mmdet'):
        mdvision.load(changed(folder, lambda content: content['config'].update(default_scope='antigravity')))


def test_a_class_of_the_users_own_is_asked_for(tmp_path):
    cfg = small_classifier()
    description = describe(cfg, ('cat', 'dog', 'owl'), 'mine')
    description['config']['model']['backbone'] = dict(type='BackboneOfMine')
    description['config']['custom_imports'] = dict(imports=['my_backbone'])
    write_model(tmp_path, description, nn.Linear(2, 2).state_dict())
    with pytest.raises(
        UserError, match=r"BackboneOfMine.*Import the module.*\(the run imported \['my_backbone'\]\)"
    ):
        mdvision.load(tmp_path)
    assert MODELS.get('BackboneOfMine') is None


def test_a_config_that_predicts_nothing(tmp_path):
    for cfg, message in [
        (dict(default_scope='mmengine', model={}), "expected default_scope='mmpretrain'"),
        (dict(default_scope='mmdet', model={}), 'has no test pipeline'),
    ]:
        with pytest.raises(UserError, match=message):
            describe(Config(cfg), CLASSES, 'x')


def test_a_nan_in_the_weights(folder):
    weights = load_file(folder / 'model.safetensors')
    weights['backbone.conv1.weight'][0] = np.nan
    description, _ = read_model(folder)
    write_model(folder, description, weights)
    with pytest.raises(
        UserError, match=r'1 tensors contain NaN or infinity, for example backbone\.conv1\.weight'
    ):
        mdvision.load(folder)
