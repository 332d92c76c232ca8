"""The torchvision backend against mmcv's compiled operators, where a compiled extension loads.

RoIPool and focal loss have no compiled CPU version; they are compared on CUDA only.
"""

import importlib.util
from importlib.machinery import PathFinder

import mmcv
import pytest
import torch
from torch.nn import functional as F


def load_compiled():
    """mmcv's own extension, whatever is in its place in sys.modules; None where there is none that loads."""
    spec = PathFinder.find_spec('mmcv._ext', mmcv.__path__)
    if spec is None:
        return None
    try:
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    except (ImportError, OSError):
        return None
    return module


compiled = load_compiled()
if compiled is None:
    pytest.skip('no compiled mmcv._ext loads here', allow_module_level=True)

CUDA_ONLY = ['cuda'] if torch.cuda.is_available() else []
DEVICES = ['cpu', *CUDA_ONLY]


@pytest.fixture(params=range(3))
def rng(request):
    return torch.Generator().manual_seed(request.param)


@pytest.fixture
def agree(torchvision_backend):
    """Calls an operator of both on the same tensors; results and outputs agree to 2e-6 of their size."""

    def agree(name, tensors, outputs, **options):
        """``tensors`` and ``outputs`` are dicts of arguments by name; each side gets its own outputs."""
        results = []
        for extension in (compiled, torchvision_backend):
            own = {key: value.clone() for key, value in outputs.items()}
            returned = getattr(extension, name)(**tensors, **own, **options)
            results.append((returned, own))
        (returned, expected), (got_returned, got) = results
        if returned is not None:
            assert returned.tolist() == got_returned.tolist()
        for key, value in expected.items():
            if value.numel() == 0:
                continue
            difference = (got[key].double() - value.double()).abs().max().item()
            print(f'{name}.{key}: max abs difference {difference:.1e} of {value.abs().max():.1f}')
            assert difference <= 2e-6 * max(1, value.abs().max().item())
        return returned, expected

    return agree


def random_boxes(rng, count):
    corner = torch.rand(count, 2, generator=rng) * 100
    return torch.cat([corner, corner + 1 + torch.rand(count, 2, generator=rng) * 60], dim=1)


def random_rois(rng, count, batch):
    index = torch.randint(0, batch, (count, 1), generator=rng).float()
    return torch.cat([index, random_boxes(rng, count) - 10], dim=1)


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('threshold', [0.3, 0.6, 0.7])
@pytest.mark.parametrize('device', DEVICES)
def test_nms_keeps_the_same_boxes(rng, agree, device, threshold, offset):
    scores = torch.rand(500, generator=rng)
    tensors = dict(boxes=random_boxes(rng, 500).to(device), scores=scores.to(device))
    kept, _ = agree('nms', tensors, {}, iou_threshold=threshold, offset=offset)
    assert 20 < len(kept) < 500


def test_nms_treats_an_iou_equal_to_the_threshold_alike(agree):
    for tenths in range(1, 10):
        tensors = dict(
            boxes=torch.tensor([[0.0, 0, 10, 1], [0, 0, tenths, 1]]), scores=torch.tensor([0.9, 0.8])
        )
        kept, _ = agree('nms', tensors, {}, iou_threshold=tenths / 10, offset=0)
        assert kept.tolist() == [0, 1]


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('min_score', [0.001, 0.2])
@pytest.mark.parametrize('method', [0, 1, 2])
def test_soft_nms_gives_the_same_boxes_in_the_same_order(rng, agree, method, min_score, offset):
    scores = (torch.rand(200, generator=rng) * 10).round() / 10  # many ties
    kept, outputs = agree(
        'softnms',
        dict(boxes=random_boxes(rng, 200), scores=scores),
        dict(dets=torch.zeros(200, 5)),
        iou_threshold=0.3,
        sigma=0.5,
        min_score=min_score,
        method=method,
        offset=offset,
    )
    assert 5 < len(kept) < 200
    assert outputs['dets'][: len(kept)].abs().sum() > 0


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('ratio', [0, 2])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('device', DEVICES)
def test_roi_align_gives_the_same_output_and_gradient(rng, agree, device, dtype, ratio, aligned):
    features = torch.randn(2, 8, 20, 24, generator=rng).to(device, dtype)
    rois = random_rois(rng, 40, 2).to(device, dtype)
    scratch = {key: features.new_zeros(0) for key in ('argmax_y', 'argmax_x')}
    options = dict(
        aligned_height=7,
        aligned_width=5,
        spatial_scale=0.25,
        sampling_ratio=ratio,
        pool_mode=1,
        aligned=aligned,
    )
    output = dict(output=features.new_zeros(40, 8, 7, 5))
    _, expected = agree('roi_align_forward', dict(input=features, rois=rois, **scratch), output, **options)
    grad_output = torch.randn(expected['output'].shape, generator=rng).to(device, dtype)
    agree(
        'roi_align_backward',
        dict(grad_output=grad_output, rois=rois, **scratch),
        dict(grad_input=torch.ones_like(features)),  # both add to what is there
        **options,
    )


@pytest.mark.parametrize('device', CUDA_ONLY)
def test_roi_pool_gives_the_same_output_and_gradient(rng, agree, device):
    features = torch.randn(2, 8, 20, 24, generator=rng).to(device)
    rois = random_rois(rng, 40, 2).to(device)
    options = dict(pooled_height=7, pooled_width=5, spatial_scale=0.25)
    output = dict(
        output=features.new_zeros(40, 8, 7, 5), argmax=features.new_zeros(40, 8, 7, 5, dtype=torch.int)
    )
    _, expected = agree('roi_pool_forward', dict(input=features, rois=rois), output, **options)
    grad_output = torch.randn(40, 8, 7, 5, generator=rng).to(device)
    agree(
        'roi_pool_backward',
        dict(grad_output=grad_output, rois=rois, argmax=expected['argmax']),
        dict(grad_input=torch.ones_like(features)),
        **options,
    )


@pytest.mark.parametrize('weighted', [True, False])
@pytest.mark.parametrize('device', CUDA_ONLY)
def test_focal_loss_gives_the_same_loss_and_gradient(rng, agree, device, weighted):
    logits = (torch.randn(50, 9, generator=rng) * 3).to(device)
    # with weights mmcv reads outside them for the background class, 9
    target = torch.randint(0, 9 if weighted else 10, (50,), generator=rng).to(device)
    weight = torch.rand(9 if weighted else 0, generator=rng).to(device)
    tensors = dict(input=logits, target=target, weight=weight)
    agree('sigmoid_focal_loss_forward', tensors, dict(output=torch.zeros_like(logits)), gamma=2.0, alpha=0.25)
    agree(
        'sigmoid_focal_loss_backward',
        tensors,
        dict(grad_input=torch.zeros_like(logits)),
        gamma=2.0,
        alpha=0.25,
    )


# stride, padding, dilation, group, deform_groups
GEOMETRIES = [((1, 1), (1, 1), (1, 1), 1, 1), ((2, 2), (1, 1), (1, 1), 1, 2), ((1, 2), (2, 1), (2, 1), 2, 1)]


def deform_case(rng, geometry, device, dtype, kind):
    stride, padding, dilation, group, deform_groups = geometry
    image = torch.randn(2, 4, 13, 11, generator=rng)
    weight = torch.randn(6, 4 // group, 3, 3, generator=rng)
    grad_output = torch.empty_like(F.conv2d(image, weight, None, stride, padding, dilation, group))
    grad_output.normal_(generator=rng)
    size = grad_output.shape[-2:]
    offset = torch.randn(2, deform_groups * 18, *size, generator=rng) * 2
    # whole pixels, where many samples lie exactly on the rim of the padding; zero is where training starts
    offset = dict(anywhere=offset, whole=offset.round(), zero=offset * 0)[kind]
    mask = torch.rand(2, deform_groups * 9, *size, generator=rng)
    bias = torch.randn(6, generator=rng)
    return [t.to(device, dtype) for t in (image, weight, offset, mask, bias, grad_output)]


@pytest.mark.fault('O2')
@pytest.mark.parametrize('offsets', ['anywhere', 'whole', 'zero'])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('geometry', GEOMETRIES)
@pytest.mark.parametrize('device', DEVICES)
def test_deform_conv_gives_the_same_output_and_gradients(rng, agree, device, geometry, dtype, offsets):
    image, weight, offset, _, _, grad_output = deform_case(rng, geometry, device, dtype, offsets)
    (stride, padding, dilation, group, deform_groups), scratch = geometry, image.new_empty(0)
    options = dict(kH=3, kW=3, dH=stride[0], dW=stride[1], padH=padding[0], padW=padding[1])
    options |= dict(dilationH=dilation[0], dilationW=dilation[1], group=group)
    options |= dict(deformable_group=deform_groups, im2col_step=2)
    inputs = dict(input=image, offset=offset)
    agree(
        'deform_conv_forward',
        dict(**inputs, weight=weight, columns=scratch, ones=scratch),
        dict(output=torch.zeros_like(grad_output)),
        **options,
    )
    agree(
        'deform_conv_backward_input',
        dict(**inputs, gradOutput=grad_output, weight=weight, columns=scratch),
        dict(gradInput=torch.ones_like(image), gradOffset=torch.ones_like(offset)),
        **options,
    )
    agree(
        'deform_conv_backward_parameters',
        dict(**inputs, gradOutput=grad_output, columns=scratch, ones=scratch),
        dict(gradWeight=torch.ones_like(weight)),
        scale=0.5,
        **options,
    )


@pytest.mark.fault('O1', 'O2')
@pytest.mark.parametrize('offsets', ['anywhere', 'whole', 'zero', 'larger map'])
@pytest.mark.parametrize('with_bias', [True, False])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('geometry', GEOMETRIES)
@pytest.mark.parametrize('device', DEVICES)
def test_modulated_deform_conv_gives_the_same_output_and_gradients(
    rng, agree, device, geometry, dtype, with_bias, offsets
):
    larger = offsets == 'larger map'
    case = deform_case(rng, geometry, device, dtype, 'anywhere' if larger else offsets)
    image, weight, offset, mask, bias, grad_output = case
    if larger:  # DyHead's
        offset, mask = (t.repeat_interleave(2, 2).repeat(1, 1, 1, 3) for t in (offset, mask))
    (stride, padding, dilation, group, deform_groups), scratch = geometry, image.new_empty(0)
    if not with_bias:
        bias = scratch
    options = dict(kernel_h=3, kernel_w=3, stride_h=stride[0], stride_w=stride[1])
    options |= dict(pad_h=padding[0], pad_w=padding[1], dilation_h=dilation[0], dilation_w=dilation[1])
    options |= dict(group=group, deformable_group=deform_groups, with_bias=with_bias)
    inputs = dict(
        input=image, weight=weight, bias=bias, offset=offset, mask=mask, ones=scratch, columns=scratch
    )
    agree('modulated_deform_conv_forward', inputs, dict(output=torch.zeros_like(grad_output)), **options)
    starts = dict(input=image, weight=weight, bias=bias, offset=offset, mask=mask)
    agree(
        'modulated_deform_conv_backward',
        dict(**inputs, grad_output=grad_output),
        # mmcv.ops hands zeros; the compiled operator leaves those of the values that it does not read alone
        {f'grad_{key}': torch.full_like(value, not larger) for key, value in starts.items()},
        **options,
    )


@pytest.mark.fault('O4')
@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('mode', [0, 1])
@pytest.mark.parametrize('device', DEVICES)
def test_box_overlaps_are_the_same(rng, agree, device, mode, aligned, offset):
    boxes = dict(bboxes1=random_boxes(rng, 50).to(device), bboxes2=random_boxes(rng, 50).to(device))
    ious = torch.zeros((50,) if aligned else (50, 50), device=device)
    _, expected = agree('bbox_overlaps', boxes, dict(ious=ious), mode=mode, aligned=aligned, offset=offset)
    assert expected['ious'].max() > 0.1


@pytest.mark.fault('O3')
@pytest.mark.parametrize('device', CUDA_ONLY)
def test_deformable_attention_gives_the_same_output_and_gradients(rng, torchvision_backend, device):
    shapes = torch.tensor([[6, 4], [3, 2]], device=device)
    starts = torch.tensor([0, 24], device=device)
    value = torch.randn(2, 30, 3, 8, generator=rng).to(device)
    places = (torch.rand(2, 7, 3, 2, 4, 2, generator=rng) * 1.6 - 0.3).to(device)
    weights = torch.rand(2, 7, 3, 2, 4, generator=rng).to(device)
    grad_output = torch.randn(2, 7, 24, generator=rng).to(device)
    results = []
    for extension in (compiled, torchvision_backend):
        output = extension.ms_deform_attn_forward(value, shapes, starts, places, weights, im2col_step=64)
        grads = [torch.zeros_like(t) for t in (value, places, weights)]
        extension.ms_deform_attn_backward(
            value, shapes, starts, places, weights, grad_output, *grads, im2col_step=64
        )
        results.append([output, *grads])
    for expected, got in zip(*results, strict=True):
        torch.testing.assert_close(got, expected, rtol=2e-5, atol=2e-5)
