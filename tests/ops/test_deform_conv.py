"""Deformable convolution: identities with the plain convolution, and gradients."""

import pytest
import torch
from mmcv.ops import DeformConv2dPack, ModulatedDeformConv2dPack, deform_conv2d, modulated_deform_conv2d
from torch.nn import functional as F

# stride, padding, dilation, group, deform_groups
GEOMETRIES = [(1, 1, 1, 1, 1), (2, 1, 1, 1, 1), ((1, 2), (2, 1), (2, 1), 2, 1), (1, 1, 1, 1, 2)]


def tensors(rng, stride, padding, dilation, group, deform_groups, dtype=torch.float64):
    """Random (image, offset, mask, weight, bias): 2 images with 4 channels, 6 outputs, a 3 x 3 kernel."""
    image = torch.randn(2, 4, 7, 6, generator=rng, dtype=dtype)
    weight = torch.randn(6, 4 // group, 3, 3, generator=rng, dtype=dtype)
    size = F.conv2d(image, weight, None, stride, padding, dilation, group).shape[-2:]
    offset = torch.randn(2, deform_groups * 18, *size, generator=rng, dtype=dtype)
    mask = torch.rand(2, deform_groups * 9, *size, generator=rng, dtype=dtype)
    return image, offset, mask, weight, torch.randn(6, generator=rng, dtype=dtype)


def convolve(version, image, offset, mask, weight, bias, *geometry):
    if version == 1:
        return deform_conv2d(image, offset, weight, *geometry)
    return modulated_deform_conv2d(image, offset, mask, weight, bias, *geometry)


@pytest.mark.parametrize('geometry', GEOMETRIES)
def test_offsets_of_zero_give_the_plain_convolution(rng, geometry):
    image, offset, _, weight, _ = tensors(rng, *geometry)
    expected = F.conv2d(image, weight, None, *geometry[:4])
    torch.testing.assert_close(deform_conv2d(image, torch.zeros_like(offset), weight, *geometry), expected)


@pytest.mark.parametrize('geometry', GEOMETRIES)
def test_offsets_of_zero_and_a_mask_of_one_half_halve_the_plain_convolution(rng, geometry):
    image, offset, mask, weight, bias = tensors(rng, *geometry)
    output = modulated_deform_conv2d(
        image, torch.zeros_like(offset), torch.full_like(mask, 0.5), weight, bias, *geometry
    )
    expected = F.conv2d(image, weight, None, *geometry[:4]) / 2 + bias[:, None, None]
    torch.testing.assert_close(output, expected)


@pytest.mark.parametrize('version', [1, 2])
def test_whole_pixel_offsets_shift_the_image(rng, version):
    geometry = GEOMETRIES[0]
    image, offset, mask, weight, _ = tensors(rng, *geometry)
    offset[:, 0::2], offset[:, 1::2] = 2, -1  # y first: look two rows down, one column to the left
    shifted = torch.zeros_like(image)
    shifted[:, :, :-2, 1:] = image[:, :, 2:, :-1]
    output = convolve(version, image, offset, torch.ones_like(mask), weight, None, *geometry)
    # away from the border, where the shifted image's own padding differs
    inside = (slice(None), slice(None), slice(1, -3), slice(2, -1))
    torch.testing.assert_close(output[inside], F.conv2d(shifted, weight, None, 1, 1)[inside])


def test_each_deform_group_moves_its_own_channels(rng):
    geometry = GEOMETRIES[3]
    image, offset, _, weight, _ = tensors(rng, *geometry)
    output = deform_conv2d(image, offset, weight, *geometry)
    halves = [
        deform_conv2d(image[:, c], offset[:, o], weight[:, c].contiguous(), 1, 1)
        for c, o in ((slice(0, 2), slice(0, 18)), (slice(2, 4), slice(18, 36)))
    ]
    torch.testing.assert_close(output, halves[0] + halves[1])


@pytest.mark.parametrize('geometry', GEOMETRIES)
def test_version_1_has_the_right_gradients(rng, geometry):
    image, offset, _, weight, _ = tensors(rng, *geometry)
    inputs = [t[:1].requires_grad_() for t in (image, offset)] + [weight.requires_grad_()]
    assert torch.autograd.gradcheck(lambda *t: deform_conv2d(*t, *geometry), inputs, fast_mode=True)


@pytest.mark.parametrize('with_bias', [True, False])
@pytest.mark.parametrize('geometry', GEOMETRIES)
def test_version_2_has_the_right_gradients(rng, geometry, with_bias):
    image, offset, mask, weight, bias = tensors(rng, *geometry)
    inputs = [t[:1].requires_grad_() for t in (image, offset, mask)] + [weight.requires_grad_()]
    inputs += [bias.requires_grad_() if with_bias else None]
    assert torch.autograd.gradcheck(lambda *t: modulated_deform_conv2d(*t, *geometry), inputs, fast_mode=True)


# y and x of each sample of a 2 x 2 kernel, from mmcv's compiled operators: what is a pixel or more outside
# the image (at -1, or 3 of 3) does not move inwards, the rest sees the ramp and the lower and right border
ZERO_OFFSET_GRADIENT = [-6.0, -3, -6, -3, -6, -3, -6, -3]


@pytest.mark.fault('O2')
@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize('layer', [DeformConv2dPack, ModulatedDeformConv2dPack])
def test_a_sample_on_the_outer_rim_of_the_padding_does_not_move(layer, dtype):
    """At offsets of zero, where every deformable convolution starts."""
    layer = layer(1, 1, 2, padding=1)
    torch.nn.init.ones_(layer.weight)
    layer.to(dtype)(torch.tensor([1.0, 2, 3], dtype=dtype).expand(1, 1, 3, 3)).sum().backward()
    gradient = layer.conv_offset.bias.grad.tolist()
    if isinstance(layer, ModulatedDeformConv2dPack):  # the mask, a sigmoid, starts at one half
        assert gradient == [value / 2 for value in ZERO_OFFSET_GRADIENT] + [4.5] * 4
    else:
        assert gradient == ZERO_OFFSET_GRADIENT


@pytest.mark.fault('O2')
@pytest.mark.parametrize('geometry', GEOMETRIES)
def test_samples_of_the_plain_grid_have_no_gradient_outside_and_one_inside(rng, geometry):
    stride, padding, dilation, _, deform_groups = geometry
    image, offset, mask, weight, bias = tensors(rng, *geometry)
    offset = torch.zeros_like(offset).requires_grad_()
    modulated_deform_conv2d(image, offset, mask, weight, bias, *geometry).square().sum().backward()
    ones = torch.ones(1, 1, *image.shape[2:], dtype=image.dtype)
    inside = F.unfold(ones, 3, dilation, padding, stride).unflatten(1, (1, 1, 9, 1))
    grad = offset.grad.unflatten(1, (deform_groups, 9, 2)).flatten(-2)
    assert bool(((grad != 0) == inside.bool().squeeze(1)).all())


@pytest.mark.fault('O1')
def test_a_larger_map_of_offsets_is_read_as_mmcv_reads_it(rng):
    """From the first value on, as if it had the size of the output; the rest has no gradient."""
    geometry = (2, 1, 1, 1, 2)
    image, offset, mask, weight, bias = tensors(rng, *geometry)
    size = offset.shape[2:]

    def enlarged(small):
        large = torch.randn(*small.shape[:2], 2 * size[0], 2 * size[1], generator=rng, dtype=small.dtype)
        large.flatten(1)[:, : small[0].numel()] = small.flatten(1)
        return large.requires_grad_()

    small = [t.requires_grad_() for t in (image, offset, mask, weight, bias)]
    large = [
        image.detach().clone().requires_grad_(),
        *map(enlarged, (offset.detach(), mask.detach())),
        weight,
        bias,
    ]
    expected = modulated_deform_conv2d(*small, *geometry)
    output = modulated_deform_conv2d(*large, *geometry)
    torch.testing.assert_close(output, expected, rtol=0, atol=0)
    wanted = torch.autograd.grad(expected.square().sum(), small)
    found = torch.autograd.grad(output.square().sum(), large)
    for name, got, want in zip(('image', 'offset', 'mask', 'weight', 'bias'), found, wanted, strict=True):
        got, want = (
            got.flatten(1) if got.dim() > 1 else got[None],
            want.flatten(1) if want.dim() > 1 else want[None],
        )
        torch.testing.assert_close(got[:, : want.shape[1]], want, msg=name)
        assert got[:, want.shape[1] :].abs().sum() == 0


@pytest.mark.parametrize('version', [1, 2])
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_16_bit_equals_float32_rounded_once(rng, version, dtype):
    geometry = GEOMETRIES[1]
    low = [t.to(dtype).requires_grad_() for t in tensors(rng, *geometry)]
    wide = [t.detach().float().requires_grad_() for t in low]
    output, expected = convolve(version, *low, *geometry), convolve(version, *wide, *geometry)
    assert output.dtype == dtype
    torch.testing.assert_close(output, expected.to(dtype), rtol=0, atol=0)
    output.sum().backward()
    expected.sum().backward()
    for got, wanted in zip(low, wide, strict=True):
        if wanted.grad is None:
            assert got.grad is None  # version 1 has neither mask nor bias
        else:
            torch.testing.assert_close(got.grad, wanted.grad.to(dtype), rtol=0, atol=0)


@pytest.mark.parametrize('layer', [DeformConv2dPack, ModulatedDeformConv2dPack])
def test_layers_train_under_autocast(rng, layer):
    layer = layer(4, 6, 3, padding=1)
    image = torch.randn(2, 4, 7, 6, generator=rng)
    with torch.autocast('cpu', torch.bfloat16):
        output = layer(image)
    output.float().square().sum().backward()
    assert output.dtype == torch.bfloat16
    expected = layer(image)
    torch.testing.assert_close(output.float(), expected, rtol=2**-6, atol=2**-6)
    assert all(p.grad.isfinite().all() for p in layer.parameters())
    assert layer.conv_offset.weight.grad.abs().sum() > 0


def test_an_image_smaller_than_the_kernel_is_padded(rng):
    layer = DeformConv2dPack(1, 1, 3, padding=1)
    assert layer(torch.randn(1, 1, 2, 2, generator=rng)).shape == (1, 1, 2, 2)


def test_an_empty_batch_gives_an_empty_output(torchvision_backend):
    # mmcv itself refuses an empty batch before it calls
    output = torch.empty(0, 6, 5, 5)
    image, weight, offset, mask = (
        torch.zeros(s) for s in ((0, 4, 5, 5), (6, 4, 3, 3), (0, 18, 5, 5), (0, 9, 5, 5))
    )
    scratch = torch.empty(0)
    torchvision_backend.modulated_deform_conv_forward(
        image, weight, scratch, scratch, offset, mask, output, scratch, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, False
    )
    torchvision_backend.deform_conv_forward(
        image, weight, offset, output, scratch, scratch, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1
    )
    assert output.shape == (0, 6, 5, 5)


def test_the_gradient_of_the_parameters_is_scaled_and_added(rng, torchvision_backend):
    image, offset, _, weight, _ = tensors(rng, *GEOMETRIES[0])
    grad_output = torch.randn(2, 6, 7, 6, generator=rng, dtype=torch.float64)
    scratch = torch.empty(0)

    def backward(start, scale):
        grad = torch.full_like(weight, start)
        torchvision_backend.deform_conv_backward_parameters(
            image, offset, grad_output, grad, scratch, scratch, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, scale, 2
        )
        return grad

    torch.testing.assert_close(backward(5.0, 0.5), 5 + backward(0.0, 1) / 2)
