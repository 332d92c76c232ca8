"""The confusion matrix of detections: cases worked out by hand, and sums that must hold."""

import numpy as np
import pytest

from mdvision.evaluation import confusion_matrix

A, B, FAR = [0, 0, 10, 10], [20, 0, 30, 10], [50, 50, 60, 60]
CAT, DOG = 0, 1


def image_of(detections=(), objects=()):
    """One image from (box, score, label) detections and (box, label[, difficult]) objects."""
    return {
        'pred_boxes': np.array([d[0] for d in detections], dtype=float).reshape(-1, 4),
        'pred_scores': np.array([d[1] for d in detections], dtype=float),
        'pred_labels': np.array([d[2] for d in detections], dtype=int),
        'gt_boxes': np.array([o[0] for o in objects], dtype=float).reshape(-1, 4),
        'gt_labels': np.array([o[1] for o in objects], dtype=int),
        'gt_difficult': np.array([len(o) == 3 and o[2] for o in objects], dtype=bool),
    }


def counts_of(*images, **options):
    return confusion_matrix(images, 2, **options).tolist()


def test_found_confused_missed_and_background_each_have_their_place():
    image = image_of(
        [(A, 0.9, CAT), (B, 0.8, DOG), (FAR, 0.7, DOG)], [(A, CAT), (B, CAT), ([80, 0, 90, 10], DOG)]
    )
    # rows cat, dog, background; columns cat, dog, missed
    assert counts_of(image) == [[1, 1, 0], [0, 0, 1], [0, 1, 0]]


def test_images_add_up():
    image = image_of([(A, 0.9, CAT)], [(A, CAT)])
    assert counts_of(image, image, image_of()) == [[2, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_no_images_and_no_detections():
    assert counts_of() == [[0] * 3] * 3
    assert counts_of(image_of(objects=[(A, DOG), (B, DOG)])) == [[0, 0, 0], [0, 0, 2], [0, 0, 0]]


def test_the_score_threshold_is_included_and_so_is_the_iou_threshold():
    half = [0, 0, 10, 5]  # IoU 1/2 with A
    image = image_of([(half, 0.3, CAT)], [(A, CAT)])
    assert counts_of(image)[0] == [1, 0, 0]
    assert counts_of(image, score_threshold=0.31)[0] == [0, 0, 1]
    assert counts_of(image, iou_threshold=0.51) == [[0, 0, 1], [0, 0, 0], [1, 0, 0]]


def test_the_better_score_takes_the_object_whatever_its_class_and_place_in_the_list():
    image = image_of([(A, 0.6, CAT), (A, 0.9, DOG)], [(A, CAT)])
    assert counts_of(image) == [[0, 1, 0], [0, 0, 0], [1, 0, 0]]
    tie = image_of([(A, 0.6, CAT), (A, 0.6, DOG)], [(A, CAT)])
    assert counts_of(tie) == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]


def test_an_object_of_its_own_class_comes_before_one_with_a_higher_iou():
    rider, horse = [0, 0, 10, 10], [0, 2, 10, 12]
    image = image_of([(rider, 0.9, DOG), (horse, 0.8, CAT)], [(rider, CAT), (horse, DOG)])
    assert counts_of(image) == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_of_several_objects_the_one_with_the_highest_iou_is_taken():
    image = image_of([([1, 0, 11, 10], 0.9, DOG)], [([4, 0, 14, 10], CAT), (A, CAT)])
    assert counts_of(image)[0] == [0, 1, 1]
    only_one_left = image_of([(A, 0.9, CAT), ([1, 0, 11, 10], 0.8, CAT)], [([2, 0, 12, 10], CAT), (A, CAT)])
    assert counts_of(only_one_left)[0] == [2, 0, 0]


def test_difficult_objects_and_what_falls_on_them_are_not_counted():
    image = image_of([(A, 0.9, CAT), (A, 0.8, CAT), (A, 0.7, DOG)], [(A, CAT, True), (B, DOG, True)])
    assert counts_of(image) == [[0] * 3] * 3


@pytest.mark.parametrize('seed', range(20))
def test_rows_sum_up_to_the_objects_and_columns_to_the_detections(seed):
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(5):
        corners = rng.integers(0, 12, (2, 12, 2))
        boxes = np.concatenate([corners[0], corners[0] + 4 + corners[1] // 4], axis=1)
        detections = [(box, rng.random(), rng.integers(3)) for box in boxes[: rng.integers(13)]]
        images.append(image_of(detections, [(box, rng.integers(3)) for box in boxes[rng.integers(13) :]]))
    counts = confusion_matrix(images, 3, score_threshold=0.5)
    objects = np.concatenate([image['gt_labels'] for image in images])
    labels = np.concatenate([image['pred_labels'][image['pred_scores'] >= 0.5] for image in images])
    assert counts.sum(axis=1)[:-1].tolist() == np.bincount(objects, minlength=3).tolist()
    assert counts.sum(axis=0)[:-1].tolist() == np.bincount(labels, minlength=3).tolist()
    assert counts[-1, -1] == 0


def test_many_equal_scores_keep_their_order():
    # An unstable sort of more than 16 values would let another one come first.
    for count in (17, 40, 300):
        image = image_of([(A, 0.5, CAT), *[(A, 0.5, DOG)] * count], [(A, 2)])
        assert confusion_matrix([image], 3)[2].tolist() == [1, 0, 0, 0]


def test_float32_boxes_are_compared_in_float64():
    box = np.array([[0, 0, 0.04958291, 2.4398108]], dtype=np.float32)
    half = box * np.array([1, 1, 1, 0.5], dtype=np.float32)  # IoU 0.5; in float32 it comes out below
    image = image_of([(A, 0.9, CAT)], [(A, CAT)]) | dict(pred_boxes=half, gt_boxes=box)
    assert counts_of(image)[0] == [1, 0, 0]


def test_the_counts_are_integers():
    assert confusion_matrix([image_of()], 2).dtype == np.int64
