"""The backbone contract, and what is particular to each one."""

import pytest
import torch
from torch import nn

from mdvision import AttentionResNet, EMANet, MultiScaleAttention, SoftBAN, SqueezeExcite, UserError
from mdvision.registry import MODELS

SMALL_EMANET = dict(
    type='EMANet', stage_blocks=(1, 1, 1, 1), base_channels=32, gate_reduction=4, out_indices=(0, 1, 2, 3)
)
BACKBONES = {
    'emanet': SMALL_EMANET,
    'emanet_cifar_stem': dict(SMALL_EMANET, stem='cifar', groups=(1, 2, 4, 8)),
    'emanet_group_norm': dict(SMALL_EMANET, spatial_group_norm=True),
    'resnet18': dict(type='AttentionResNet', depth=18, base_channels=8, out_indices=(0, 1, 2, 3)),
    'se_resnet50': dict(
        type='AttentionResNet',
        depth=50,
        stage_blocks=(1, 1, 1, 1),
        base_channels=8,
        attention=dict(type='SqueezeExcite'),
        out_indices=(0, 1, 2, 3),
    ),
    'resnet18_multi_scale': dict(
        type='AttentionResNet',
        depth=18,
        base_channels=32,
        conv2=dict(type='MultiScaleAttention', groups=(1, 2, 4, 8), gate_reduction=4),
        out_indices=(0, 1, 2, 3),
    ),
}


@pytest.fixture(params=BACKBONES)
def backbone(request):
    torch.manual_seed(0)
    return MODELS.build(BACKBONES[request.param])


@pytest.mark.parametrize('size', [(64, 64), (65, 47)])
def test_maps_have_the_declared_channels_and_strides(backbone, size):
    maps = backbone.eval()(torch.randn(2, 3, *size))
    assert len(maps) == len(backbone.out_channels) == len(backbone.out_strides) == 4
    for feature_map, channels, stride in zip(maps, backbone.out_channels, backbone.out_strides, strict=True):
        assert feature_map.shape == (2, channels, *(-(-side // stride) for side in size))


def test_every_parameter_gets_a_gradient(backbone):
    backbone.train()
    sum(feature_map.square().mean() for feature_map in backbone(torch.randn(2, 3, 64, 64))).backward()
    assert [name for name, p in backbone.named_parameters() if p.grad is None] == []
    assert all(p.grad.isfinite().all() for p in backbone.parameters())


def test_an_image_does_not_depend_on_its_batch_in_evaluation(backbone):
    images = torch.randn(3, 3, 64, 64)
    backbone.eval()
    for alone, together in zip(backbone(images[:1]), backbone(images), strict=True):
        torch.testing.assert_close(alone, together[:1], rtol=1e-4, atol=1e-5)


def test_checkpointing_changes_no_gradient(backbone):
    torch.manual_seed(1)
    images = torch.randn(2, 3, 64, 64, requires_grad=True)
    gradients = []
    # Evaluation mode: recomputing a block would update running statistics twice.
    backbone.eval()
    for with_cp in (False, True):
        for module in backbone.modules():
            if hasattr(module, 'with_cp'):
                module.with_cp = with_cp
        backbone.zero_grad()
        backbone(images)[-1].square().mean().backward()
        gradients.append([p.grad.clone() for p in backbone.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, recomputed)


def test_state_dict_round_trip(backbone):
    other = MODELS.build(BACKBONES['emanet']) if isinstance(backbone, EMANet) else None
    state = backbone.state_dict()
    backbone.load_state_dict(state, strict=True)
    if other is not None and set(other.state_dict()) == set(state):
        shapes = {k: v.shape for k, v in state.items()}
        if shapes == {k: v.shape for k, v in other.state_dict().items()}:
            other.load_state_dict(state, strict=True)
            images = torch.randn(1, 3, 64, 64)
            assert torch.equal(other.eval()(images)[-1], backbone.eval()(images)[-1])


@pytest.mark.parametrize('frozen_stages', [-1, 0, 2, 4])
def test_frozen_stages_neither_train_nor_update_statistics(frozen_stages):
    backbone = MODELS.build(dict(SMALL_EMANET, frozen_stages=frozen_stages)).train()
    before = {k: v.clone() for k, v in backbone.state_dict().items()}
    maps = backbone(torch.randn(2, 3, 64, 64))
    parts = ['conv1', 'bn1'] + [f'layer{i}' for i in range(1, 5)]
    frozen = [] if frozen_stages < 0 else parts[: 2 + frozen_stages]
    for name, parameter in backbone.named_parameters():
        assert parameter.requires_grad == (name.split('.')[0] not in frozen)
    changed = {k.split('.')[0] for k, v in backbone.state_dict().items() if not torch.equal(v, before[k])}
    assert changed == set(parts) - set(frozen) - {'conv1'}
    assert len(maps) == 4


def test_norm_eval_freezes_batch_norm_and_soft_ban_only_when_told():
    for follow in (False, True):
        backbone = EMANet(
            stage_blocks=(1, 1, 1, 1),
            base_channels=32,
            gate_reduction=4,
            norm_eval=True,
            soft_ban=dict(follow_norm_eval=follow),
        ).train()
        for module in backbone.modules():
            if isinstance(module, nn.BatchNorm2d):
                assert not module.training
            if isinstance(module, SoftBAN):
                assert module.training == (not follow)


def test_names_are_torchvisions_so_that_its_weights_load():
    from torchvision.models import resnet18, resnet50

    for depth, reference in ((18, resnet18), (50, resnet50)):
        ours = AttentionResNet(depth=depth).state_dict()
        theirs = reference(weights=None).state_dict()
        assert {k: v.shape for k, v in ours.items()} == {
            k: v.shape for k, v in theirs.items() if not k.startswith('fc.')
        }


def test_plain_resnet_answers_as_torchvisions():
    from torchvision.models import resnet50

    reference = resnet50(weights=None).eval()
    ours = AttentionResNet(depth=50).eval()
    ours.load_state_dict({k: v for k, v in reference.state_dict().items() if not k.startswith('fc.')})
    images = torch.randn(1, 3, 64, 64)
    features = nn.Sequential(*list(reference.children())[:-2])
    with torch.no_grad():
        torch.testing.assert_close(ours(images)[0], features(images))


def test_attention_can_be_put_into_chosen_stages():
    backbone = AttentionResNet(
        depth=18, base_channels=16, attention=[None, None, None, dict(type='SqueezeExcite', reduction=4)]
    )
    with_attention = {name.split('.')[0] for name, _ in backbone.named_modules() if '.attention' in name}
    assert with_attention == {'layer4'}


def test_our_attention_works_as_a_plugin_of_mmdets_resnet():
    from mmdet.models import ResNet

    backbone = ResNet(
        depth=50,
        base_channels=16,
        plugins=[dict(cfg=dict(type='SqueezeExcite'), position='after_conv3')],
    )
    assert sum(isinstance(module, SqueezeExcite) for module in backbone.modules()) == 16
    assert backbone(torch.randn(1, 3, 64, 64))[-1].shape == (1, 512, 2, 2)


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: EMANet(depth=18), 'depth must be 50, 101 or 152'),
        (lambda: AttentionResNet(depth=20), r'depth must be one of \[18, 34, 50, 101, 152\], got 20'),
        (lambda: AttentionResNet(stem='tiny'), "stem must be one of .* got 'tiny'"),
        (lambda: AttentionResNet(out_indices=(4,)), r'out_indices must be stages 0 to 3 .* got \(4,\)'),
        (lambda: AttentionResNet(num_stages=3, out_indices=(3,)), 'stages 0 to 2'),
        (lambda: AttentionResNet(frozen_stages=5), 'frozen_stages must be -1 .* got 5'),
        (lambda: AttentionResNet(attention=dict(type='SqueezeExcit')), "Did you mean 'SqueezeExcite'"),
        (lambda: AttentionResNet(attention=[None]), '4 entries .* got 1'),
        (lambda: EMANet(base_channels=20), 'which groups=2 does not divide'),
        (lambda: EMANet(base_channels=32), 'Use gate_reduction=8 or less'),
        (lambda: EMANet(groups='tiny'), "groups must be one of .* got 'tiny'"),
        (lambda: EMANet(groups=((1, 2), (1, 2))), 'four rows'),
        (lambda: EMANet(conv2=dict(type='x')), 'conv2 is taken'),
        (lambda: MultiScaleAttention(66), 'must divide by the 4 branches'),
        (lambda: MultiScaleAttention(64, kernels=(3, 4, 7, 9)), 'kernels must be odd'),
        (lambda: MultiScaleAttention(64, groups=(1, 2)), 'one group count a kernel'),
        (lambda: SoftBAN(8, scale='none'), "got 'none'"),
        (lambda: SqueezeExcite(8), 'Use reduction=8 or less'),
    ],
)
def test_errors_say_what_was_expected_and_what_came(make, message):
    with pytest.raises(UserError, match=message):
        make()
