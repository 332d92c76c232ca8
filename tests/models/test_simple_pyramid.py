"""The neck that makes a pyramid of one map: sizes, each level by hand, DiffViT before it."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mdvision import UserError
from mdvision.models import DiffViT, SimplePyramid


def norm(x):
    """LayerNorm over the channels of a pixel."""
    return F.layer_norm(x.permute(0, 2, 3, 1), x.shape[1:2]).permute(0, 3, 1, 2)


@pytest.mark.parametrize('size', [(8, 12), (5, 3), (1, 1)])
def test_sizes_of_the_maps(size):
    height, width = size
    maps = SimplePyramid(16, 8, num_outs=5)((torch.randn(2, 16, *size),))
    assert [output.shape for output in maps] == [
        (2, 8, 4 * height, 4 * width),
        (2, 8, 2 * height, 2 * width),
        (2, 8, height, width),
        (2, 8, -(-height // 2), -(-width // 2)),
        (2, 8, -(-height // 4), -(-width // 4)),
    ]
    assert torch.equal(maps[4], maps[3][:, :, ::2, ::2])


def test_levels_by_hand():
    torch.manual_seed(0)
    neck = SimplePyramid(16, 8, scale_factors=(4, 1, 0.25))
    x = torch.randn(2, 16, 8, 12)
    first, _, _, second = neck.levels[0][0]
    assert (first.in_channels, first.out_channels, second.out_channels) == (16, 8, 4)
    quarter = x.unfold(2, 4, 4).unfold(3, 4, 4).amax((4, 5))
    for output, level, start in zip(
        neck((x,)), neck.levels, (second(F.gelu(norm(first(x)))), x, quarter), strict=True
    ):
        want = norm(F.conv2d(norm(F.conv2d(start, level[1].weight)), level[3].weight, padding=1))
        torch.testing.assert_close(output, want)


def test_every_parameter_learns_and_half_precision_stays_half():
    neck = SimplePyramid(16, 8)
    x = torch.randn(2, 16, 4, 4)
    sum((output * torch.randn_like(output)).sum() for output in neck((x,))).backward()
    assert all(p.grad.abs().max() > 0 for p in neck.parameters())
    for dtype in (torch.bfloat16, torch.float16):
        assert all(output.dtype == dtype for output in neck.to(dtype)((x.to(dtype),)))


def test_compiles_without_a_graph_break():
    torch._dynamo.reset()
    neck, x = SimplePyramid(16, 8, num_outs=5), (torch.randn(1, 16, 3, 5),)
    compiled = torch.compile(neck, fullgraph=True, backend='eager')
    for ours, theirs in zip(compiled(x), neck(x), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize('attention', ['self', 'differential', 'legacy'])
@pytest.mark.parametrize('size', [(37, 501), (64, 64), (1, 1)])
def test_it_follows_a_diff_vit_at_any_size(attention, size):
    vit = DiffViT(attention, image_size=64, patch_size=16, in_channels=3, embed_dim=32, out_type='featmap')
    model = nn.Sequential(vit, SimplePyramid(*vit.out_channels, 8))
    maps = model(torch.randn(1, 3, *size))
    height, width = (-(-length // 16) for length in size)
    assert [output.shape[2:] for output in maps[:3]] == [(f * height, f * width) for f in (4, 2, 1)]
    for output in model.bfloat16()(torch.randn(1, 3, *size).bfloat16()):
        assert output.dtype == torch.bfloat16 and output.isfinite().all()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(scale_factors=(3, 1)), r'decreasing powers of two, .* got \(3, 1\)'),
        (dict(scale_factors=(1, 2)), r'decreasing powers of two, .* got \(1, 2\)'),
        (dict(scale_factors=(1, 1)), r'decreasing powers of two, .* got \(1, 1\)'),
        (dict(scale_factors=(2, 0)), r'decreasing powers of two, .* got \(2, 0\)'),
        (dict(scale_factors=()), r'decreasing powers of two, .* got \(\)'),
        (dict(in_channels=18), 'a multiple of 4, .* got 18'),
        (dict(in_channels=[16, 32]), r'expected one feature map, got 2\..*FPN'),
        (dict(num_outs=3), 'num_outs must be at least 4, .* got 3'),
    ],
)
def test_errors_say_what_was_expected_and_what_came(arguments, message):
    with pytest.raises(UserError, match=message):
        SimplePyramid(**{'in_channels': 16, **arguments})


def test_several_maps_are_an_error():
    with pytest.raises(UserError, match=r'expected one feature map, got 2\..*FPN'):
        SimplePyramid(16)((torch.zeros(1, 16, 4, 4),) * 2)
