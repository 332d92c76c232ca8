"""MDNet and its MobileNetV2: the block against the authors', and what each argument corrects."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import mdvision
from mdvision import UserError
from mdvision.converters.mdnet import KEY_MAPS
from mdvision.meta_device import meta_device
from mdvision.models.backbones.mdnet import MDMobileNetV2, MDNet
from mdvision.models.layers.mdnet_block import (
    DifferentialChannelAttention,
    MDNetBlock,
    MultiScaleFeedForward,
)
from mdvision.registry import MODELS
from tests import golden

LAMBDA_INIT = 0.8 - 0.6 * math.exp(-3)
WITHOUT_EFFECT = {
    'temperature',
    *(f'qkv_dwconv{k}.{name}' for k in ('3x3', '5x5') for name in ('weight', 'bias')),
}
BACKBONES = {
    'mobilenet_v2': MDMobileNetV2,
    'mdnet': MDNet,
    'mdnet_8_heads': lambda **kw: MDNet(num_heads=8, **kw),
}


@pytest.fixture(params=BACKBONES)
def make(request):
    torch.manual_seed(0)
    return BACKBONES[request.param]


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def calls(module: nn.Module, *names: str) -> dict[str, int]:
    """How often each submodule runs, counted from now on."""
    counts = dict.fromkeys(names, 0)

    def counting(name):
        def hook(*_):
            counts[name] += 1

        return hook

    for name in names:
        module.get_submodule(name).register_forward_hook(counting(name))
    return counts


# The block against the authors'


@pytest.mark.parametrize(
    ('key', 'module'),
    [
        ('mdnet.attn', DifferentialChannelAttention),
        ('mdnet.ffn', MultiScaleFeedForward),
        ('mdnet.block', MDNetBlock),
    ],
)
def test_answers_as_the_authors_module(key, module):
    golden.check_module(golden.load_modules('modules_lma_mdnet_dems_diffvit')[key], module(32))


@pytest.mark.parametrize(
    ('make', 'classes', 'params'),
    [
        (MDNet, 100, 2_399_428),
        (MDNet, 10, 2_284_138),
        (MDMobileNetV2, 100, 2_369_380),
        (MDMobileNetV2, 10, 2_254_090),
    ],
)
def test_parameter_counts_of_the_paper(make, classes, params):
    with meta_device():
        backbone = make()
        assert count(backbone) + count(nn.Linear(1280, classes)) == params


def test_parameters_of_the_block():
    block = MDNetBlock(32)
    assert (count(block), count(block.attn), count(block.ffn)) == (30_048, 12_480, 17_440)
    attention = dict(block.attn.named_parameters())
    assert sum(attention[name].numel() for name in WITHOUT_EFFECT) == 3_392


# Quirks 1, 4 and 6: with a head for each channel q and k do not matter


def test_with_a_head_for_each_channel_the_attention_is_a_constant():
    attention = DifferentialChannelAttention(32).eval()
    first = (attention.lambda_q1 @ attention.lambda_k1).exp()
    second = (attention.lambda_q2 @ attention.lambda_k2).exp()
    x = torch.randn(2, 32, 7, 5)  # an odd number of positions
    v = attention.qkv_dwconv7x7(attention.qkv(x))
    want = attention.project_out((1 - (first - second + LAMBDA_INIT)) * v)
    torch.testing.assert_close(attention(x), want)


@pytest.mark.parametrize('training', [False, True])
def test_q_and_k_are_never_computed_and_change_nothing(training):
    backbone = MDNet(out_indices=(0,)).train(training)
    names = [f'transform.attn.{name}' for name in ('qkv', 'qkv_dwconv3x3', 'qkv_dwconv5x5')]
    counts = calls(backbone, *names)
    images = torch.randn(2, 3, 33, 31)
    with torch.set_grad_enabled(training):
        before = backbone(images)[0]
        assert counts == dict(zip(names, (1, 0, 0), strict=True))
        for name, parameter in backbone.transform.attn.named_parameters():
            if name in WITHOUT_EFFECT:
                nn.init.normal_(parameter.data, std=100)
        assert torch.equal(backbone(images)[0], before)


@pytest.mark.parametrize('bad', [1.0, float('inf')])
def test_parameters_without_effect_get_a_gradient_of_zero_so_that_adamw_decays_them(bad):
    block = MDNetBlock(32)
    block.attn.temperature.data[0] = bad  # the gradient is zero even then
    dead = {name: p for name, p in block.attn.named_parameters() if name in WITHOUT_EFFECT}
    before = {name: parameter.detach().clone() for name, parameter in dead.items()}
    block(torch.randn(2, 32, 7, 5)).square().mean().backward()
    for name, parameter in block.attn.named_parameters():
        assert torch.equal(parameter.grad, torch.zeros_like(parameter)) == (name in WITHOUT_EFFECT), name
    torch.optim.AdamW(block.parameters(), lr=0.1, weight_decay=0.5).step()
    for name, parameter in dead.items():
        torch.testing.assert_close(parameter, before[name] * 0.95)


def test_an_exported_model_does_not_contain_q_and_k():
    backbone, images = MDNet().eval(), torch.randn(2, 3, 33, 31)
    with torch.no_grad():
        exported = torch.export.export(backbone, (images,))
        torch.testing.assert_close(exported.module()(images), backbone(images))
    used = {node.name for node in exported.graph.nodes if node.op == 'placeholder' and node.users}
    names = {spec.arg.name: spec.target for spec in exported.graph_signature.input_specs}
    unused = {target for name, target in names.items() if name not in used and 'num_batches' not in target}
    assert unused == {f'transform.attn.{name}' for name in WITHOUT_EFFECT}


# Quirks 2 and 3: fewer heads make it attention


def reference(attention: DifferentialChannelAttention, x: torch.Tensor) -> torch.Tensor:
    """The formula, one image and head at a time."""
    u = attention.qkv(x)
    q, k = attention.qkv_dwconv3x3(u), attention.qkv_dwconv5x5(u)
    v = attention.qkv_dwconv7x7(u)
    lam = (
        (attention.lambda_q1 @ attention.lambda_k1).exp()
        - (attention.lambda_q2 @ attention.lambda_k2).exp()
        + LAMBDA_INIT
    )
    out = torch.zeros_like(v)
    width = v.shape[1] // attention.num_heads
    for image in range(len(x)):
        for head in range(attention.num_heads):
            channels = range(head * width, (head + 1) * width)
            softmax = []
            for which in (0, 1):
                rows = [2 * channel + which for channel in channels]
                q_rows, k_rows = q[image, rows].flatten(1), k[image, rows].flatten(1)
                cosine = F.cosine_similarity(q_rows[:, None], k_rows[None], dim=-1)
                softmax.append((cosine * attention.temperature[2 * head + which]).softmax(-1))
            out[image, channels] = torch.einsum(
                'ij,jhw->ihw', softmax[0] - lam * softmax[1], v[image, channels]
            )
    return attention.project_out(out)


@pytest.mark.parametrize('num_heads', [1, 2, 8, 16])
def test_fewer_heads_attend_between_the_channels_of_a_head(num_heads):
    torch.manual_seed(0)
    attention = DifferentialChannelAttention(32, num_heads).double()
    nn.init.normal_(attention.temperature, 1.0, 3.0)
    x = torch.randn(2, 32, 7, 5, dtype=torch.float64)
    torch.testing.assert_close(attention(x), reference(attention, x))


def test_temperature_zero_averages_the_values_of_a_head():
    attention = DifferentialChannelAttention(32, 8)
    nn.init.zeros_(attention.temperature)
    for name in ('lambda_q1', 'lambda_q2'):
        nn.init.zeros_(getattr(attention, name))  # lambda is its constant part
    x = torch.randn(2, 32, 6, 6)
    v = attention.qkv_dwconv7x7(attention.qkv(x)).unflatten(1, (8, 4))
    mean = v.mean(2, keepdim=True).expand_as(v).flatten(1, 2)
    torch.testing.assert_close(attention(x), attention.project_out((1 - LAMBDA_INIT) * mean))


def test_lambda_zero_is_plain_attention():
    attention = DifferentialChannelAttention(32, 8)
    nn.init.zeros_(attention.lambda_q1)
    attention.lambda_q2.data.fill_(1.0)
    attention.lambda_k2.data.fill_(math.log(1 + LAMBDA_INIT) / 32)
    assert attention._lambda().abs() < 1e-6
    x = torch.randn(2, 32, 6, 6)
    before = attention(x)
    attention.temperature.data[1::2] = 50.0  # of the second maps
    torch.testing.assert_close(attention(x), before)
    attention.temperature.data[0::2] = 50.0
    assert not torch.allclose(attention(x), before)


def test_fewer_heads_use_and_train_q_and_k():
    backbone = MDNet(num_heads=8)
    names = [f'transform.attn.{name}' for name in ('qkv', 'qkv_dwconv3x3', 'qkv_dwconv5x5')]
    counts = calls(backbone, *names)
    backbone(torch.randn(2, 3, 32, 32))[0].square().mean().backward()
    assert set(counts.values()) == {1}
    attention = backbone.transform.attn
    for name in WITHOUT_EFFECT:
        assert attention.get_parameter(name).grad.abs().max() > 0, name
    assert attention.qkv_dwconv3x3.weight.shape == (64, 3, 3, 3)
    assert attention.temperature.shape == (16, 1, 1)
    # Twice the outputs of the 3x3 and 5x5 convolutions, less 48 temperatures.
    assert count(attention) == 12_480 + 32 * (3 * 9 + 1) + 32 * (3 * 25 + 1) - 48


def test_norm_is_over_the_channels_at_every_position():
    block = MDNetBlock(32)
    out = block.norm1(3 * torch.randn(2, 32, 5, 4) + 7)
    torch.testing.assert_close(out.mean(1), torch.zeros(2, 5, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.var(1, unbiased=False), torch.ones(2, 5, 4), atol=1e-4, rtol=0)


# Quirk 5: the ring of the padded 1x1 stem


def test_the_padded_stem_puts_a_ring_of_its_bias_around_the_map(make):
    padded, plain = make(out_indices=range(8)).eval(), make(out_indices=range(8), stem_padding=0).eval()
    plain.load_state_dict(padded.state_dict(), strict=True)
    images = torch.randn(1, 3, 32, 32)
    assert [m.shape[-1] for m in padded(images)] == [34, 17, 9, 5, 5, 5, 5, 5]
    assert [m.shape[-1] for m in plain(images)] == [32, 16, 8, 4, 4, 4, 4, 4]
    stem = padded.pre[0](images)
    assert torch.equal(stem[..., 1:-1, 1:-1], plain.pre[0](images))
    assert torch.equal(stem[0, :, 0, 0], padded.pre[0].bias)


# What every backbone owes


@pytest.mark.parametrize('size', [(64, 64), (65, 47), (33, 31)])
@pytest.mark.parametrize('stem', ['cifar', 'imagenet'])
def test_maps_have_the_declared_channels_and_strides(make, stem, size):
    backbone = make(stem=stem, stem_padding=0, out_indices=range(8)).eval()
    with torch.no_grad():
        maps = backbone(torch.randn(1, 3, *size))
    assert (
        backbone.out_strides
        == {
            'cifar': (1, 2, 4, 8, 8, 8, 8, 8),
            'imagenet': (4, 8, 16, 32, 32, 32, 32, 32),
        }[stem]
    )
    assert backbone.out_channels == (16, 24, 32, 64, 96, 160, 320, 1280)
    for feature_map, channels, stride in zip(maps, backbone.out_channels, backbone.out_strides, strict=True):
        assert feature_map.shape == (1, channels, *(-(-side // stride) for side in size))


def test_automatic_mixed_precision_trains_every_parameter(make):
    backbone = make().train()
    with torch.autocast('cpu', torch.bfloat16):
        backbone(torch.randn(2, 3, 16, 16))[0].float().square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in backbone.parameters())


def test_images_may_have_other_channel_counts(make):
    assert make(in_channels=1).eval()(torch.randn(1, 1, 16, 16))[0].isfinite().all()


@pytest.mark.parametrize(
    ('fixture', 'key_map', 'make'),
    [('mdnet_100', 'mdnet', MDNet), ('mobilenetv2_100', 'mobilenet_v2_cifar', MDMobileNetV2)],
)
def test_the_authors_keys_become_ours(fixture, key_map, make):
    state = golden.load(fixture).state_dict
    converted = KEY_MAPS[key_map].convert(state)
    assert {k: v.shape for k, v in converted.items() if not k.startswith('head.')} == {
        f'backbone.{k}': v.shape for k, v in make().state_dict().items()
    }
    assert torch.equal(converted['head.fc.weight'], state['conv2.weight'][:, :, 0, 0])
    assert torch.equal(converted['head.fc.bias'], state['conv2.bias'])


def test_an_mdnet_is_no_mobilenet_v2():
    with pytest.raises(UserError, match=r'belong to no part of this model.*transform\.norm1'):
        KEY_MAPS['mobilenet_v2_cifar'].convert(golden.load('mdnet_100').state_dict)


def test_mdnet_is_a_setting_of_its_mobilenet_v2():
    torch.manual_seed(0)
    mdnet = MDNet(num_heads=8).eval()
    torch.manual_seed(0)
    setting = MDMobileNetV2(transform=dict(type='mdvision.MDNetBlock', num_heads=8)).eval()
    assert repr(setting.transform) == repr(mdnet.transform)
    images = torch.randn(1, 3, 32, 32)
    assert torch.equal(setting(images)[0], mdnet(images)[0])


def test_the_slot_behind_the_stem_takes_any_module():
    backbone = MDMobileNetV2(transform=dict(type='SqueezeExcite', reduction=8), frozen_stages=0)
    assert type(backbone.transform).__name__ == 'SqueezeExcite'
    assert not any(p.requires_grad for p in backbone.transform.parameters())
    counts = calls(backbone, 'transform')
    backbone(torch.randn(1, 3, 16, 16))
    assert counts == {'transform': 1}


@pytest.mark.parametrize('name', ['MDMobileNet', 'MDMobileNetV2'])
def test_the_older_names_of_the_mobilenets_are_the_same_classes(name):
    older = name.replace('MD', 'CIFAR')
    kind = getattr(mdvision, name)
    assert getattr(mdvision, older) is kind
    for prefix in ('', 'mdvision.'):
        assert type(MODELS.build(dict(type=prefix + older))) is kind


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (
            lambda: MDNet(transform='CBAM'),
            r'its transformer block occupies transform; use MDMobileNetV2\(transform=',
        ),
        (lambda: MDMobileNetV2(transform='CBMA'), "transform=.*'CBMA'.* Did you mean 'CBAM'"),
        (
            lambda: MDNet(num_heads=5),
            r'must divide the 32 channels, got 5. Use one of \[1, 2, 4, 8, 16, 32\]',
        ),
        (lambda: MDNet(num_heads=64), 'must divide the 32 channels, got 64'),
        (lambda: MDNet(num_heads=0), 'must divide the 32 channels, got 0'),
        (lambda: MDNet(stem='tiny'), "stem must be one of .* got 'tiny'"),
        (lambda: MDNet(stem_padding=2), 'stem_padding must be 1 .* or 0, got 2'),
        (lambda: MDMobileNetV2(out_indices=(8,)), r'stages 0 to 7 .* got \(8,\)'),
        (lambda: MDMobileNetV2(out_indices=(1, 1)), 'must increase'),
        (lambda: MDMobileNetV2(frozen_stages=9), 'frozen_stages must be .* got 9'),
    ],
)
def test_errors_say_what_was_expected_and_what_came(make, message):
    with pytest.raises(UserError, match=message):
        make()
