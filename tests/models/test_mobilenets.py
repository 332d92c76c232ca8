"""MobileNet and MobileNetV2: widths, names, the slot, and what both owe as backbones."""

import pytest
import torch
from torch import nn

from mdvision import UserError
from mdvision.converters import lma
from mdvision.converters.mdnet import KEY_MAPS as MDNET_KEY_MAPS
from mdvision.meta_device import meta_device
from mdvision.models.attention.lightweight_mixed_domain import LightweightMixedDomainAttention
from mdvision.models.attention.squeeze_excite import SqueezeExcite
from mdvision.models.backbones.mobilenet import MDMobileNet
from mdvision.models.backbones.mobilenet_v2 import AttentionMobileNetV2, make_divisible
from tests import golden

LMA = dict(type='LightweightMixedDomainAttention')
SE = dict(type='SqueezeExcite')
DETECTOR = (1, 2, 4, 6)

SMALL = {
    # name: (make, strides of the outputs)
    'mobilenet_v2': (
        lambda **kw: AttentionMobileNetV2(0.25, out_indices=range(8), **kw),
        (2, 4, 8, 16, 16, 32, 32, 32),
    ),
    'mobilenet_v2_lma': (
        lambda **kw: AttentionMobileNetV2(0.25, attention=LMA, out_indices=DETECTOR, **kw),
        (4, 8, 16, 32),
    ),
    'mobilenet': (lambda **kw: MDMobileNet(0.25, out_indices=range(5), **kw), (1, 2, 4, 8, 16)),
    'mobilenet_imagenet': (
        lambda **kw: MDMobileNet(0.25, stem='imagenet', out_indices=(1, 2, 3, 4), **kw),
        (4, 8, 16, 32),
    ),
}


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def with_linear(make, classes: int) -> int:
    with meta_device():
        backbone = make()
        return count(backbone) + count(nn.Linear(backbone.out_channels[-1], classes))


@pytest.fixture(params=SMALL)
def small(request):
    torch.manual_seed(0)
    return SMALL[request.param]


@pytest.mark.parametrize(
    ('make', 'classes', 'params'),
    [
        (lambda: AttentionMobileNetV2(attention=LMA), 1000, 3_505_008),
        (lambda: AttentionMobileNetV2(), 1000, 3_505_008 - 136),
        (MDMobileNet, 100, 3_315_428),
        (MDMobileNet, 10, 3_223_178),
    ],
)
def test_parameter_counts_of_the_paper(make, classes, params):
    assert with_linear(make, classes) == params


@pytest.mark.parametrize('size', [(64, 64), (65, 47), (33, 31)])
def test_maps_have_the_declared_channels_and_strides(small, size):
    make, strides = small
    backbone = make().eval()
    maps = backbone(torch.randn(2, 3, *size))
    assert backbone.out_strides == strides
    for feature_map, channels, stride in zip(maps, backbone.out_channels, strides, strict=True):
        assert feature_map.shape == (2, channels, *(-(-side // stride) for side in size))


@pytest.mark.parametrize(
    ('make', 'frozen_stages', 'frozen'),
    [
        (AttentionMobileNetV2, -1, []),
        (AttentionMobileNetV2, 0, [0]),
        (AttentionMobileNetV2, 1, [0, 1]),
        (AttentionMobileNetV2, 3, [0, 1, 2, 3, 4, 5, 6]),
        (AttentionMobileNetV2, 7, range(18)),
        (AttentionMobileNetV2, 8, range(19)),
    ],
)
def test_frozen_stages_of_mobilenet_v2(make, frozen_stages, frozen):
    backbone = make(0.25, attention=SE, frozen_stages=frozen_stages).train()
    before = {name: buffer.clone() for name, buffer in backbone.named_buffers()}
    backbone(torch.randn(2, 3, 64, 64))
    frozen = {str(index) for index in frozen}
    for name, parameter in backbone.named_parameters():
        assert parameter.requires_grad == (name.split('.')[1] not in frozen), name
    for name, buffer in backbone.named_buffers():
        assert torch.equal(buffer, before[name]) == (name.split('.')[1] in frozen), name


@pytest.mark.parametrize(
    ('frozen_stages', 'frozen'),
    [
        (-1, ()),
        (0, ('stem.0.',)),
        (1, ('stem.',)),
        (3, ('stem.', 'conv1.', 'conv2.')),
        (5, ('stem.', 'conv')),
    ],
)
def test_frozen_stages_of_mobilenet(frozen_stages, frozen):
    backbone = MDMobileNet(0.25, frozen_stages=frozen_stages).train()
    for name, parameter in backbone.named_parameters():
        assert parameter.requires_grad == (not name.startswith(tuple(frozen))), name
    for name, module in backbone.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.training == (not name.startswith(tuple(frozen))), name


@pytest.mark.parametrize(
    ('width_mult', 'channels'),
    [
        (0.5, (16, 8, 16, 16, 32, 48, 80, 160, 1280)),
        (1.0, (32, 16, 24, 32, 64, 96, 160, 320, 1280)),
        (1.4, (48, 24, 32, 48, 88, 136, 224, 448, 1792)),
        (0.1, (4, 4, 4, 4, 8, 12, 16, 32, 1280)),
    ],
)
def test_widths_of_mobilenet_v2(width_mult, channels):
    with meta_device():
        backbone = AttentionMobileNetV2(width_mult, out_indices=range(8))
    assert (backbone.features[0][0].out_channels, *backbone.out_channels) == channels


def test_make_divisible_rounds_to_the_nearest_but_never_by_more_than_a_tenth_down():
    assert [make_divisible(c) for c in (1, 8, 11.9, 12, 16, 22.4, 89.6)] == [8, 8, 16, 16, 16, 24, 88]
    assert make_divisible(10) == 16  # 8 would be less than 9


@pytest.mark.parametrize('width_mult', [0.5, 1.0, 1.4])
@pytest.mark.parametrize('attention', [None, LMA])
def test_names_and_shapes_are_torchvisions(width_mult, attention):
    from torchvision.models import mobilenet_v2

    with meta_device():
        ours = AttentionMobileNetV2(width_mult, attention).state_dict()
        theirs = mobilenet_v2(weights=None, width_mult=width_mult).state_dict()
    extra = [name for name in ours if '.attention.' in name]
    assert len(extra) == (0 if attention is None else 32)
    assert {name: tensor.shape for name, tensor in ours.items() if name not in extra} == {
        name: tensor.shape for name, tensor in theirs.items() if not name.startswith('classifier.')
    }


def test_plain_mobilenet_v2_answers_as_torchvisions():
    from torchvision.models import mobilenet_v2

    reference = mobilenet_v2(weights=None).eval()
    ours = AttentionMobileNetV2(out_indices=range(8)).eval()
    ours.features.load_state_dict(reference.features.state_dict())
    images = torch.randn(1, 3, 65, 47)
    with torch.no_grad():
        maps = ours(images)
        torch.testing.assert_close(maps[-1], reference.features(images))
        torch.testing.assert_close(maps[2], reference.features[:7](images))


def test_the_slot_gets_what_the_depthwise_convolution_puts_out():
    backbone = AttentionMobileNetV2(0.5, attention=SE, out_indices=(6,)).eval()
    assert backbone.features[1].attention is None
    for block in list(backbone.features)[2:]:
        seen = {}
        block.conv[1].register_forward_hook(lambda _m, _i, out, seen=seen: seen.update(depthwise=out.clone()))
        block.attention.register_forward_hook(lambda _m, i, out, seen=seen: seen.update(slot=(i[0], out)))
        block.conv[2].register_forward_hook(lambda _m, i, _o, seen=seen: seen.update(projected=i[0]))
        x = torch.randn(1, block.conv[0][0].in_channels, 9, 7)
        block(x)
        assert torch.equal(seen['slot'][0], seen['depthwise'])
        assert seen['projected'] is seen['slot'][1]


def test_attention_can_be_put_into_chosen_stages():
    backbone = AttentionMobileNetV2(0.5, attention=[None, None, SE, None, None, None, LMA])
    kinds = {index: type(block.attention) for index, block in enumerate(list(backbone.features)[1:18], 1)}
    for index, kind in kinds.items():
        want = {4: SqueezeExcite, 5: SqueezeExcite, 6: SqueezeExcite, 17: LightweightMixedDomainAttention}
        assert kind is want.get(index, type(None)), index


def test_a_slot_that_does_nothing_changes_nothing():
    plain = AttentionMobileNetV2(0.5).eval()
    filled = AttentionMobileNetV2(0.5, attention=dict(type=lambda channels: nn.Identity())).eval()
    filled.load_state_dict(plain.state_dict(), strict=True)
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(plain(images)[0], filled(images)[0])


def test_convolutions_of_mobilenet_v2_start_with_he_normal_weights():
    torch.manual_seed(0)
    for conv in AttentionMobileNetV2().modules():
        if isinstance(conv, nn.Conv2d) and conv.weight.numel() > 5000:
            std = (2 / (conv.kernel_size[0] ** 2 * conv.out_channels)) ** 0.5
            assert abs(conv.weight.std().item() / std - 1) < 0.05


def test_widths_of_mobilenet_are_cut_to_integers():
    with meta_device():
        backbone = MDMobileNet(0.3, out_indices=range(5))
    assert backbone.stem[0].conv.out_channels == 9
    assert backbone.out_channels == (19, 38, 76, 153, 307)


def test_only_what_the_outputs_need_is_built():
    assert len(AttentionMobileNetV2(0.25, out_indices=(2,)).features) == 7
    assert [name for name, _ in MDMobileNet(0.25, out_indices=(0, 2)).named_children()] == [
        'stem',
        'conv1',
        'conv2',
    ]


@pytest.mark.parametrize('make', [AttentionMobileNetV2, MDMobileNet])
def test_images_may_have_other_channel_counts(make):
    assert make(0.25, in_channels=1).eval()(torch.randn(1, 1, 32, 32))[0].isfinite().all()


def test_the_authors_lma_keys_become_ours():
    ours = AttentionMobileNetV2(attention=LMA).state_dict()
    state = golden.load('lma_mobilenet_v2').state_dict
    converted = lma.KEY_MAPS['lma_mobilenet_v2'].convert(state)
    assert {k: v.shape for k, v in converted.items() if not k.startswith('head.')} == {
        f'backbone.{k}': v.shape for k, v in ours.items()
    }
    for official, key in (
        ('features.1.conv.1.weight', 'features.1.conv.1.weight'),
        ('features.1.conv.2.bias', 'features.1.conv.2.bias'),
        ('features.2.conv.2.conv_h.weight', 'features.2.attention.conv_h.weight'),
        ('features.10.conv.3.weight', 'features.10.conv.2.weight'),
        ('features.17.conv.4.running_mean', 'features.17.conv.3.running_mean'),
    ):
        assert torch.equal(converted[f'backbone.{key}'], state[official])
    assert torch.equal(converted['head.fc.bias'], state['classifier.1.bias'])


def test_a_checkpoint_of_another_model_is_refused():
    state = golden.load('mobilenet_100').state_dict
    assert 'backbone.stem.1.depthwise.0.weight' in MDNET_KEY_MAPS['mobilenet_cifar'].convert(state)
    for key_map in (*lma.KEY_MAPS.values(), MDNET_KEY_MAPS['mdnet']):
        with pytest.raises(UserError, match='is this the checkpoint of another model'):
            key_map.convert(state)


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: AttentionMobileNetV2(0), 'width_mult must be above 0, got 0'),
        (lambda: AttentionMobileNetV2(out_indices=(8,)), r'stages 0 to 7 .* got \(8,\)'),
        (lambda: AttentionMobileNetV2(out_indices=()), 'stages 0 to 7'),
        (lambda: AttentionMobileNetV2(out_indices=(2, 1)), 'must increase'),
        (lambda: AttentionMobileNetV2(frozen_stages=9), 'frozen_stages must be .* got 9'),
        (lambda: AttentionMobileNetV2(attention=[SE] * 4), '7 entries .* got 4'),
        (lambda: AttentionMobileNetV2(attention=[SE] * 7), r'attention\[0\] must be None'),
        (lambda: AttentionMobileNetV2(attention=dict(type='SqueezeExcit')), "Did you mean 'SqueezeExcite'"),
        (lambda: MDMobileNet(0.01), 'at least 1/32.* got 0.01'),
        (lambda: MDMobileNet(stem='tiny'), "stem must be one of .* got 'tiny'"),
        (lambda: MDMobileNet(out_indices=(5,)), r'stages 0 to 4 .* got \(5,\)'),
        (lambda: MDMobileNet(frozen_stages=6), 'frozen_stages must be .* got 6'),
    ],
)
def test_errors_say_what_was_expected_and_what_came(make, message):
    with pytest.raises(UserError, match=message):
        make()


ATTENTION = {
    'SqueezeExcite': {},
    'CBAM': {},
    'EfficientChannelAttention': {},
    'ShuffleAttention': dict(groups=8),
    'FrequencyChannelAttention': {},
    'LightweightMixedDomainAttention': {},
    'PyramidSplitAttention': dict(groups=(1, 2, 4, 4), gate_reduction=4),
    'MultiScaleAttention': dict(groups=(1, 2, 4, 4), gate_reduction=4),
}


@pytest.mark.parametrize('kind', ATTENTION)
def test_every_attention_fits_by_one_line_on_chosen_stages(kind):
    line = dict(type=kind, **ATTENTION[kind])
    everywhere = AttentionMobileNetV2(attention=line)
    assert sum(type(module).__name__ == kind for module in everywhere.modules()) == 16
    chosen = AttentionMobileNetV2(attention=[None] * 5 + [line, line]).train()
    assert sum(type(module).__name__ == kind for module in chosen.modules()) == 4
    chosen(torch.randn(2, 3, 64, 64))[-1].square().mean().backward()
    assert [name for name, p in chosen.named_parameters() if p.grad is None] == []
