"""Identities of the attention modules."""

import pytest
import torch
from torch.nn import functional as F

from mdvision import MultiScaleAttention, SoftBAN, SqueezeExcite


@pytest.mark.parametrize('make', [SqueezeExcite, MultiScaleAttention])
def test_shape_is_kept_at_odd_sizes_and_a_batch_of_one(make):
    module = make(64).eval()
    for shape in ((1, 64, 7, 5), (2, 64, 1, 1), (3, 64, 8, 8)):
        assert module(torch.randn(shape)).shape == shape


@pytest.mark.parametrize('make', [SqueezeExcite, MultiScaleAttention])
def test_half_precision_stays_half(make):
    module = make(64).to(torch.bfloat16).eval()
    assert module(torch.randn(1, 64, 8, 8, dtype=torch.bfloat16)).dtype == torch.bfloat16


@pytest.mark.parametrize('make', [SqueezeExcite, MultiScaleAttention])
def test_compiles_without_a_graph_break(make):
    torch._dynamo.reset()
    module = make(64).eval()
    compiled = torch.compile(module, fullgraph=True, backend='eager')
    x = torch.randn(2, 64, 8, 8)
    torch.testing.assert_close(compiled(x), module(x))


def test_squeeze_excite_with_zero_gate_weights_halves_its_input():
    module = SqueezeExcite(32)
    torch.nn.init.zeros_(module.fc[2].weight)
    x = torch.randn(2, 32, 5, 3)
    torch.testing.assert_close(module(x), x / 2)


def test_multi_scale_attention_weighs_equal_gates_equally_and_reverses_the_branches():
    module = MultiScaleAttention(64).eval()
    torch.nn.init.zeros_(module.se.fc[2].weight)  # every gate is the same constant: weights of 1/4
    x = torch.randn(2, 64, 9, 9)
    branches = [getattr(module, f'conv_{j}')(x) for j in (4, 3, 2, 1)]
    torch.testing.assert_close(module(x), torch.cat(branches, 1) / 4)


def test_multi_scale_attention_strides():
    assert MultiScaleAttention(64, stride=2).eval()(torch.randn(1, 64, 9, 8)).shape == (1, 64, 5, 4)


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
