"""EMANet and its baselines answer as the authors' implementations do, through the converters."""

import pytest
import torch
from mmpretrain.registry import MODELS
from torch.nn import functional as F

import mdvision
from mdvision.converters import convert_state_dict
from tests import golden

CIFAR_EMANET = dict(type='mdvision.EMANet', stem='cifar', groups='cifar')
CASES = {
    # fixture: (converter, backbone)
    'emanet50_cifar': ('emanet50_cifar', CIFAR_EMANET),
    'emanet50_mini': ('emanet50_mini', dict(type='mdvision.EMANet', spatial_group_norm=True)),
    'resnet50_cifar': ('resnet50_cifar', dict(type='mdvision.AttentionResNet', stem='cifar')),
    'senet50_cifar': (
        'se_resnet50_cifar',
        dict(type='mdvision.AttentionResNet', stem='cifar', attention=dict(type='SqueezeExcite')),
    ),
}


def build_classifier(backbone: dict, num_classes: int) -> torch.nn.Module:
    return MODELS.build(
        dict(
            type='ImageClassifier',
            backbone=dict(backbone, out_indices=(0, 1, 2, 3)),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(type='LinearClsHead', num_classes=num_classes, in_channels=2048),
        )
    )


@pytest.fixture(scope='module', params=CASES)
def case(request):
    """(fixture, model in float64 with its weights)."""
    data = golden.load(request.param)
    converter, backbone = CASES[request.param]
    model = build_classifier(backbone, data.meta['num_classes']).double()
    model.load_state_dict(convert_state_dict(converter, data.state_dict), strict=True)
    return data, model


def forward(model, images):
    feature_maps = model.backbone(images)
    return feature_maps, model.head.fc(model.neck(feature_maps)[-1])


def test_parameter_count_is_exact(case):
    data, model = case
    assert sum(p.numel() for p in model.parameters()) == data.meta['params']


def test_eval_logits_and_stages_agree_in_float64(case):
    data, model = case
    model.eval()
    with torch.no_grad():
        images = data.images.double()
        backbone = model.backbone
        stem = backbone.maxpool(backbone.relu(backbone.bn1(backbone.conv1(images))))
        feature_maps, logits = forward(model, images)
    golden.check_stage(data, 'stem', stem)
    for index, feature_map in enumerate(feature_maps, start=1):
        golden.check_stage(data, f'layer{index}', feature_map)
    want = data.tensor('logits')
    assert (logits - want).abs().max() <= 1e-6 * max(1.0, want.abs().max())


def test_eval_logits_agree_in_float32(case):
    data, model = case
    model.float().eval()
    with torch.no_grad():
        _, logits = forward(model, data.images)
    model.double()
    want = data.tensor('logits')
    assert (logits - want).abs().max() <= 1e-5 * max(1.0, want.abs().max())


def test_training_loss_and_every_gradient_norm_agree_in_float64(case):
    data, model = case
    model.load_state_dict(model.state_dict())
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model.train().zero_grad()
    _, logits = forward(model, data.images.double())
    loss = F.cross_entropy(logits, data.labels)
    loss.backward()
    for name, buffer in model.named_buffers():
        buffer.copy_(before[name])
    want = data.tensor('train_logits')
    assert (logits - want).abs().max() <= 1e-6 * max(1.0, want.abs().max())
    assert abs(loss.item() - float(data.arrays['train_loss'])) <= 1e-6 * abs(loss.item())
    ours = {name: p.grad for name, p in model.named_parameters()}
    converter = next(c for f, (c, _) in CASES.items() if f == data.meta['model'])
    by_official_name = {
        name: ours[next(iter(convert_state_dict(converter, {name: torch.zeros(1)})))]
        for name in data.meta['param_names']
    }
    golden.check_gradients(data, by_official_name)


@pytest.mark.parametrize(
    ('backbone', 'classes', 'params'),
    [
        (dict(CIFAR_EMANET, depth=50), 10, 21_191_061),
        (dict(CIFAR_EMANET, depth=101), 10, 38_212_889),
        (dict(type='mdvision.EMANet', depth=50, spatial_group_norm=True), 100, 20_261_551),
        (dict(type='mdvision.EMANet', depth=101, spatial_group_norm=True), 100, 42_148_915),
    ],
)
def test_parameter_counts_of_the_paper(backbone, classes, params):
    with torch.device('meta'):
        model = build_classifier(backbone, classes)
    assert sum(p.numel() for p in model.parameters()) == params


def test_both_hosts_find_the_same_class_under_both_spellings():
    import mmdet.registry
    import mmpretrain.registry

    for name in ('EMANet', 'AttentionResNet', 'MultiScaleAttention', 'SqueezeExcite'):
        for registry in (mmdet.registry.MODELS, mmpretrain.registry.MODELS):
            assert registry.get(name) is getattr(mdvision, name)
            assert registry.get(f'mdvision.{name}') is getattr(mdvision, name)
