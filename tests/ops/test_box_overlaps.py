"""Overlaps of boxes against mmcv's own documentation of them, in PyTorch."""

import pytest
import torch
from mmcv.ops import bbox_overlaps
from mmcv.ops.bbox import _bbox_overlaps_cpu

from mdvision import ops

pytestmark = pytest.mark.fault('O4')

FIRST = [[0.0, 0, 10, 10], [10, 10, 20, 20], [32, 32, 38, 42]]
SECOND = [[0.0, 0, 10, 20], [0, 10, 10, 19], [10, 10, 20, 20]]


def boxes(rng, count, dtype=torch.float64):
    corner = torch.rand(count, 2, generator=rng, dtype=dtype) * 30
    return torch.cat([corner, corner + 1 + torch.rand(count, 2, generator=rng, dtype=dtype) * 20], dim=1)


def test_it_is_no_longer_missing(torchvision_backend):
    assert 'bbox_overlaps' in torchvision_backend.__all__
    assert ops.backend_of('bbox_overlaps') != 'missing'


def test_the_example_of_mmcv():
    assert bbox_overlaps(torch.tensor(FIRST), torch.tensor(SECOND)).tolist() == [
        [0.5, 0, 0],
        [0, 0, 1],
        [0, 0, 0],
    ]


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('mode', ['iou', 'iof'])
def test_it_is_what_mmcv_says_it_is(rng, mode, aligned, offset, dtype):
    first, second = boxes(rng, 40, dtype), boxes(rng, 40, dtype)
    found = bbox_overlaps(first, second, mode, aligned, offset)
    expected = _bbox_overlaps_cpu(first, second, mode, aligned, offset)
    assert (found > 0.1).any()
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize('mode', ['iou', 'iof'])
def test_gradients_reach_both_boxes(rng, mode):
    pair = [boxes(rng, 6).requires_grad_() for _ in range(2)]
    assert torch.autograd.gradcheck(lambda *pair: bbox_overlaps(*pair, mode), pair)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_16_bit_equals_float32_rounded_once(rng, dtype):
    first, second = boxes(rng, 20).to(dtype), boxes(rng, 30).to(dtype)
    found = bbox_overlaps(first, second)
    assert found.dtype == dtype
    torch.testing.assert_close(found, bbox_overlaps(first.float(), second.float()).to(dtype), rtol=0, atol=0)


def test_no_boxes_have_no_overlaps():
    assert bbox_overlaps(torch.zeros(0, 4), torch.tensor(FIRST)).shape == (0, 3)
