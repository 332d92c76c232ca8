"""VOC average precision: numbers worked out by hand, and a literal port of the devkit's loops."""

import tracemalloc
import warnings
from fractions import Fraction

import numpy as np
import pytest

from mdvision.evaluation.voc_ap import average_precision, box_iou, evaluate_voc, precision_recall

FIRST, SECOND, FAR = [0, 0, 10, 10], [20, 0, 30, 10], [50, 50, 60, 60]


def image_of(detections=(), objects=()):
    """One image from (box, score, label) detections and (box, label, difficult) objects."""
    return {
        'pred_boxes': np.array([d[0] for d in detections], dtype=float).reshape(-1, 4),
        'pred_scores': np.array([d[1] for d in detections], dtype=float),
        'pred_labels': np.array([d[2] for d in detections], dtype=int),
        'gt_boxes': np.array([o[0] for o in objects], dtype=float).reshape(-1, 4),
        'gt_labels': np.array([o[1] for o in objects], dtype=int),
        'gt_difficult': np.array([o[2] for o in objects], dtype=bool),
    }


def hand_example():
    """Two classes in three images, with a duplicate, difficult objects, a score tie and IoU 0.5 exactly.

    Class 0 has 3 objects that count. In the order of scores its detections are: true, false (duplicate;
    tied with the next, and in an earlier image), true, ignored, false, true (IoU 0.5), ignored.
    Precision 1, 1/2, 2/3, 2/3, 1/2, 3/5, 3/5 at recall 1/3, 1/3, 2/3, 2/3, 2/3, 1, 1.

    Class 1 has 2 objects that overlap. All three detections overlap most with the first one, so the
    first is true and the others are false, although the third would also reach the second object.
    Precision 1, 1/2, 1/3 at recall 1/2.
    """
    return [
        image_of(
            [(FIRST, 0.9, 0), ([1, 0, 11, 10], 0.8, 0), (SECOND, 0.7, 0), ([21, 0, 31, 10], 0.4, 0)],
            [(FIRST, 0, False), (SECOND, 0, True)],
        ),
        image_of([([20, 0, 30, 5], 0.5, 0), (FIRST, 0.8, 0)], [(FIRST, 0, False), (SECOND, 0, False)]),
        image_of(
            [([2, 0, 12, 10], 0.9, 1), (FIRST, 0.8, 1), (FAR, 0.6, 0), ([2, 0, 12, 10], 0.7, 1)],
            [(FIRST, 1, False), ([5, 0, 15, 10], 1, False)],
        ),
    ]


def test_hand_example_has_the_areas_worked_out_on_paper():
    result = evaluate_voc(hand_example(), 2)
    np.testing.assert_allclose(result.ap_area, [34 / 45, 1 / 2], rtol=0, atol=1e-12)
    assert result.mean_area == pytest.approx((34 / 45 + 1 / 2) / 2, abs=1e-12)


def test_hand_example_has_the_11_point_means_worked_out_on_paper():
    # class 0: 4 points at 1, 3 at 2/3, 4 at 3/5; class 1: 6 points at 1
    result = evaluate_voc(hand_example(), 2)
    np.testing.assert_allclose(result.ap_11points, [8.4 / 11, 6 / 11], rtol=0, atol=1e-12)
    assert result.mean_11points == pytest.approx((8.4 / 11 + 6 / 11) / 2, abs=1e-12)


def test_hand_example_counts_objects_difficult_objects_and_detections():
    result = evaluate_voc(hand_example(), 2)
    assert result.num_objects.tolist() == [3, 2]
    assert result.num_difficult.tolist() == [1, 0]
    assert result.num_detections.tolist() == [7, 3]
    assert result.classes_without_objects == []


# --- a literal port of VOCevaldet.m: loops, inclusive boxes counted from 1, the +1 in the IoU ---


def devkit_ap(images, label, mode):
    """AP of one class as a fraction; images hold integer boxes in the devkit's own convention."""
    total = sum(o[1] == label and not o[2] for image in images for o in image['objects'])
    if total == 0:
        return None
    found = {(i, j): False for i, image in enumerate(images) for j in range(len(image['objects']))}
    everything = [
        (d[1], i, d[0]) for i, image in enumerate(images) for d in image['detections'] if d[2] == label
    ]
    true = false = 0
    curve = []
    for _, i, box in sorted(everything, key=lambda d: -d[0]):  # Python's sort is stable
        best, best_j = Fraction(-1), None
        for j, (other, other_label, _) in enumerate(images[i]['objects']):
            if other_label != label:
                continue
            width = min(box[2], other[2]) - max(box[0], other[0]) + 1
            height = min(box[3], other[3]) - max(box[1], other[1]) + 1
            if width > 0 and height > 0:
                area = (box[2] - box[0] + 1) * (box[3] - box[1] + 1)
                other_area = (other[2] - other[0] + 1) * (other[3] - other[1] + 1)
                overlap = Fraction(width * height, area + other_area - width * height)
                if overlap > best:
                    best, best_j = overlap, j
        if best >= Fraction(1, 2):
            if not images[i]['objects'][best_j][2]:
                if not found[i, best_j]:
                    true += 1
                    found[i, best_j] = True
                else:
                    false += 1
        else:
            false += 1
        curve.append((Fraction(true, max(true + false, 1)), Fraction(true, total)))
    if mode == '11points':
        return sum(
            max([p for p, r in curve if r >= Fraction(k, 10)], default=0) for k in range(11)
        ) / Fraction(11)
    area = Fraction(0)
    previous = Fraction(0)
    for index, (_, recall) in enumerate(curve):
        area += (recall - previous) * max(p for p, _ in curve[index:])
        previous = recall
    return area


def random_devkit_images(rng, num_classes=3):
    """Up to 8 images of 20x20 pixels: crowded enough for duplicates, ties and equal overlaps."""

    def box():
        x1, y1 = rng.integers(1, 15, 2)
        return [int(x1), int(y1), int(x1 + rng.integers(2, 6)), int(y1 + rng.integers(2, 6))]

    images = []
    for _ in range(rng.integers(1, 9)):
        objects = [
            (box(), int(rng.integers(num_classes)), bool(rng.random() < 0.3))
            for _ in range(rng.integers(0, 6))
        ]
        detections = []
        for _ in range(rng.integers(0, 10)):
            near = (
                objects[rng.integers(len(objects))] if objects and rng.random() < 0.7 else (box(), 0, False)
            )
            moved = [int(v + rng.integers(-1, 2)) for v in near[0]]
            moved[2:] = max(moved[2], moved[0] + 1), max(moved[3], moved[1] + 1)
            detections.append((moved, round(float(rng.random()), 1), int(rng.integers(num_classes))))
        images.append({'objects': objects, 'detections': detections})
    return images


def as_half_open(box):
    return [box[0] - 1, box[1] - 1, box[2], box[3]]


@pytest.mark.parametrize('seed', range(200))
def test_half_open_boxes_give_exactly_what_the_devkit_loops_give(seed):
    images = random_devkit_images(np.random.default_rng(seed))
    ours = evaluate_voc(
        [
            image_of(
                [(as_half_open(b), score, label) for b, score, label in image['detections']],
                [(as_half_open(b), label, difficult) for b, label, difficult in image['objects']],
            )
            for image in images
        ],
        3,
    )
    for mode, values in (('area', ours.ap_area), ('11points', ours.ap_11points)):
        expected = [devkit_ap(images, label, mode) for label in range(3)]
        expected = [np.nan if value is None else float(value) for value in expected]
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-12)


# --- curves of precision and recall ---


def counted_from(images, threshold, num_classes=2):
    """(precision, recall) of the detections of all classes whose score is at least the threshold."""
    kept = [
        {
            **i,
            **{k: i[k][i['pred_scores'] >= threshold] for k in ('pred_boxes', 'pred_scores', 'pred_labels')},
        }
        for i in images
    ]
    true = false = total = 0
    for label in range(num_classes):
        found = set()
        for number, image in enumerate(kept):
            total += np.sum((image['gt_labels'] == label) & ~image['gt_difficult'])
            for index in np.argsort(-image['pred_scores'], kind='stable'):
                if image['pred_labels'][index] != label:
                    continue
                iou = box_iou(image['pred_boxes'][index : index + 1], image['gt_boxes'])[0]
                iou[image['gt_labels'] != label] = -1
                best = iou.argmax() if len(iou) else None
                if best is None or iou[best] < 0.5:
                    false += 1
                elif not image['gt_difficult'][best]:
                    false += (number, best) in found
                    true += (number, best) not in found
                    found.add((number, best))
    return true / max(true + false, 1), true / total


def test_each_point_is_what_its_score_threshold_gives_and_none_gives_a_better_f1():
    checked = 0
    for seed in range(30):
        images = random_images(seed)
        result = evaluate_voc(images, 2)
        if not result.num_objects.all():
            continue
        curve = result.pooled
        for score, precision, recall in zip(curve.scores, curve.precision, curve.recall, strict=True):
            assert counted_from(images, score) == pytest.approx((precision, recall), abs=1e-12)
        every = [counted_from(images, score) for image in images for score in image['pred_scores']]
        best = max((2 * p * r / (p + r) for p, r in every if p), default=None)
        if best is None:
            assert curve.best is None
        else:
            assert curve.f1[curve.best] == pytest.approx(best, abs=1e-12)
            checked += 1
    assert checked > 20


def random_images(seed):
    """The devkit's random images, of two classes, as this package has them."""
    return [
        image_of(
            [(as_half_open(b), score, label) for b, score, label in image['detections']],
            [(as_half_open(b), label, difficult) for b, label, difficult in image['objects']],
        )
        for image in random_devkit_images(np.random.default_rng(seed), 2)
    ]


def test_curves_of_the_hand_example_have_a_point_for_each_score_that_finds_more():
    curve, other = evaluate_voc(hand_example(), 2).curves
    assert curve.scores.tolist() == [0.9, 0.8, 0.5]  # two of score 0.8 enter together: 1 of them true
    np.testing.assert_allclose(curve.precision, [1, 2 / 3, 3 / 5], rtol=0, atol=1e-12)
    np.testing.assert_allclose(curve.recall, [1 / 3, 2 / 3, 1], rtol=0, atol=1e-12)
    np.testing.assert_allclose(curve.f1, [1 / 2, 2 / 3, 3 / 4], rtol=0, atol=1e-12)
    assert curve.best == 2
    assert other.scores.tolist() == [0.9]


def test_the_pooled_curve_counts_detections_and_objects_of_all_classes():
    # 0.9: both true; 0.8: one of three true, of 5 objects; 0.7 false, 0.6 false; 0.5 true, 0.4 ignored
    pooled = evaluate_voc(hand_example(), 2).pooled
    assert pooled.scores.tolist() == [0.9, 0.8, 0.5]
    np.testing.assert_allclose(pooled.recall, [2 / 5, 3 / 5, 4 / 5], rtol=0, atol=1e-12)
    np.testing.assert_allclose(pooled.precision, [1, 3 / 5, 4 / 8], rtol=0, atol=1e-12)


def test_curves_without_detections_or_without_objects_have_no_points():
    nothing = evaluate_voc([image_of(objects=[(FIRST, 0, False)])], 1)
    only_false = evaluate_voc([image_of([(FIRST, 0.9, 0)])], 1)
    for result in (nothing, only_false, evaluate_voc([], 1)):
        for curve in (*result.curves, result.pooled):
            assert len(curve.scores) == len(curve.precision) == len(curve.recall) == 0
            assert curve.best is None


# --- edges ---


def test_no_detections_give_zero_where_there_are_objects():
    result = evaluate_voc([image_of(objects=[(FIRST, 0, False)])], 1)
    assert result.ap_area.tolist() == [0.0]
    assert result.ap_11points.tolist() == [0.0]


def test_a_class_without_objects_is_nan_and_left_out_of_the_means():
    result = evaluate_voc([image_of([(FIRST, 0.9, 0), (FAR, 0.8, 1)], [(FIRST, 0, False)])], 2)
    np.testing.assert_array_equal(result.ap_area, [1.0, np.nan])
    assert result.mean_area == 1.0
    assert result.mean_11points == pytest.approx(1.0, abs=1e-12)
    assert result.classes_without_objects == [1]
    assert result.num_detections.tolist() == [1, 1]


def test_a_class_with_only_difficult_objects_counts_as_without_objects():
    result = evaluate_voc([image_of([(FIRST, 0.9, 0)], [(FIRST, 0, True)])], 1)
    assert np.isnan(result.ap_area[0])
    assert np.isnan(result.mean_area)
    assert result.classes_without_objects == [0]
    assert result.num_difficult.tolist() == [1]


def test_only_the_best_scored_of_two_detections_of_an_object_is_true():
    objects = [(FIRST, 0, False), (SECOND, 0, False)]
    twice = image_of([(FIRST, 0.5, 0), (FIRST, 0.9, 0), (SECOND, 0.3, 0)], objects)
    # true, false, true: 1/2 * 1 + 1/2 * 2/3
    assert evaluate_voc([twice], 1).ap_area[0] == pytest.approx(5 / 6, abs=1e-12)


def test_equal_scores_keep_the_order_of_images():
    good = image_of([(FIRST, 0.5, 0)], [(FIRST, 0, False)])
    bad = image_of([(FAR, 0.5, 0)], [])
    assert evaluate_voc([good, bad], 1).ap_area[0] == 1.0
    assert evaluate_voc([bad, good], 1).ap_area[0] == 0.5


def test_no_images_at_all_give_nan():
    result = evaluate_voc([], 2)
    assert np.isnan(result.mean_area)
    assert np.isnan(result.mean_11points)
    assert result.classes_without_objects == [0, 1]


def test_boxes_of_other_classes_never_match():
    assert evaluate_voc([image_of([(FIRST, 0.9, 1)], [(FIRST, 0, False)])], 2).ap_area[0] == 0.0


def test_a_stricter_threshold_turns_the_same_detection_false():
    images = [image_of([([0, 0, 10, 8], 0.9, 0)], [(FIRST, 0, False)])]  # IoU 0.8
    assert evaluate_voc(images, 1, iou_threshold=0.8).ap_area[0] == 1.0
    assert evaluate_voc(images, 1, iou_threshold=0.81).ap_area[0] == 0.0


def test_11_points_count_a_recall_that_equals_the_point():
    # 3 of 10 found: points 0, 0.1, 0.2 and 0.3 are reached
    precision, recall = precision_recall(np.ones(3, bool), np.zeros(3, bool), 10)
    assert average_precision(precision, recall, '11points') == pytest.approx(4 / 11, abs=1e-12)


def test_another_way_to_interpolate_is_refused():
    with pytest.raises(ValueError, match="'area' or '11points', got '101points'"):
        average_precision(np.ones(1), np.ones(1), '101points')


def test_iou_of_boxes_without_area_is_zero_without_a_warning():
    point = np.array([[5.0, 5.0, 5.0, 5.0]])
    with np.errstate(all='raise'):
        assert box_iou(point, point).item() == 0.0
    assert box_iou(np.array([FIRST]), np.array([[5, 0, 15, 10]])).item() == pytest.approx(1 / 3)


def test_iou_of_boxes_apart_of_tiny_ones_and_of_those_without_area():
    boxes = np.array([[0, 0, 2, 2], [0.1, 0.1, 0.3, 0.3], [5, 5, 5, 5]], dtype=float)
    others = np.array([[3, 3, 4, 4], [0.2, 0.1, 0.4, 0.3], [5, 5, 5, 5]], dtype=float)
    expected = [[0, 0.04 / 4, 0], [0, 1 / 3, 0], [0, 0, 0]]
    np.testing.assert_allclose(box_iou(boxes, others), expected, rtol=0, atol=1e-12)


def test_boxes_of_small_integer_types_do_not_wrap_around():
    image = image_of([(FIRST, 0.9, 0)], [(FIRST, 0, False)])
    image |= {key: image[key].astype(np.uint8) for key in ('pred_boxes', 'gt_boxes')}
    moved = {**image, 'pred_boxes': np.array([[200, 200, 250, 250]], dtype=np.uint8)}
    moved['gt_boxes'] = np.array([[100, 100, 150, 150]], dtype=np.uint8)
    assert evaluate_voc([image], 1).ap_area.tolist() == [1.0]
    assert evaluate_voc([moved], 1).ap_area.tolist() == [0.0]


def test_the_curve_of_a_class_with_one_object_reaches_recall_one():
    result = evaluate_voc([image_of([(FIRST, 0.9, 0)], [(FIRST, 0, False)])], 1)
    assert result.curves[0].recall.tolist() == [1.0]


def test_labels_that_no_class_has_are_nowhere():
    strangers = [(FIRST, 0.95, -1), (FAR, 0.94, 1), (FAR, 0.93, 7)]
    result = evaluate_voc([image_of([*strangers, (FIRST, 0.9, 0)], [(FIRST, 0, False)])], 1)
    assert result.pooled.precision.tolist() == [1.0]
    assert result.num_detections.tolist() == [1]


def test_without_any_object_the_mean_is_nan_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        result = evaluate_voc([image_of([(FIRST, 0.9, 0)])], 1)
        assert np.isnan([result.mean_area, result.mean_11points]).all()


def test_float32_boxes_are_compared_in_float64():
    box = np.array([[0, 0, 0.04958291, 2.4398108]], dtype=np.float32)
    half = box * np.array([1, 1, 1, 0.5], dtype=np.float32)  # IoU 0.5; in float32 it comes out below
    image = image_of([(FIRST, 0.9, 0)], [(FIRST, 0, False)]) | dict(pred_boxes=half, gt_boxes=box)
    assert evaluate_voc([image], 1).ap_area.tolist() == [1.0]
    assert evaluate_voc([image | dict(pred_boxes=box, gt_boxes=half)], 1).ap_area.tolist() == [1.0]
    wide = box.astype(np.float64)
    for mixed in (dict(pred_boxes=half, gt_boxes=wide), dict(pred_boxes=wide, gt_boxes=half)):
        assert evaluate_voc([image | mixed], 1).ap_area.tolist() == [1.0]


@pytest.mark.fault('D27')
def test_memory_follows_the_detections_and_not_the_classes():
    """1,203 classes (LVIS), 200,000 detections: 277 MiB before, when each class had a row of all of them."""
    rng = np.random.default_rng(0)
    count = 200_000
    corner = rng.random((count, 2)) * 500
    images = [
        dict(
            pred_boxes=np.concatenate([corner[part], corner[part] + 20], axis=1),
            pred_scores=rng.random(len(part)),
            pred_labels=rng.integers(-1, 1204, len(part)),
            gt_boxes=np.array([FIRST] * 10, dtype=float),
            gt_labels=rng.integers(0, 1203, 10),
            gt_difficult=rng.random(10) < 0.2,
        )
        for part in np.array_split(np.arange(count), 500)
    ]
    tracemalloc.start()
    try:
        result = evaluate_voc(images, 1203)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    labels = np.concatenate([image['pred_labels'] for image in images])
    assert result.num_detections.tolist() == [int((labels == index).sum()) for index in range(1203)]
    assert peak < 50 * 2**20
