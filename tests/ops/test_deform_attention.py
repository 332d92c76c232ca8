"""Deformable attention: the operator that mmcv calls for tensors on a GPU, run here on the CPU."""

import pytest
import torch
from mmcv.ops.multi_scale_deform_attn import (
    MultiScaleDeformableAttnFunction,
    multi_scale_deformable_attn_pytorch,
)

from mdvision import ops

pytestmark = pytest.mark.fault('O3')

SHAPES = torch.tensor([[6, 4], [3, 2], [1, 1]])
STARTS = torch.tensor([0, 24, 30])


def tensors(rng, dtype=torch.float64):
    """value, places (some far outside) and weights: 2 images, 3 heads of 5 channels, 7 queries."""
    value = torch.randn(2, 31, 3, 5, generator=rng, dtype=dtype)
    locations = torch.rand(2, 7, 3, 3, 4, 2, generator=rng, dtype=dtype) * 1.6 - 0.3
    weights = torch.rand(2, 7, 3, 3, 4, generator=rng, dtype=dtype)
    return [t.requires_grad_() for t in (value, locations, weights)]


def attend(value, locations, weights):
    return MultiScaleDeformableAttnFunction.apply(value, SHAPES, STARTS, locations, weights, 64)


def test_it_is_no_longer_missing(torchvision_backend):
    assert {'ms_deform_attn_forward', 'ms_deform_attn_backward'} <= set(torchvision_backend.__all__)
    assert ops.backend_of('ms_deform_attn_forward') != 'missing'


def test_output_and_gradients_are_those_of_mmcvs_own_form_for_the_cpu(rng):
    inputs = tensors(rng)
    output, expected = attend(*inputs), multi_scale_deformable_attn_pytorch(inputs[0], SHAPES, *inputs[1:])
    torch.testing.assert_close(output, expected, rtol=0, atol=0)
    found = torch.autograd.grad(output.square().sum(), inputs)
    wanted = torch.autograd.grad(expected.square().sum(), inputs)
    for got, want in zip(found, wanted, strict=True):
        assert want.abs().sum() > 0
        torch.testing.assert_close(got, want)


def test_it_has_the_right_gradients(rng):
    assert torch.autograd.gradcheck(attend, tensors(rng), fast_mode=True)


def test_points_exactly_one_pixel_outside_do_not_move(rng):
    """At pixel -1 the value is 0, and mmcv's kernel leaves the point where it is."""
    value, locations, weights = tensors(rng)
    at = (-1 + 0.5) / SHAPES.flip(1).double()  # x = y = -1 of every map
    locations = at[:, None].expand_as(locations).contiguous().requires_grad_()
    inward = (locations.detach() + 1e-3).requires_grad_()
    for places, moves in ((locations, False), (inward, True)):
        attend(value, places, weights).sum().backward()
        assert bool(places.grad.abs().sum() > 0) == moves


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_16_bit_equals_float32_rounded_once(rng, dtype):
    low = [t.detach().to(dtype).requires_grad_() for t in tensors(rng)]
    wide = [t.detach().float().requires_grad_() for t in low]
    output, expected = attend(*low), attend(*wide)
    assert output.dtype == dtype
    torch.testing.assert_close(output, expected.to(dtype), rtol=0, atol=0)
    output.sum().backward()
    expected.sum().backward()
    for got, want in zip(low, wide, strict=True):
        torch.testing.assert_close(got.grad, want.grad.to(dtype), rtol=0, atol=0)
