"""RoIAlign and RoIPool against direct numpy computations."""

import math

import numpy as np
import pytest
import torch
from mmcv.ops import RoIAlign, RoIPool, roi_align, roi_pool

from mdvision.ops import MissingOpError

ROIS = torch.tensor(
    [
        [0.0, 3.3, 2.1, 21.7, 17.9],
        [1.0, 0.0, 0.0, 27.0, 19.0],
        [1.0, -6.0, -4.0, 40.0, 30.0],  # reaches outside on every side
        [0.0, 9.2, 9.3, 9.9, 9.6],  # smaller than a map pixel
    ],
    dtype=torch.float64,
)


def bilinear(plane, y, x):
    """A sample of one (H, W) plane: 0 further than a pixel outside, the border's value within that pixel."""
    height, width = plane.shape
    if y < -1 or y > height or x < -1 or x > width:
        return 0.0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down, along = y - top, x - left
    upper = plane[top, left] * (1 - along) + plane[top, right] * along
    lower = plane[bottom, left] * (1 - along) + plane[bottom, right] * along
    return upper * (1 - down) + lower * down


def direct_roi_align(features, rois, size, scale, ratio, aligned):
    output = np.zeros((len(rois), features.shape[1], *size))
    for k, (batch, *corners) in enumerate(rois):
        left, top, right, bottom = (c * scale - (0.5 if aligned else 0) for c in corners)
        width, height = right - left, bottom - top
        if not aligned:
            width, height = max(width, 1), max(height, 1)
        bin_height, bin_width = height / size[0], width / size[1]
        rows, columns = ratio or math.ceil(bin_height), ratio or math.ceil(bin_width)
        for c, i, j in np.ndindex(output.shape[1:]):
            output[k, c, i, j] = np.mean(
                [
                    bilinear(
                        features[int(batch), c],
                        top + (i + (row + 0.5) / rows) * bin_height,
                        left + (j + (column + 0.5) / columns) * bin_width,
                    )
                    for row in range(rows)
                    for column in range(columns)
                ]
            )
    return output


def direct_roi_pool(features, rois, size, scale):
    height, width = features.shape[-2:]
    output = np.zeros((len(rois), features.shape[1], *size))
    for k, (batch, left, top, right, bottom) in enumerate(rois):
        left, top, right, bottom = left * scale, top * scale, (right + 1) * scale, (bottom + 1) * scale
        for c, i, j in np.ndindex(output.shape[1:]):
            rows, columns = (
                slice(
                    min(max(math.floor(start + index * (end - start) / bins), 0), limit),
                    min(max(math.ceil(start + (index + 1) * (end - start) / bins), 0), limit),
                )
                for index, start, end, bins, limit in (
                    (i, top, bottom, size[0], height),
                    (j, left, right, size[1], width),
                )
            )
            window = features[int(batch), c, rows, columns]
            output[k, c, i, j] = window.max() if window.size else 0
    return output


@pytest.fixture
def features(rng):
    """(2, 3, 10, 14), seen at half the image's resolution."""
    return torch.randn(2, 3, 10, 14, generator=rng, dtype=torch.float64)


def test_roi_align_of_a_ramp_gives_the_centres_of_the_bins():
    ramp = torch.arange(8.0).expand(1, 1, 8, 8)
    rois = torch.tensor([[0.0, 1, 1, 5, 5]])
    # aligned: map pixel i lies at i + 0.5, so the bins around 2 and 4 hold 1.5 and 3.5
    torch.testing.assert_close(roi_align(ramp, rois, (1, 2)), torch.tensor([[[[1.5, 3.5]]]]))
    torch.testing.assert_close(
        roi_align(ramp, rois, (1, 2), 1.0, 0, 'avg', False), torch.tensor([[[[2.0, 4.0]]]])
    )


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('ratio', [0, 1, 2])
def test_roi_align_agrees_with_direct_sampling(features, ratio, aligned):
    output = roi_align(features, ROIS, (3, 2), 0.5, ratio, 'avg', aligned)
    expected = direct_roi_align(features.numpy(), ROIS.numpy(), (3, 2), 0.5, ratio, aligned)
    np.testing.assert_allclose(output.numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('ratio', [0, 2])
def test_roi_align_has_the_right_gradient(features, ratio, aligned):
    features = features[:, :1].clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: roi_align(x, ROIS, (2, 2), 0.5, ratio, 'avg', aligned), (features,)
    )


@pytest.mark.fault('D26')
def test_roi_align_is_never_the_form_in_python_that_needs_a_compiler(features, monkeypatch):
    """torchvision's function takes it where deterministic algorithms are asked for on a GPU."""

    def python_form(*args, **kwargs):
        raise AssertionError('went through torchvision.ops.roi_align')

    expected = roi_align(features, ROIS, (3, 2), 0.5, 2)
    monkeypatch.setattr('torchvision.ops.roi_align', python_form)
    torch.use_deterministic_algorithms(True)
    try:
        features = features.clone().requires_grad_()
        output = roi_align(features, ROIS, (3, 2), 0.5, 2)
        output.sum().backward()
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(output, expected)
    assert features.grad.abs().sum() > 0


def test_roi_pool_takes_the_maximum_of_each_bin():
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    output = roi_pool(image, torch.tensor([[0.0, 0, 0, 3, 3]]), (2, 2), 1.0)
    assert output.tolist() == [[[[5, 7], [13, 15]]]]


def test_roi_pool_does_not_round_the_roi_as_torchvision_does():
    # x from 1.4 to 3.4 in one bin: pixels 1 to 3; torchvision rounds to 1 and 2 first
    image = torch.tensor([[[[0.0, 1, 2, 3, 4]]]])
    assert roi_pool(image, torch.tensor([[0, 1.4, 0, 2.4, 0]]), (1, 1), 1.0).item() == 3


def test_roi_pool_agrees_with_direct_maxima(features):
    output = roi_pool(features, ROIS, (3, 2), 0.5)
    expected = direct_roi_pool(features.numpy(), ROIS.numpy(), (3, 2), 0.5)
    np.testing.assert_allclose(output.numpy(), expected, rtol=0, atol=0)


def test_roi_pool_has_the_right_gradient(features):
    features = features[:, :1].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: roi_pool(x, ROIS, (3, 2), 0.5), (features,))


def test_roi_pool_gives_zero_and_no_gradient_outside_the_map():
    image = torch.full((1, 1, 4, 4), -2.0, requires_grad=True)
    # beyond the right edge, and two rois whose sides are inverted, one within a single pixel
    rois = torch.tensor([[0.0, 9, 0, 12, 3], [0, 3, 3, 1, 1], [0, 2.6, 0, 1.3, 3]])
    output = roi_pool(image, rois, (2, 2), 1.0)
    output.sum().backward()
    assert output.tolist() == [[[[0, 0], [0, 0]]]] * 3
    assert image.grad.abs().sum() == 0


@pytest.mark.parametrize('layer', [RoIAlign((3, 2), 0.5, 0), RoIPool((3, 2), 0.5)], ids=['align', 'pool'])
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_16_bit_pooling_equals_float32_rounded_once(features, layer, dtype):
    low = features.to(dtype).requires_grad_()
    rois = ROIS.to(dtype)
    wide = low.detach().float().requires_grad_()
    output, expected = layer(low, rois), layer(wide, rois.float())
    assert output.dtype == dtype
    torch.testing.assert_close(output, expected.to(dtype), rtol=0, atol=0)
    output.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(low.grad, wide.grad.to(dtype), rtol=0, atol=0)


@pytest.mark.parametrize('layer', [RoIAlign((3, 2), 0.5, 0), RoIPool((3, 2), 0.5)], ids=['align', 'pool'])
@pytest.mark.parametrize('batch', [0, 2])
def test_no_rois_give_an_empty_output_and_a_zero_gradient(layer, batch):
    features = torch.ones(batch, 3, 10, 14, requires_grad=True)
    output = layer(features, torch.zeros(0, 5))
    assert output.shape == (0, 3, 3, 2)
    output.sum().backward()
    assert features.grad.shape == features.shape
    assert features.grad.abs().sum() == 0


def test_roi_align_mixes_16_bit_features_with_float32_rois(features):
    low = features.to(torch.bfloat16)
    output = roi_align(low, ROIS.float(), (3, 2), 0.5)
    expected = roi_align(low.float(), ROIS.float(), (3, 2), 0.5)
    torch.testing.assert_close(output, expected.to(torch.bfloat16), rtol=0, atol=0)


def test_roi_align_with_max_pooling_says_what_it_needs(features):
    with pytest.raises(MissingOpError, match=r"pool_mode='max'.*onedl-mmcv"):
        roi_align(features, ROIS, (2, 2), 0.5, 0, 'max')


def test_the_gradient_of_roi_pool_reaches_the_very_first_pixel():
    features = torch.tensor([[[[9.0, 1.0], [2.0, 3.0]]]], requires_grad=True)
    roi_pool(features, torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0]]), 1, 1.0).sum().backward()
    assert features.grad.tolist() == [[[[1.0, 0.0], [0.0, 0.0]]]]


def test_regions_of_roi_pool_that_leave_the_map_end_at_its_border():
    features = torch.arange(1.0, 13.0).reshape(1, 1, 3, 4)
    rois = torch.tensor([[0.0, -20.0, -20.0, 20.0, 20.0], [0.0, 10.0, 10.0, 20.0, 20.0]])
    pooled = roi_pool(features, rois, 1, 1.0)
    assert pooled.flatten().tolist() == [12.0, 0.0]  # all of the map; nothing of it
    parts = roi_pool(features, torch.tensor([[0.0, -8.0, 0.0, 4.0, 3.0]]), 2, 1.0)
    assert parts[0, 0, :, 0].tolist() == [0.0, 0.0]  # the left half lies outside
