"""What is particular to the ResNets and EMANet."""

import pytest
import torch
from torch import nn

from mdvision import AttentionResNet, EMANet, MultiScaleAttention, SoftBAN, SqueezeExcite, UserError


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


@pytest.mark.fault('3.12')
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
        (lambda: EMANet(base_channels=20), 'not divisible by groups=2'),
        (lambda: EMANet(base_channels=32), 'Use gate_reduction=8 or less'),
        (lambda: EMANet(groups='tiny'), "groups must be one of .* got 'tiny'"),
        (lambda: EMANet(groups=((1, 2), (1, 2))), 'four rows'),
        (lambda: EMANet(conv2=dict(type='x')), 'occupies conv2'),
        (lambda: MultiScaleAttention(66), 'must be divisible by the 4 branches'),
        (lambda: MultiScaleAttention(64, kernels=(3, 4, 7, 9)), 'kernels must be odd'),
        (lambda: MultiScaleAttention(64, groups=(1, 2)), 'one group count per kernel'),
        (lambda: SoftBAN(8, scale='none'), "got 'none'"),
        (lambda: SqueezeExcite(8), 'Use reduction=8 or less'),
    ],
)
def test_errors_say_what_was_expected_and_what_came(make, message):
    with pytest.raises(UserError, match=message):
        make()


@pytest.mark.parametrize('conv_init', ['default', 'he_out'])
@pytest.mark.parametrize('depth', [18, 50])
def test_how_the_convolutions_are_initialised(depth, conv_init):
    """PyTorch's default is uniform within 1 / sqrt(fan in)."""
    torch.manual_seed(0)
    model = AttentionResNet(depth, stage_blocks=(1, 1, 1, 1), conv_init=conv_init)
    convs = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    assert len(convs) == {18: 1 + 4 * 2 + 3, 50: 1 + 4 * 3 + 4}[depth]
    for conv in convs:
        fan_in, fan_out = (conv.kernel_size[0] ** 2 * n for n in (conv.in_channels, conv.out_channels))
        largest, spread = conv.weight.abs().max().item(), conv.weight.std().item()
        if conv_init == 'default':
            assert 0.98 < largest * fan_in**0.5 <= 1
        else:
            assert spread == pytest.approx((2 / fan_out) ** 0.5, rel=0.03)
