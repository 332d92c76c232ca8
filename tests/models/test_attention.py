"""The contract of every attention module, and what is particular to each one."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mdvision import AttentionResNet, SoftBAN, UserError
from mdvision.meta_device import meta_device
from mdvision.models.attention import (
    CBAM,
    EfficientChannelAttention,
    FrequencyChannelAttention,
    LightweightMixedDomainAttention,
    MultiScaleAttention,
    PyramidSplitAttention,
    ShuffleAttention,
    SqueezeExcite,
)
from mdvision.models.attention.frequency_channel import dct_filters
from mdvision.registry import MODELS

# Arguments that suit 32 channels and more.
BRANCHES = dict(groups=(1, 2, 4, 8), gate_reduction=8)
ATTENTION = {
    'se': dict(type='SqueezeExcite'),
    'cbam': dict(type='CBAM'),
    'eca': dict(type='EfficientChannelAttention'),
    'sa': dict(type='ShuffleAttention', groups=8),
    'fca7': dict(type='FrequencyChannelAttention', grid=7),
    'fca56': dict(type='FrequencyChannelAttention', grid=56),
    'fca_no_pooling': dict(type='FrequencyChannelAttention', grid=None),
    'psa': dict(type='PyramidSplitAttention', **BRANCHES),
    'multi_scale': dict(type='MultiScaleAttention', **BRANCHES),
    'lma': dict(type='LightweightMixedDomainAttention'),
    'lma_identity_start': dict(type='LightweightMixedDomainAttention', identity_start=True),
}
SHAPES = [(2, 64, 8, 8), (1, 64, 7, 5), (1, 64, 1, 1), (2, 64, 1, 9)]


def make(name: str, in_channels: int = 64) -> nn.Module:
    torch.manual_seed(0)
    return MODELS.build(dict(ATTENTION[name], in_channels=in_channels))


def perturbed(module: nn.Module) -> nn.Module:
    """The module away from the special values that it starts from (zero kernels, unit gates)."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return module


@pytest.fixture(params=ATTENTION)
def name(request):
    return request.param


# The contract.


def test_the_table_covers_every_attention():
    ours = {k for k, v in MODELS.module_dict.items() if v.__module__.startswith('mdvision.models.attention.')}
    assert {cfg['type'] for cfg in ATTENTION.values()} == ours


@pytest.mark.parametrize('shape', SHAPES, ids=str)
def test_shape_is_kept_at_odd_sizes_and_a_batch_of_one(name, shape):
    output = make(name).eval()(torch.randn(shape))
    assert output.shape == shape
    assert output.isfinite().all()


def test_training_mode_works_on_a_batch_of_one(name):
    assert make(name).train()(torch.randn(1, 64, 7, 5)).shape == (1, 64, 7, 5)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_stays_half_and_near(name, dtype):
    module = perturbed(make(name)).eval()
    x = torch.randn(2, 64, 9, 7)
    expected = module(x)
    output = module.to(dtype)(x.to(dtype))
    assert output.dtype == dtype
    torch.testing.assert_close(output.float(), expected, rtol=0.1, atol=0.1)


def test_autocast_stays_near(name):
    module = perturbed(make(name)).eval()
    x = torch.randn(2, 64, 9, 7)
    with torch.autocast('cpu', torch.bfloat16):
        output = module(x)
    torch.testing.assert_close(output.float(), module(x), rtol=0.1, atol=0.1)


def test_channels_last_changes_no_value(name):
    module = perturbed(make(name)).eval()
    x = torch.randn(2, 64, 9, 7)
    expected = module(x)
    module.to(memory_format=torch.channels_last)
    torch.testing.assert_close(module(x.to(memory_format=torch.channels_last)), expected)


# Shuffle attention moves its groups of channels into the batch, which is another layout.
@pytest.mark.parametrize('name', [name for name in ATTENTION if name != 'sa'])
def test_channels_last_is_kept(name):
    x = torch.randn(2, 64, 9, 7).to(memory_format=torch.channels_last)
    assert make(name).eval()(x).is_contiguous(memory_format=torch.channels_last)


def test_every_parameter_gets_a_gradient(name):
    module = perturbed(make(name)).train()
    x = torch.randn(3, 64, 9, 7, requires_grad=True)
    module(x).square().sum().backward()
    for tensor in (x, *module.parameters()):
        assert tensor.grad.isfinite().all()
        assert tensor.grad.abs().sum() > 0


def test_an_image_does_not_depend_on_its_batch_in_evaluation(name):
    module = perturbed(make(name)).eval()
    x = torch.randn(3, 64, 7, 5)
    torch.testing.assert_close(module(x)[1:2], module(x[1:2]))


def test_state_dict_round_trip(name):
    module, other = perturbed(make(name)).eval(), make(name).eval()
    other.load_state_dict(module.state_dict(), strict=True)
    x = torch.randn(2, 64, 7, 5)
    assert torch.equal(other(x), module(x))


def test_a_deep_copy_is_independent(name):
    module = make(name).eval()
    x = torch.randn(2, 64, 7, 5)
    expected, copied = module(x), copy.deepcopy(module)
    assert torch.equal(copied(x), expected)
    perturbed(copied)
    assert torch.equal(module(x), expected)


def test_compiles_without_a_graph_break(name):
    torch._dynamo.reset()
    module = make(name).eval()
    compiled = torch.compile(module, fullgraph=True, backend='eager')
    for shape in ((2, 64, 8, 8), (2, 64, 7, 5)):
        x = torch.randn(shape)
        torch.testing.assert_close(compiled(x), module(x))


def test_exports_with_a_free_batch_and_map_size(name):
    module = make(name).eval()
    free = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    program = torch.export.export(module, (torch.randn(2, 64, 8, 6),), dynamic_shapes=(free,))
    for shape in ((2, 64, 8, 6), (3, 64, 7, 9)):
        x = torch.randn(shape)
        torch.testing.assert_close(program.module()(x), module(x))


def test_works_on_the_meta_device(name):
    with meta_device():
        output = make(name).eval()(torch.empty(2, 64, 7, 5))
    assert output.is_meta
    assert output.shape == (2, 64, 7, 5)


# In networks.


@pytest.mark.parametrize(('depth', 'base_channels'), [(18, 32), (50, 16)])
def test_works_in_the_attention_slot_of_a_resnet(name, depth, base_channels):
    backbone = AttentionResNet(
        depth=depth, stage_blocks=(1, 1, 1, 1), base_channels=base_channels, attention=ATTENTION[name]
    )
    images = torch.randn(2, 3, 65, 47)
    assert backbone.eval()(images)[0].shape == (2, backbone.out_channels[0], 3, 2)


@pytest.mark.parametrize('name', ['psa', 'multi_scale'])
@pytest.mark.parametrize('depth', [18, 50])
def test_works_in_place_of_the_3x3_convolution(name, depth):
    backbone = AttentionResNet(
        depth=depth, stage_blocks=(1, 1, 1, 1), base_channels=32, conv2=ATTENTION[name]
    )
    assert backbone.eval()(torch.randn(1, 3, 64, 47))[0].shape == (1, backbone.out_channels[0], 2, 2)


def test_works_as_a_plugin_of_mmdets_resnet(name):
    from mmdet.models import ResNet

    plugins = [dict(cfg=ATTENTION[name], position='after_conv3')]
    backbone = ResNet(depth=50, base_channels=8, plugins=plugins)
    backbone.eval()  # which returns nothing in mmdet
    kind = MODELS.get(ATTENTION[name]['type'])
    assert sum(isinstance(module, kind) for module in backbone.modules()) == 16
    assert backbone(torch.randn(1, 3, 64, 64))[-1].shape == (1, 256, 2, 2)


# Squeeze-and-excitation, CBAM, efficient channel attention.


def test_squeeze_excite_with_zero_gate_weights_halves_its_input():
    module = SqueezeExcite(32)
    nn.init.zeros_(module.fc[2].weight)
    x = torch.randn(2, 32, 5, 3)
    torch.testing.assert_close(module(x), x / 2)


def test_cbam_with_zero_weights_gives_a_quarter_of_its_input():
    module = CBAM(32)
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    x = torch.randn(2, 32, 5, 3)
    torch.testing.assert_close(module(x), x / 4)


def test_cbam_honours_its_reduction():
    assert CBAM(32, reduction=4).ca.fc[0].weight.shape == (8, 32, 1, 1)


def test_efficient_channel_attention_with_a_zero_kernel_halves_its_input():
    module = EfficientChannelAttention(32)
    nn.init.zeros_(module.conv.weight)
    x = torch.randn(2, 32, 5, 3)
    torch.testing.assert_close(module(x), x / 2)


@pytest.mark.parametrize(
    ('channels', 'kernel_size'),
    [
        (1, 1),
        (7, 1),
        (8, 3),
        (64, 3),
        (127, 3),
        (128, 5),
        (256, 5),
        (512, 5),
        (1024, 5),
        (2047, 5),
        (2048, 7),
    ],
)
def test_efficient_channel_attention_kernel_sizes(channels, kernel_size):
    assert EfficientChannelAttention(channels).conv.kernel_size == (kernel_size,)


def test_efficient_channel_attention_takes_a_given_kernel_size():
    assert EfficientChannelAttention(256, kernel_size=3).conv.weight.shape == (1, 1, 3)


# Shuffle attention.


def test_shuffle_attention_scales_by_a_constant_at_the_start_and_shuffles():
    module = ShuffleAttention(64, groups=8)
    # Every channel is a constant, its own number.
    x = torch.arange(64.0)[None, :, None, None].expand(2, 64, 5, 3)
    origin = module(x)[0, :, 0, 0] / torch.sigmoid(torch.tensor(1.0))
    origin = origin.round().long().tolist()
    assert sorted(origin) == list(range(64))
    for i in (0, 1):
        for j in range(32):
            assert origin[2 * j + i] == i * 32 + j


def test_shuffle_attention_of_one_group_takes_a_single_pixel():
    module = perturbed(ShuffleAttention(8, groups=1))
    x = torch.randn(1, 8, 1, 1)
    torch.testing.assert_close(module(x), module(x.expand(2, 8, 1, 1))[:1])


# Frequency channel attention.


@pytest.mark.parametrize('grid', [7, 14, 56])
def test_filters_are_orthonormal_and_the_first_is_the_mean(grid):
    filters = dct_filters(32, grid)
    assert filters.shape == (32, grid, grid)
    assert filters.dtype == torch.float32
    assert torch.equal(filters[::2], filters[1::2])  # two channels for each of 16 frequencies
    flat = filters[::2].flatten(1)
    torch.testing.assert_close(flat @ flat.T, torch.eye(16), rtol=0, atol=1e-5)
    x = torch.randn(grid, grid)
    torch.testing.assert_close((filters[0] * x).sum(), x.mean() * grid, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('grid', [7, 14, 56])
@pytest.mark.parametrize('size', [(7, 7), (32, 32), (56, 56), (4, 9), (1, 1), (113, 40)], ids=str)
def test_frequency_attention_equals_pooling_and_filtering(grid, size):
    module = FrequencyChannelAttention(32, grid=grid).double()
    x = torch.randn(2, 32, *size, dtype=torch.float64)
    pooled = F.adaptive_avg_pool2d(x, grid)
    squeezed = (pooled * dct_filters(32, grid).double()).sum((2, 3))
    torch.testing.assert_close(module(x), x * module.fc(squeezed)[:, :, None, None], rtol=1e-6, atol=1e-7)


def test_frequency_attention_without_pooling_agrees_where_map_and_grid_are_equal():
    for size in (7, 14):
        pooled = FrequencyChannelAttention(32, grid=size)
        unpooled = FrequencyChannelAttention(32, grid=None)
        unpooled.load_state_dict(pooled.state_dict())
        x = torch.randn(2, 32, size, size)
        torch.testing.assert_close(unpooled(x), pooled(x))


def test_frequency_attention_without_pooling_is_a_cosine_transform_of_a_map_of_any_shape():
    module = FrequencyChannelAttention(16, grid=None).double()
    module.fc = nn.Identity()
    height, width = 10, 5
    # The ninth frequency, (5, 0) on the 7 x 7 grid, is (7, 0) here: one cosine along the rows.
    rows = torch.cos(torch.pi * 7 * (torch.arange(height, dtype=torch.float64) + 0.5) / height)
    x = torch.zeros(1, 16, height, width, dtype=torch.float64)
    x[0, 8] = rows[:, None]
    x[0, 0] = 1
    gates = module(x)[0] / x[0]
    expected = (height * width / 2) ** 0.5  # cosine, norm of the row part times sqrt(W)
    torch.testing.assert_close(gates[8], torch.full_like(gates[8], expected))
    torch.testing.assert_close(gates[0], torch.full_like(gates[0], (height * width) ** 0.5))


def test_frequency_attention_stores_no_table():
    assert set(FrequencyChannelAttention(32).state_dict()) == {'fc.0.weight', 'fc.2.weight'}


# Lightweight mixed-domain attention.


def test_mixed_domain_attention_with_zero_kernels_gives_a_quarter_of_its_input():
    module = LightweightMixedDomainAttention(64)
    nn.init.zeros_(module.conv_h.weight)
    nn.init.zeros_(module.conv_w.weight)
    x = torch.randn(2, 64, 5, 3)
    torch.testing.assert_close(module(x), x / 4)


def test_mixed_domain_attention_can_start_as_the_identity():
    x = torch.randn(2, 64, 5, 3)
    assert torch.equal(LightweightMixedDomainAttention(64, identity_start=True)(x), x)


def test_mixed_domain_attention_equals_its_formula():
    module = LightweightMixedDomainAttention(64)
    x = torch.randn(2, 64, 5, 3)
    row_kernel, column_kernel = module.conv_h.weight.flatten(), module.conv_w.weight.flatten()
    row_means, column_means = F.pad(x.mean(3), (0, 0, 1, 1)), F.pad(x.mean(2), (0, 0, 1, 1))
    rows = sum(row_kernel[t] * row_means[:, t : t + 64] for t in range(3))
    columns = sum(column_kernel[t] * column_means[:, t : t + 64] for t in range(3))
    expected = x * rows.sigmoid()[:, :, :, None] * columns.sigmoid()[:, :, None, :]
    torch.testing.assert_close(module(x), expected)


@pytest.mark.parametrize(
    ('kernel_size', 'channels'),
    [
        (1, (1, 2, 3, 4, 8, 16, 24, 26)),
        (3, (27, 32, 64, 96, 128, 144, 192, 215)),
        (5, (216, 256, 384, 512, 576, 960, 1024, 1722)),
        (7, (1723, 2048)),
    ],
)
def test_mixed_domain_attention_kernel_sizes(kernel_size, channels):
    for count in channels:
        assert LightweightMixedDomainAttention(count).conv_h.kernel_size == (1, kernel_size), count


def test_mixed_domain_attention_takes_a_given_kernel_size():
    assert LightweightMixedDomainAttention(64, kernel_size=5).conv_w.weight.shape == (1, 1, 1, 5)


# Attention over branches.


@pytest.mark.parametrize('kind', [MultiScaleAttention, PyramidSplitAttention])
def test_equal_gates_weigh_equally_and_the_branches_are_reversed(kind):
    module = kind(64).eval()
    nn.init.zeros_(module.se.fc[2].weight)  # every gate is the same constant: weights of 1/4
    x = torch.randn(2, 64, 9, 9)
    branches = [getattr(module, f'conv_{j}')(x) for j in (4, 3, 2, 1)]
    torch.testing.assert_close(module(x), torch.cat(branches, 1) / 4)


@pytest.mark.parametrize('kind', [MultiScaleAttention, PyramidSplitAttention])
def test_branches_take_a_stride(kind):
    assert kind(64, stride=2).eval()(torch.randn(1, 64, 9, 8)).shape == (1, 64, 5, 4)


def test_pyramid_split_attention_has_the_names_and_shapes_of_the_paper():
    shapes = {name: tuple(value.shape) for name, value in PyramidSplitAttention(256).state_dict().items()}
    assert shapes == {
        'conv_1.weight': (64, 256, 3, 3),
        'conv_2.weight': (64, 64, 5, 5),
        'conv_3.weight': (64, 32, 7, 7),
        'conv_4.weight': (64, 16, 9, 9),
        'se.fc.0.weight': (4, 64, 1, 1),
        'se.fc.0.bias': (4,),
        'se.fc.2.weight': (64, 4, 1, 1),
        'se.fc.2.bias': (64,),
    }


# SoftBAN.


def test_soft_ban_is_batch_norm_over_the_channel_count_at_the_start():
    x = torch.randn(4, 16, 6, 6) * 3 + 1
    expected = F.batch_norm(x, None, None, training=True)
    torch.testing.assert_close(SoftBAN(16)(x), expected / 16)
    torch.testing.assert_close(SoftBAN(16, scale='softmax_times_channels')(x), expected)
    torch.testing.assert_close(SoftBAN(16, scale='sigmoid')(x), expected * torch.sigmoid(torch.tensor(-1.0)))


def test_soft_ban_keeps_running_statistics_as_batch_norm_does():
    x = torch.randn(4, 16, 6, 6) * 3 + 1
    reference, ours = torch.nn.BatchNorm2d(16), SoftBAN(16)
    reference(x), ours(x)
    torch.testing.assert_close(ours.running_mean, reference.running_mean)
    torch.testing.assert_close(ours.running_var, reference.running_var)
    assert ours.num_batches_tracked == 0  # the authors' layer never counts


# Errors.


@pytest.mark.parametrize(
    ('build', 'message'),
    [
        (lambda: CBAM(8), 'in_channels=8 leaves no hidden unit at reduction=16. Use reduction=8 or less'),
        (lambda: CBAM(64, kernel_size=6), 'kernel_size must be odd .* got 6. Use 7'),
        (lambda: EfficientChannelAttention(64, kernel_size=4), 'kernel_size must be odd .* got 4. Use 5'),
        (lambda: ShuffleAttention(96), r'divisible by 2 \* groups, got in_channels=96 .* Use groups=48'),
        (lambda: ShuffleAttention(200, groups=16), 'Use groups=10'),
        (lambda: ShuffleAttention(33, groups=16), 'Use an even in_channels'),
        (lambda: FrequencyChannelAttention(40), 'divisible by its 16 frequencies, got 40. Use 48'),
        (lambda: FrequencyChannelAttention(16, reduction=32), 'Use reduction=16 or less'),
        (lambda: FrequencyChannelAttention(16, grid=0), 'grid must be a positive .* got 0. Use 7'),
        (lambda: dct_filters(8, 7), 'divisible by its 16 frequencies, got 8. Use 16'),
        (lambda: LightweightMixedDomainAttention(64, kernel_size=2), 'must be odd .* got 2. Use 3'),
        (lambda: PyramidSplitAttention(66), 'PyramidSplitAttention: .* 4 branches, got 66. Use 68'),
        (lambda: PyramidSplitAttention(64, kernels=(3, 4, 7, 9)), 'kernels must be odd .* got 4. Use 5'),
        (lambda: PyramidSplitAttention(64, groups=(1, 2)), 'one group count per kernel'),
        (lambda: PyramidSplitAttention(32), 'a branch has 8 channels, not divisible by groups=16'),
        (lambda: PyramidSplitAttention(32, groups=(1, 2, 4, 8)), 'Use gate_reduction=8 or less'),
        (lambda: MultiScaleAttention(64, mixer_kernel=8), 'mixer_kernel must be odd .* got 8. Use 9'),
    ],
)
def test_errors_say_what_was_expected_and_what_came(build, message):
    with pytest.raises(UserError, match=message):
        build()
