"""A detector that starts with the backbone of a classifier."""

import pytest
import torch
from mmengine.registry import init_default_scope
from torch import nn

import mdvision
from mdvision import UserError
from mdvision.checkpoints.reading import load_backbone
from mdvision.console import import_upstream
from mdvision.registry import MODELS
from tests.engine.toy import make_runner

NARROW = dict(stem='imagenet', base_channels=16, stage_blocks=(1, 1, 1, 1))


class Detector(nn.Module):
    """What counts: a backbone, and possibly a shared head with its last stage."""

    def __init__(self, backbone: dict, shared: dict | None = None):
        super().__init__()
        self.backbone = MODELS.build(backbone)
        self.head = nn.Linear(3, 3)
        if shared:
            self.roi_head = nn.Module()
            self.roi_head.shared_head = MODELS.build(shared)


def narrow(**arguments) -> dict:
    return dict(type='mdvision.AttentionResNet', depth=50, **NARROW, **arguments)


@pytest.fixture
def classifier(tmp_path):
    """The file of a trained classifier, and its state dict."""
    torch.manual_seed(1)
    model = mdvision.create_model('resnet50', num_classes=7, **NARROW)
    path = tmp_path / 'classifier.pth'
    torch.save(dict(meta={}, state_dict=model.state_dict()), path)
    return path, model.state_dict()


def test_every_tensor_of_the_backbone_is_taken_and_no_other(classifier):
    path, given = classifier
    model = Detector(narrow(out_indices=(0, 1, 2, 3)))
    head = model.head.weight.clone()
    line = load_backbone(model, str(path))
    names = [name for name in given if name.startswith('backbone.')]
    assert line == f'{len(names)} of {len(names)} tensors matched (100.0 % of the parameters)'
    for name in names:
        assert torch.equal(model.state_dict()[name], given[name]), name
    assert torch.equal(model.head.weight, head)


def test_the_last_stage_of_a_c4_detector_lies_in_its_head(classifier):
    path, given = classifier
    shared = dict(type='mdvision.StageHead', backbone=narrow())
    model = Detector(narrow(num_stages=3, out_indices=(2,)), shared)
    assert '100.0 %' in load_backbone(model, str(path))
    own = model.state_dict()
    stage = [name for name in given if name.startswith('backbone.layer4.')]
    assert stage
    for name in stage:
        assert torch.equal(own[name.replace('backbone.', 'roi_head.shared_head.')], given[name])


def test_a_c4_detector_gives_its_last_stage_too(tmp_path):
    torch.manual_seed(2)
    shared = dict(type='mdvision.StageHead', backbone=narrow())
    detector = Detector(narrow(num_stages=3, out_indices=(2,)), shared)
    torch.save(dict(state_dict=detector.state_dict()), tmp_path / 'c4.pth')
    model = Detector(narrow(out_indices=(0, 1, 2, 3)))
    assert '100.0 %' in load_backbone(model, str(tmp_path / 'c4.pth'))
    assert torch.equal(
        model.backbone.layer4[0].conv1.weight, detector.roi_head.shared_head.layer4[0].conv1.weight
    )
    # A model that has the stage in both places gets it in both.
    both = Detector(narrow(out_indices=(0, 1, 2, 3)), shared)
    load_backbone(both, str(tmp_path / 'c4.pth'))
    assert torch.equal(both.backbone.layer4[0].conv1.weight, both.roi_head.shared_head.layer4[0].conv1.weight)


def test_another_backbone_is_an_error_unless_allowed(classifier):
    path, _ = classifier
    model = Detector(narrow(attention=dict(type='SqueezeExcite'), out_indices=(3,)))
    model.backbone.conv1 = nn.Conv2d(3, 16, 5)
    with pytest.raises(
        UserError, match=r'(?s)belongs to another model: .* of another shape: .*--allow-partial'
    ) as e:
        load_backbone(model, str(path), min_match=0.999)
    assert 'backbone.layer1.0.' in str(e.value)
    assert 'these keep their initial values' in load_backbone(model, str(path), min_match=0.0)


def test_less_than_nine_tenths_is_an_error(classifier):
    path, _ = classifier
    model = Detector(dict(narrow(out_indices=(3,)), base_channels=32))
    with pytest.raises(
        UserError, match=r'belongs to another model: \d+ of \d+ tensors matched \([0-8]?\d\.\d %'
    ):
        load_backbone(model, str(path))


def test_a_file_without_a_backbone(tmp_path):
    torch.save(dict(state_dict=dict(weight=torch.zeros(2))), tmp_path / 'other.pth')
    with pytest.raises(UserError, match='contains no backbone: none of its 1 tensors') as error:
        load_backbone(Detector(narrow()), str(tmp_path / 'other.pth'))
    assert str(error.value).endswith(
        '(the first: weight). Expected a checkpoint of an mdvision run, or a file written by '
        'tools/convert_weights.py.'
    )


def test_dems_vit_becomes_its_pyramid(tmp_path):
    model = mdvision.create_model('dems_vit_tiny', num_classes=3, embed_dim=24, num_heads=3)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'dems.pth')
    pyramid = dict(type='mdvision.DEMSViTPyramid', embed_dim=24, num_heads=3, patch_size=2)
    line = load_backbone(Detector(pyramid), str(tmp_path / 'dems.pth'))
    share = float(line.partition('(')[2].partition(' %')[0])
    assert 97 < share < 100  # all but the norms of the maps


def test_a_training_starts_with_it_and_a_resumed_one_does_not(tmp_path, monkeypatch):
    from mdvision.engine import runner as module

    asked = []
    monkeypatch.setattr(module, 'load_backbone', lambda model, path, share: asked.append((path, share)) or '')
    first = make_runner(tmp_path / 'a')
    first.cfg.backbone_from = 'start.pth'
    first.train()
    assert asked == [('start.pth', 0.9)]
    again = make_runner(tmp_path / 'a', epochs=3, resume=str(tmp_path / 'a' / 'epoch_2.pth'))
    again.cfg.backbone_from = 'start.pth'
    again.train()
    assert len(asked) == 1


def setup_module():
    import_upstream('mmdet')
    init_default_scope('mmdet')
