"""The contract of every backbone, run over a table; what is particular to one stands in its own file."""

import copy
import re
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from mdvision.meta_device import meta_device
from mdvision.registry import MODELS

ALL = (0, 1, 2, 3)


@dataclass
class Entry:
    """A small backbone of a family.

    Args:
        config: its config.
        sizes: image sizes (height, width) that it must take; the first one is used where one will do.
        channels: channels of the image.
        tokens: the output is a class token (B, D), no map.
        ring: extra pixels of the stem's map, which the CIFAR MobileNetV2s have.
        without_gradient: names of the parameters that by the specification never get a gradient.
        zero_gradient: names of those whose gradient is zero by construction.
        num_stages: stages that can be frozen.
    """

    config: dict
    sizes: tuple = ((64, 64), (65, 47), (33, 95))
    channels: int = 3
    tokens: bool = False
    ring: int = 0
    without_gradient: str = '(?!)'
    zero_gradient: str = '(?!)'
    num_stages: int = 4


SMALL_EMANET = dict(
    type='EMANet', stage_blocks=(1, 1, 1, 1), base_channels=32, gate_reduction=4, out_indices=ALL
)
SMALL_RESNET = dict(
    type='AttentionResNet', depth=50, stage_blocks=(2, 1, 1, 1), base_channels=16, out_indices=ALL
)
SMALL_DEMS = dict(
    type='DEMSViT',
    image_size=32,
    embed_dim=32,
    num_heads=2,
    depth=4,
    merge_counts=(8, 4),
    merge_layers=(2, 4),
)
SMALL_DEMS_MAPS = dict(
    type='DEMSViTPyramid', patch_size=2, embed_dim=16, num_heads=2, depth=2, window=1, mlp_ratio=2
)
SMALL_DIFF = dict(type='DiffViT', image_size=28, embed_dim=16, hidden_dim=32, depth=2)
NANO = dict(channels=1, sizes=((28, 28),), tokens=True, num_stages=2, without_gradient=r'.*\.ffn\.norm\..*')
NANO_MAPS = dict(channels=1, sizes=((28, 28), (33, 45)), num_stages=2, without_gradient=r'.*\.ffn\.norm\..*')
DEAD_KEYS = r'.*\.attention\.(K|K1|K2)\.bias'


def attention(kind: str, **arguments) -> dict:
    return dict(SMALL_RESNET, attention=dict(type=kind, **arguments))


BACKBONES = {
    'emanet': Entry(SMALL_EMANET),
    'emanet_cifar_stem': Entry(dict(SMALL_EMANET, stem='cifar', groups=(1, 2, 4, 8))),
    'emanet_group_norm': Entry(dict(SMALL_EMANET, spatial_group_norm=True)),
    'resnet18': Entry(dict(type='AttentionResNet', depth=18, base_channels=8, out_indices=ALL)),
    'se_resnet': Entry(attention('SqueezeExcite')),
    'cbam_resnet': Entry(attention('CBAM')),
    'eca_resnet': Entry(attention('EfficientChannelAttention')),
    'sa_resnet': Entry(attention('ShuffleAttention', groups=16)),
    'fca_resnet': Entry(attention('FrequencyChannelAttention')),
    'lma_resnet': Entry(attention('LightweightMixedDomainAttention')),
    'epsanet': Entry(
        dict(
            SMALL_RESNET,
            base_channels=64,
            conv2=dict(type='PyramidSplitAttention'),
            stage_blocks=(1, 1, 1, 1),
        )
    ),
    'resnet18_multi_scale': Entry(
        dict(
            type='AttentionResNet',
            depth=18,
            stage_blocks=(1, 1, 1, 1),
            base_channels=32,
            conv2=dict(type='MultiScaleAttention', groups=(1, 2, 4, 8), gate_reduction=4),
            out_indices=ALL,
        )
    ),
    'mobilenet_v2': Entry(
        dict(type='AttentionMobileNetV2', width_mult=0.25, out_indices=(1, 2, 4, 6)), num_stages=8
    ),
    'lma_mobilenet_v2': Entry(
        dict(
            type='AttentionMobileNetV2',
            width_mult=0.25,
            attention=dict(type='LightweightMixedDomainAttention'),
            out_indices=(1, 2, 4, 7),
        ),
        num_stages=8,
    ),
    'mdnet': Entry(
        dict(type='MDNet', out_indices=(0, 1, 2, 6)),
        sizes=((32, 32), (33, 31)),
        ring=2,
        num_stages=8,
        zero_gradient=r'transform\.attn\.(temperature|qkv_dwconv[35]x[35]\..*)',
    ),
    'mdnet_real_attention': Entry(
        dict(type='MDNet', stem='imagenet', num_heads=8, out_indices=(0, 1, 2, 7)), num_stages=8
    ),
    'mobilenet_v2_cifar': Entry(
        dict(type='MDMobileNetV2', stem_padding=0, out_indices=(0, 1, 2, 6)), num_stages=8
    ),
    'mobilenet_cifar': Entry(
        dict(type='MDMobileNet', width_mult=0.25, out_indices=(0, 1, 2, 3, 4)), num_stages=5
    ),
    'dems_vit': Entry(
        SMALL_DEMS, sizes=((32, 32), (32, 64)), tokens=True, zero_gradient=r'merges\.\d\.fc3\.bias'
    ),
    'dems_vit_pyramid': Entry(SMALL_DEMS_MAPS, sizes=((32, 48), (37, 65), (1, 1)), num_stages=2),
    'dems_vit_pyramid_global': Entry(
        dict(SMALL_DEMS_MAPS, global_blocks=(1,), out_indices=(0, 2)), sizes=((33, 16), (16, 32))
    ),
    'vit': Entry(dict(SMALL_DIFF, attention='self'), zero_gradient=DEAD_KEYS, **NANO),
    'diff_vit': Entry(dict(SMALL_DIFF, attention='differential'), **NANO),
    'diff_vit_legacy': Entry(dict(SMALL_DIFF, attention='legacy'), zero_gradient=DEAD_KEYS, **NANO),
    'diff_vit_maps': Entry(dict(SMALL_DIFF, attention='differential', out_type='featmap'), **NANO_MAPS),
}


@pytest.fixture(params=BACKBONES)
def entry(request):
    torch.manual_seed(0)
    return BACKBONES[request.param]


def build(entry: Entry, **arguments) -> nn.Module:
    torch.manual_seed(0)
    return MODELS.build(dict(entry.config, **arguments))


def images(entry: Entry, batch: int = 2, size: tuple | None = None) -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randn(batch, entry.channels, *(size or entry.sizes[0]))


def loss(outputs: tuple) -> torch.Tensor:
    """Any scalar that depends on every channel of every output in its own way."""
    total = 0.0
    for output in outputs:
        weight = torch.linspace(0.5, 1.5, output.shape[1]).reshape(1, -1, *[1] * (output.dim() - 2))
        total = total + (output.square() * weight).mean()
    return total


def without_dropout(module: nn.Module) -> nn.Module:
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    return module


def test_outputs_have_the_declared_channels_and_strides_at_every_size(entry):
    backbone = build(entry).eval()
    for size in entry.sizes:
        outputs = backbone(images(entry, size=size))
        assert isinstance(outputs, tuple) and len(outputs) == len(backbone.out_channels)
        if entry.tokens:
            assert backbone.out_strides == ()
            assert [tuple(output.shape) for output in outputs] == [(2, c) for c in backbone.out_channels]
            continue
        for output, channels, stride in zip(
            outputs, backbone.out_channels, backbone.out_strides, strict=True
        ):
            assert output.shape == (2, channels, *(-(-(side + entry.ring) // stride) for side in size))


def test_a_batch_of_one_trains_and_does_not_depend_on_its_batch_in_evaluation(entry):
    backbone = build(entry)
    backbone.train()(images(entry, batch=1))
    backbone.eval()
    batch = images(entry, batch=3)
    for alone, together in zip(backbone(batch[:1]), backbone(batch), strict=True):
        torch.testing.assert_close(alone, together[:1], rtol=1e-4, atol=1e-5)


def test_every_parameter_gets_a_gradient_but_those_of_the_specification(entry):
    backbone = build(entry).double().train()
    loss(backbone(images(entry).double())).backward()
    gradients = {name: p.grad for name, p in backbone.named_parameters()}
    largest = max(g.abs().max() for g in gradients.values() if g is not None)
    for name, gradient in gradients.items():
        assert (gradient is None) == bool(re.fullmatch(entry.without_gradient, name)), name
        if gradient is not None:
            assert gradient.isfinite().all(), name
        if re.fullmatch(entry.zero_gradient, name):
            assert gradient.abs().max() <= 1e-14 * largest, name


def test_training_changes_statistics_and_evaluation_nothing(entry):
    backbone = build(entry)
    state = copy.deepcopy(backbone.state_dict())
    backbone.eval()(images(entry))
    assert all(torch.equal(value, state[key]) for key, value in backbone.state_dict().items())
    backbone.train()(images(entry))
    changed = [key for key, value in backbone.state_dict().items() if not torch.equal(value, state[key])]
    has_norms = any(isinstance(module, nn.BatchNorm2d) for module in backbone.modules())
    assert bool(changed) == has_norms
    assert all('running_' in key or 'num_batches' in key for key in changed)


def test_half_precision_stays_half_and_near(entry):
    backbone = build(entry).eval()
    batch = images(entry)
    wanted = backbone(batch)
    for half, full in zip(backbone.bfloat16()(batch.bfloat16()), wanted, strict=True):
        assert half.dtype == torch.bfloat16
        assert (half.float() - full).norm() <= 0.1 * full.norm()
    # In float16 only that it runs: activations of a fresh network in evaluation lie below its range.
    for half in build(entry).eval().half()(batch.half()):
        assert half.dtype == torch.float16
        assert half.isfinite().all()


def test_state_dict_round_trip(entry):
    backbone = build(entry).eval()
    torch.manual_seed(5)
    other = MODELS.build(entry.config).eval()
    other.load_state_dict(backbone.state_dict(), strict=True)
    for ours, theirs in zip(backbone(images(entry)), other(images(entry)), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize('training', [False, True])
def test_compiles_without_a_graph_break(entry, training):
    torch._dynamo.reset()
    backbone = without_dropout(build(entry)).train(training)
    reference = copy.deepcopy(backbone)
    compiled = torch.compile(backbone, fullgraph=True, backend='eager')
    for ours, theirs in zip(compiled(images(entry)), reference(images(entry)), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_exports(entry):
    backbone = build(entry).eval()
    program = torch.export.export(backbone, (images(entry),))
    for ours, theirs in zip(program.module()(images(entry)), backbone(images(entry)), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_recomputing_blocks_changes_no_gradient(entry):
    gradients = []
    # Evaluation mode: recomputing a block would update running statistics twice.
    for with_cp in (False, True):
        backbone = build(entry, with_cp=with_cp).eval()
        loss(backbone(images(entry).requires_grad_())).backward()
        gradients.append([p.grad for p in backbone.parameters() if p.grad is not None])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, recomputed)


def test_frozen_stages_neither_train_nor_update_statistics(entry):
    for frozen_stages in (-1, 0, 1, entry.num_stages if not entry.config.get('out_indices') else 1):
        backbone = build(entry, frozen_stages=frozen_stages).train()
        parts = backbone._stem_and_stages()
        frozen = set()
        for part in (p for stage in parts[: frozen_stages + 1] for p in stage):
            frozen |= {id(p) for p in part.parameters()} if isinstance(part, nn.Module) else {id(part)}
            if isinstance(part, nn.Module):
                assert not any(module.training for module in part.modules())
        for name, parameter in backbone.named_parameters():
            never = re.fullmatch(entry.without_gradient, name)
            assert parameter.requires_grad == (id(parameter) not in frozen and not never), name
        assert bool(frozen) == (frozen_stages >= 0)
        before = copy.deepcopy(backbone.state_dict())
        if any(p.requires_grad for p in backbone.parameters()):
            loss(backbone(images(entry))).backward()
        names = {name for name, p in backbone.named_parameters() if id(p) in frozen}
        statistics = {name.rsplit('.', 1)[0] for name in names}
        for key, value in backbone.state_dict().items():
            if key.rsplit('.', 1)[0] in statistics:
                assert torch.equal(value, before[key]), key


def test_the_stem_and_stages_are_all_there_is(entry):
    backbone = build(entry)
    listed = [
        p
        for stage in backbone._stem_and_stages()
        for part in stage
        for p in (part.parameters() if isinstance(part, nn.Module) else [part])
    ]
    after_the_last_block = {id(p) for n, p in backbone.named_parameters() if n.startswith('norm.')}
    assert {id(p) for p in listed} | after_the_last_block == {id(p) for p in backbone.parameters()}
    assert len({id(p) for p in listed}) == len(listed)


def test_norm_eval_keeps_batch_norms_in_evaluation(entry):
    backbone = build(entry, norm_eval=True).train()
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert not module.training


def test_builds_on_the_meta_device_and_copies(entry):
    with meta_device():
        outputs = MODELS.build(entry.config).eval()(torch.empty(1, entry.channels, *entry.sizes[0]))
    assert all(output.is_meta for output in outputs)
    backbone = build(entry).eval()
    for ours, theirs in zip(backbone(images(entry)), copy.deepcopy(backbone)(images(entry)), strict=True):
        assert torch.equal(ours, theirs)
