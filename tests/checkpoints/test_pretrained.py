"""init_cfg and the hosts' load_checkpoint load weights of this model, or say which were expected and came."""

from pathlib import Path

import mmengine.runner.checkpoint as host
import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel, BaseModule
from mmengine.registry import MODELS
from torch import nn

from mdvision import UserError
from mdvision.checkpoints import pretrained
from tests.engine.toy import ToyModel, make_runner


@MODELS.register_module(force=True)
class Part(BaseModule):
    def __init__(self, width: int = 4, init_cfg=None):
        super().__init__(init_cfg)
        self.inner = nn.Linear(3, width)
        self.outer = nn.Linear(width, 2)


@MODELS.register_module(force=True)
class Whole(BaseModel):
    def __init__(self, backbone=None, init_cfg=None, data_preprocessor=None):
        super().__init__(data_preprocessor, init_cfg)
        self.backbone = MODELS.build(backbone or dict(type='Part'))
        self.head = nn.Linear(2, 100)

    def forward(self, inputs):
        return inputs


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / 'whole.pth'
    torch.save(dict(state_dict=Whole().state_dict()), path)
    return path


def start(file: Path | str, **more) -> dict:
    return dict(type='Pretrained', checkpoint=str(file), **more)


def test_weights_of_the_model_are_loaded(file):
    part = Part(init_cfg=start(file, prefix='backbone'))
    part.init_weights()
    assert torch.equal(part.inner.weight, torch.load(file)['state_dict']['backbone.inner.weight'])


@pytest.mark.fault('6.13')
def test_without_the_prefix_nothing_would_be_loaded(file):
    with pytest.raises(UserError, match='belong to another model than Part: 0 of its 4 tensors') as error:
        Part(init_cfg=start(file)).init_weights()
    text = str(error.value)
    assert text.startswith(f"init_cfg=dict(type='Pretrained', checkpoint='{file}') of Part: ")
    assert 'the model has: inner.weight, inner.bias, outer.weight, outer.bias' in text
    assert 'the file has: backbone.inner.weight, backbone.inner.bias' in text


@pytest.mark.fault('6.13')
def test_the_file_of_another_model(tmp_path):
    path = tmp_path / 'other.pth'
    torch.save(Part(width=64).state_dict(), path)
    # outer.bias has the same shape in both.
    with pytest.raises(UserError, match='than Part: 1 of its 4 tensors are among the 4 in the file'):
        Part(init_cfg=start(path)).init_weights()


@pytest.mark.fault('6.13')
def test_a_training_of_ours_does_not_begin_with_it(tmp_path, file):
    with pytest.raises(UserError, match=r"checkpoint='.*whole\.pth'.* of ToyModelWithStart: .*another model"):
        make_runner(tmp_path / 'run', model=dict(type='ToyModelWithStart', init_cfg=start(file))).train()


@MODELS.register_module(force=True)
class ToyModelWithStart(ToyModel):
    def __init__(self, init_cfg):
        super().__init__()
        self.init_cfg = init_cfg


@pytest.mark.fault('6.14')
@pytest.mark.parametrize('checkpoint, message', [
    ('gone.pth', r'of Part: Checkpoint .*gone\.pth does not exist\. .* holds: whole\.pth'),
    ('torchvision://resnet5', r"of Part: torchvision://resnet5: there is no such model\. Did you mean"),
])  # fmt: skip
def test_a_file_that_is_not_there(file, checkpoint, message):
    with pytest.raises(UserError, match=message):
        Part(init_cfg=start(checkpoint if '://' in checkpoint else file.with_name(checkpoint))).init_weights()


@pytest.mark.fault('6.14')
def test_a_prefix_that_the_file_does_not_have(file):
    with pytest.raises(
        UserError, match=r"prefix='neckx'\) of Part: no tensor .* begins with 'neckx\.'; they begin"
    ) as error:
        Part(init_cfg=start(file, prefix='neckx')).init_weights()
    assert 'they begin with backbone., head.' in str(error.value)


@pytest.mark.fault('6.6')
@pytest.mark.parametrize('keep', [0, 0.5])
def test_a_file_that_is_cut_short(file, keep):
    file.write_bytes(file.read_bytes()[: int(keep * file.stat().st_size)])
    with pytest.raises(UserError, match=r'of Part: Checkpoint .*whole\.pth .* cannot be read: .*truncated'):
        Part(init_cfg=start(file, prefix='backbone')).init_weights()


def test_a_small_part_that_fits_as_a_whole_is_loaded(tmp_path):
    """As an adapter, or the weights of one new layer."""
    path = tmp_path / 'adapter.pth'
    torch.save({'module.backbone.outer.bias': torch.ones(2)}, path)
    model = Whole()
    host.load_checkpoint(model, str(path))
    assert model.backbone.outer.bias.sum() == 2


@pytest.mark.fault('6.12')
def test_a_classifier_in_a_detector_of_mmdet(tmp_path):
    from mmdet.apis import init_detector

    path = tmp_path / 'classifier.pth'
    torch.save(dict(state_dict={'head.fc.weight': torch.zeros(9, 9)}, meta={}), path)
    config = Config(dict(model=dict(type='Whole', backbone=dict(type='Part'))))
    with pytest.raises(UserError, match='belong to another model than Whole: 0 of its 6 tensors'):
        init_detector(config, str(path), device='cpu')


def test_an_mmengine_of_another_make_is_an_import_error(monkeypatch):
    monkeypatch.setattr(host, 'load_state_dict', lambda module, weights: None)
    with pytest.raises(ImportError, match=r'does not know this version .*load_state_dict takes'):
        pretrained.install()
