"""NMS and soft-NMS against plain loops that follow mmcv's source."""

import numpy as np
import pytest
import torch
from mmcv.ops import batched_nms, nms, soft_nms


def iou(a, b, offset):
    """IoU of two boxes in float32 arithmetic."""
    one = np.float32(offset)
    width = max(np.float32(0), min(a[2], b[2]) - max(a[0], b[0]) + one)
    height = max(np.float32(0), min(a[3], b[3]) - max(a[1], b[1]) + one)
    area_a, area_b = ((c[2] - c[0] + one) * (c[3] - c[1] + one) for c in (a, b))
    return width * height / (area_a + area_b - width * height)


def brute_force_nms(boxes, scores, threshold, offset=0):
    kept = []
    for candidate in np.argsort(-scores, kind='stable'):
        if all(iou(boxes[candidate], boxes[k], offset) <= np.float32(threshold) for k in kept):
            kept.append(int(candidate))
    return kept


def brute_force_soft_nms(boxes, scores, threshold, sigma, min_score, method, offset=0):
    """mmcv's loop, element by element, with its swaps."""
    items = [
        [*map(np.float32, box), np.float32(s), i]
        for i, (box, s) in enumerate(zip(boxes, scores, strict=True))
    ]
    count, i = len(items), 0
    while i < count:
        best = max(range(i, count), key=lambda k: (items[k][4], -k))
        items[i], items[best] = items[best], items[i]
        position = i + 1
        while position < count:
            overlap = iou(items[i], items[position], offset)
            weight = 1
            if method == 'naive' and overlap >= np.float32(threshold):
                weight = 0
            elif method == 'linear' and overlap >= np.float32(threshold):
                weight = 1 - overlap
            elif method == 'gaussian':
                weight = np.exp(-overlap * overlap / np.float32(sigma))
            items[position][4] = np.float32(items[position][4] * weight)
            if items[position][4] < min_score:
                items[position] = items[count - 1]
                count -= 1
            else:
                position += 1
        i += 1
    return np.array([item[:5] for item in items[:count]], np.float32), [item[5] for item in items[:count]]


def random_boxes(rng, count, size=60.0):
    corner = torch.rand(count, 2, generator=rng) * 100
    boxes = torch.cat([corner, corner + 1 + torch.rand(count, 2, generator=rng) * size], dim=1)
    return boxes, torch.rand(count, generator=rng)


def test_nms_drops_the_lower_scored_of_two_overlapping_boxes():
    # IoU of the first two: 8 / 16
    boxes = torch.tensor([[0.0, 0, 4, 2], [0, 0, 4, 4], [10, 10, 12, 12]])
    scores = torch.tensor([0.6, 0.8, 0.7])
    dets, kept = nms(boxes, scores, iou_threshold=0.49)
    assert kept.tolist() == [1, 2]
    torch.testing.assert_close(dets, torch.tensor([[0, 0, 4, 4, 0.8], [10, 10, 12, 12, 0.7]]))


def test_nms_keeps_a_box_whose_iou_equals_the_threshold():
    boxes = torch.tensor([[0.0, 0, 4, 2], [0, 0, 4, 4]])
    assert nms(boxes, torch.tensor([0.6, 0.8]), iou_threshold=0.5)[1].tolist() == [1, 0]


@pytest.mark.parametrize('tenths', range(1, 10))
def test_nms_compares_with_the_threshold_in_float32_as_mmcv_does(tenths):
    # the IoU is tenths / 10 exactly; 0.6 and 0.8 round up in float32, beyond their doubles
    boxes = torch.tensor([[0.0, 0, 10, 1], [0, 0, tenths, 1]])
    assert nms(boxes, torch.tensor([0.9, 0.8]), iou_threshold=tenths / 10)[1].tolist() == [0, 1]
    assert nms(boxes, torch.tensor([0.9, 0.8]), iou_threshold=tenths / 10 - 1e-6)[1].tolist() == [0]


def test_nms_in_float64_compares_with_the_threshold_as_given():
    boxes = torch.tensor([[0.0, 0, 10, 1], [0, 0, 7, 1]], dtype=torch.float64)
    scores = torch.tensor([0.9, 0.8], dtype=torch.float64)
    assert nms(boxes, scores, iou_threshold=0.7)[1].tolist() == [0, 1]
    assert nms(boxes, scores, iou_threshold=0.7 - 1e-12)[1].tolist() == [0]


def test_nms_with_offset_1_counts_the_last_pixel():
    # widths 4 and 2 pixels: IoU 2/4 with the offset, 1/3 without
    boxes = torch.tensor([[0.0, 0, 3, 0], [0, 0, 1, 0]])
    scores = torch.tensor([0.9, 0.8])
    assert nms(boxes, scores, iou_threshold=0.49, offset=1)[1].tolist() == [0]
    assert nms(boxes, scores, iou_threshold=0.5, offset=1)[1].tolist() == [0, 1]


def test_nms_keeps_the_earlier_of_two_boxes_with_equal_scores():
    boxes = torch.tensor([[5.0, 5, 9, 9], [0, 0, 4, 4], [0, 0, 4, 4], [5, 5, 9, 9]])
    assert nms(boxes, torch.full((4,), 0.5), iou_threshold=0.5)[1].tolist() == [0, 1]


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('threshold', [0.0, 0.3, 0.5, 0.7, 1.0])
def test_nms_agrees_with_brute_force(rng, threshold, offset):
    boxes, scores = random_boxes(rng, 120)
    scores = (scores * 20).round() / 20  # many ties
    expected = brute_force_nms(boxes.numpy(), scores.numpy(), threshold, offset)
    assert len(expected) > 5
    assert nms(boxes, scores, threshold, offset=offset)[1].tolist() == expected


def test_nms_applies_the_score_threshold_and_the_maximum_number(rng):
    boxes, scores = random_boxes(rng, 80)
    expected = [k for k in brute_force_nms(boxes.numpy(), scores.numpy(), 0.5) if scores[k] > 0.3]
    assert len(expected) > 10
    assert nms(boxes, scores, 0.5, score_threshold=0.3, max_num=10)[1].tolist() == expected[:10]


def test_nms_takes_and_returns_numpy_arrays(rng):
    boxes, scores = (tensor.numpy() for tensor in random_boxes(rng, 30))
    dets, kept = nms(boxes, scores, 0.5)
    assert isinstance(dets, np.ndarray)
    assert kept.tolist() == brute_force_nms(boxes, scores, 0.5)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_nms_in_16_bit_equals_float32_on_the_same_rounded_boxes(rng, dtype):
    boxes, scores = (tensor.to(dtype) for tensor in random_boxes(rng, 100))
    kept = nms(boxes, scores, 0.5)[1]
    assert kept.tolist() == brute_force_nms(boxes.float().numpy(), scores.float().numpy(), 0.5)


@pytest.mark.parametrize('operator', [nms, soft_nms])
def test_no_boxes_give_no_detections(operator):
    dets, kept = operator(torch.zeros(0, 4), torch.zeros(0), 0.5)
    assert dets.shape == (0, 5)
    assert kept.shape == (0,)
    assert kept.dtype == torch.long


@pytest.mark.parametrize('split_thr', [10000, 10])
def test_batched_nms_suppresses_only_within_a_class(rng, split_thr):
    boxes, scores = random_boxes(rng, 90)
    boxes = boxes.round()  # whole pixels, so that mmcv's shift of each class is exact
    classes = torch.randint(0, 3, (90,), generator=rng)
    expected = []
    for index in range(3):
        members = (classes == index).nonzero()[:, 0]
        kept = brute_force_nms(boxes[members].numpy(), scores[members].numpy(), 0.5)
        expected += members[kept].tolist()
    expected.sort(key=lambda k: -scores[k])
    config = dict(type='nms', iou_threshold=0.5, split_thr=split_thr)
    dets, kept = batched_nms(boxes, scores, classes, config)
    assert kept.tolist() == expected
    torch.testing.assert_close(dets, torch.cat([boxes, scores[:, None]], dim=1)[kept])


def test_class_agnostic_batched_nms_suppresses_across_classes():
    boxes = torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 4]])
    scores, classes = torch.tensor([0.7, 0.9]), torch.tensor([0, 1])
    config = dict(type='nms', iou_threshold=0.5)
    assert batched_nms(boxes, scores, classes, config)[1].tolist() == [1, 0]
    assert batched_nms(boxes, scores, classes, config, class_agnostic=True)[1].tolist() == [1]


def test_batched_soft_nms_returns_decayed_scores():
    boxes = torch.tensor([[0.0, 0, 4, 2], [0, 0, 4, 4]])
    config = dict(type='soft_nms', iou_threshold=0.3, method='linear')
    dets, kept = batched_nms(boxes, torch.tensor([0.6, 0.8]), torch.zeros(2), config)
    assert kept.tolist() == [1, 0]
    torch.testing.assert_close(dets[:, 4], torch.tensor([0.8, 0.3]))


@pytest.mark.parametrize(
    ('method', 'scores'),
    [('naive', [0.8]), ('linear', [0.8, 0.3]), ('gaussian', [0.8, 0.6 * 0.60653066])],
)
def test_soft_nms_decays_the_score_of_the_overlapping_box(method, scores):
    # IoU 1/2, sigma 1/2: exp(-(1/4) / (1/2)) = 0.60653066
    boxes = torch.tensor([[0.0, 0, 4, 2], [0, 0, 4, 4]])
    dets, kept = soft_nms(boxes, torch.tensor([0.6, 0.8]), 0.3, sigma=0.5, method=method)
    assert kept.tolist() == [1, 0][: len(scores)]
    torch.testing.assert_close(dets[:, 4], torch.tensor(scores))


@pytest.mark.parametrize(('method', 'second'), [('naive', 0.0), ('linear', 0.35)])
def test_soft_nms_takes_an_iou_equal_to_the_threshold_as_an_overlap(method, second):
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 5]])  # IoU 0.5
    detections, _ = soft_nms(boxes, torch.tensor([0.9, 0.7]), 0.5, method=method, min_score=-1)
    torch.testing.assert_close(detections[:, 4], torch.tensor([0.9, second]))


def test_soft_nms_keeps_the_best_box_however_low_its_score():
    boxes = torch.tensor([[0.0, 0, 4, 4], [10, 10, 14, 14]])
    dets, kept = soft_nms(boxes, torch.tensor([0.01, 0.02]), min_score=0.5)
    assert kept.tolist() == [1]
    torch.testing.assert_close(dets, torch.tensor([[10, 10, 14, 14, 0.02]]))


def test_soft_nms_leaves_boxes_without_area_alone():
    boxes = torch.tensor([[3.0, 1, 3, 1], [3, 1, 3, 1], [4, 3, 5, 4]])
    for method in ('naive', 'linear', 'gaussian'):
        dets, kept = soft_nms(boxes, torch.tensor([0.5, 0.4, 0.9]), method=method)
        assert kept.tolist() == [2, 0, 1]
        torch.testing.assert_close(dets[:, 4], torch.tensor([0.9, 0.5, 0.4]))


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('min_score', [0.001, 0.2])
@pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
def test_soft_nms_agrees_with_the_plain_loop(rng, method, min_score, offset):
    boxes, scores = random_boxes(rng, 60)
    scores = (scores * 10).round() / 10  # many ties, whose order mmcv's swaps settle
    expected, indices = brute_force_soft_nms(
        boxes.numpy(), scores.numpy(), 0.3, 0.5, min_score, method, offset
    )
    assert 5 < len(indices) < 60
    dets, kept = soft_nms(boxes, scores, 0.3, 0.5, min_score, method, offset)
    assert kept.tolist() == indices
    np.testing.assert_allclose(dets.numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_soft_nms_in_16_bit_equals_float32_rounded_once(rng, dtype):
    boxes, scores = (tensor.to(dtype) for tensor in random_boxes(rng, 40))
    expected, kept_32 = soft_nms(boxes.float(), scores.float())
    dets, kept = soft_nms(boxes, scores)
    assert dets.dtype == dtype
    assert kept.tolist() == kept_32.tolist()
    torch.testing.assert_close(dets, expected.to(dtype), rtol=0, atol=0)
