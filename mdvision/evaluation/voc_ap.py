"""Average precision of the Pascal VOC development kit, in numpy.

Source: ``VOCevaldet.m`` and ``VOCap.m`` of the VOC devkits (2007 and 2012). Everingham et al., "The Pascal
Visual Object Classes (VOC) Challenge", IJCV 2010.

Shapes: N detections and M objects per image, D detections of one class in all images, C classes. Boxes are
``[x1, y1, x2, y2]`` in pixels, continuous and half-open. The devkit's boxes are inclusive and counted from 1,
and its IoU adds 1 to each side; after a reader has converted them to ``[x1 - 1, y1 - 1, x2, y2]``, the plain
IoU used here is the same number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = [
    'PrecisionRecallCurve',
    'VocResult',
    'average_precision',
    'box_iou',
    'evaluate_voc',
    'precision_recall',
]


@dataclass(frozen=True)
class PrecisionRecallCurve:
    """Precision and recall when only detections from a score upwards are kept; arrays of shape (K,).

    There is one point per score that finds more objects than the scores above it, from the highest score
    down. Scores in between only add false detections. Without equal scores, the area under the envelope of
    the points is the VOC AP; detections of equal score enter a point together, while the AP takes them one
    after the other.

    Args:
        scores: detections with at least this score are kept; decreasing.
        precision: fraction of the kept detections that are true, 0 to 1.
        recall: fraction of the objects that are found, 0 to 1; increasing.
    """

    scores: np.ndarray
    precision: np.ndarray
    recall: np.ndarray

    @property
    def f1(self) -> np.ndarray:
        """(K,), the harmonic mean of precision and recall, 0 to 1."""
        return 2 * self.precision * self.recall / (self.precision + self.recall)

    @property
    def best(self) -> int | None:
        """Index of the point with the highest F1, the first of equal ones; None without points."""
        return int(self.f1.argmax()) if len(self.scores) else None


@dataclass(frozen=True)
class VocResult:
    """The result of :func:`evaluate_voc`, one entry per class, each of shape (C,).

    The AP of a class with ``num_objects == 0`` is nan: its recall is undefined.

    Args:
        ap_area: AP as the area under the precision envelope (VOC 2010 and later), 0 to 1.
        ap_11points: AP as the mean of 11 interpolated precisions (VOC 2007), 0 to 1.
        num_objects: ground-truth objects that count, which excludes difficult ones.
        num_difficult: difficult objects, which neither help nor hurt.
        num_detections: detections given, at any score.
        curves: C curves of precision and recall, without points for a class in which nothing is found.
        pooled: the curve of the detections of all classes together, with one score threshold for all.
    """

    ap_area: np.ndarray
    ap_11points: np.ndarray
    num_objects: np.ndarray
    num_difficult: np.ndarray
    num_detections: np.ndarray
    curves: tuple[PrecisionRecallCurve, ...]
    pooled: PrecisionRecallCurve

    @property
    def classes_without_objects(self) -> list[int]:
        """Indices of the classes that the means leave out because they have no object to find."""
        return np.flatnonzero(self.num_objects == 0).tolist()

    @property
    def mean_area(self) -> float:
        """Mean of ``ap_area`` over the classes that have objects; nan if none has."""
        return _mean_of_defined(self.ap_area)

    @property
    def mean_11points(self) -> float:
        """Mean of ``ap_11points`` over the classes that have objects; nan if none has."""
        return _mean_of_defined(self.ap_11points)


def _mean_of_defined(values: np.ndarray) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float('nan')


def box_iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of every box in (N, 4) with every box in (M, 4): (N, M).

    Two boxes without area have IoU 0.
    """
    top_left = np.maximum(boxes[:, None, :2], others[None, :, :2])  # (N, M, 2)
    bottom_right = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    intersection = (bottom_right - top_left).clip(min=0).prod(axis=2)  # (N, M)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    other_area = (others[:, 2:] - others[:, :2]).prod(axis=1)
    union = area[:, None] + other_area[None, :] - intersection
    return np.divide(intersection, union, out=np.zeros(intersection.shape), where=union > 0)


def precision_recall(
    is_true: np.ndarray, is_false: np.ndarray, num_objects: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return precision and recall after each detection of one class, best score first.

    Args:
        is_true: (D,) bool, the true positives.
        is_false: (D,) bool, the false positives; a detection that is neither is ignored.
        num_objects: the number of objects to find, at least 1.

    Returns:
        precision and recall, both (D,). Before the first counted detection the precision is 0.
    """
    true_count, false_count = np.cumsum(is_true), np.cumsum(is_false)
    precision = true_count / np.maximum(true_count + false_count, 1)
    return precision, true_count / num_objects


def average_precision(precision: np.ndarray, recall: np.ndarray, mode: str) -> float:
    """Return the AP of one precision-recall curve, 0 to 1.

    Args:
        precision: (D,), best score first.
        recall: (D,), not decreasing.
        mode: ``'area'``: the area under the curve after raising every precision to the highest one at an
            equal or larger recall. ``'11points'``: the mean of the highest precision at recall 0, 0.1, ..., 1
            or above.

    Raises:
        ValueError: another mode.
    """
    if mode == 'area':
        recall = np.concatenate([[0.0], recall, [1.0]])
        precision = np.concatenate([[0.0], precision, [0.0]])
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        steps = np.flatnonzero(recall[1:] != recall[:-1])
        return float(np.sum((recall[steps + 1] - recall[steps]) * envelope[steps + 1]))
    if mode == '11points':
        # k / 10 and not k * 0.1: 3 * 0.1 is greater than 3 / 10, so a recall of exactly 3 of 10 would miss
        # it.
        points = [precision[recall >= k / 10].max(initial=0.0) for k in range(11)]
        return float(np.sum(points) / 11)
    raise ValueError(f"mode must be 'area' or '11points', got {mode!r}.")


def _match_image(image: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return for each of the N detections its highest IoU with an object of its class, and that object.

    Difficult and already found objects take part, as in the devkit: the choice depends only on IoU. Among
    equal IoUs the first object wins. Without an object of its class: IoU -1, object 0.
    """
    pred_boxes = np.asarray(image['pred_boxes'], dtype=np.float64).reshape(-1, 4)
    gt_boxes = np.asarray(image['gt_boxes'], dtype=np.float64).reshape(-1, 4)
    if not len(pred_boxes) or not len(gt_boxes):
        return np.full(len(pred_boxes), -1.0), np.zeros(len(pred_boxes), dtype=int)
    same_class = np.asarray(image['pred_labels'])[:, None] == np.asarray(image['gt_labels'])[None, :]
    iou = np.where(same_class, box_iou(pred_boxes, gt_boxes), -1.0)  # (N, M)
    return iou.max(axis=1), iou.argmax(axis=1)


def _curve(
    scores: np.ndarray, is_true: np.ndarray, is_false: np.ndarray, num_objects: int
) -> PrecisionRecallCurve:
    """Build the curve of (D,) detections, best score first; without objects it has no points."""
    precision, recall = precision_recall(is_true, is_false, max(num_objects, 1))
    # A threshold keeps all detections of equal score or none, so a point comes after the last of them.
    last_of_equals = np.flatnonzero(np.append(scores[1:] != scores[:-1], True)[: len(scores)])
    found_more = np.diff(recall[last_of_equals], prepend=0) > 0
    kept = last_of_equals[found_more]
    return PrecisionRecallCurve(scores[kept], precision[kept], recall[kept])


def _concatenate(parts: list, dtype: type) -> np.ndarray:
    return np.concatenate([np.zeros(0), *parts]).astype(dtype)


def _count(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Return how often each label from 0 to C - 1 occurs, (C,); others are skipped."""
    return np.bincount(labels[(labels >= 0) & (labels < num_classes)], minlength=num_classes)


def evaluate_voc(
    images: Sequence[Mapping[str, np.ndarray]], num_classes: int, iou_threshold: float = 0.5
) -> VocResult:
    """Return the AP of each class over all images, as computed by the VOC devkit.

    The detections of a class are processed by descending score; equal scores keep the order of the images and
    of the detections in them. Each is assigned to the object of its class with the highest IoU in that image.
    If that IoU is below the threshold, the detection is false; otherwise, if the object is difficult, it is
    ignored; otherwise it is true the first time the object is found and false every later time.

    Args:
        images: one mapping per image, with ``pred_boxes`` (N, 4), ``pred_scores`` (N,), ``pred_labels`` (N,),
            ``gt_boxes`` (M, 4), ``gt_labels`` (M,) and ``gt_difficult`` (M,).
        num_classes: C; labels are 0 to C - 1, and others are not counted anywhere.
        iou_threshold: an IoU equal to it is a match.
    """
    matches = [_match_image(image) for image in images]
    # A running number for every object in all images makes "found before" a single comparison.
    starts = np.cumsum([0, *(len(image['gt_labels']) for image in images)])[:-1]
    objects = _concatenate([found + start for (_, found), start in zip(matches, starts, strict=True)], int)
    best_iou = _concatenate([iou for iou, _ in matches], float)
    scores = _concatenate([image['pred_scores'] for image in images], float)
    labels = _concatenate([image['pred_labels'] for image in images], int)
    gt_labels = _concatenate([image['gt_labels'] for image in images], int)
    difficult = _concatenate([image['gt_difficult'] for image in images], bool)

    hit = best_iou >= iou_threshold
    on_difficult = np.zeros(len(hit), dtype=bool)
    on_difficult[hit] = difficult[objects[hit]]

    # One order for all classes: the order within a class is a part of it, since the sort is stable.
    ranked = np.argsort(-scores, kind='stable')
    ranked = ranked[(labels[ranked] >= 0) & (labels[ranked] < num_classes)]
    claims = ranked[hit[ranked] & ~on_difficult[ranked]]
    # np.unique returns the first, hence best-scored, claim on each object.
    first_claims = claims[np.unique(objects[claims], return_index=True)[1]]
    is_true = np.zeros(len(hit), dtype=bool)
    is_true[first_claims] = True
    is_false = ~is_true & ~on_difficult

    num_objects = _count(gt_labels[~difficult], num_classes)
    ap = np.full((2, num_classes), np.nan)
    curves = []
    # The detections of each class are contiguous and in order: one sort instead of one pass per class.
    by_class = ranked[np.argsort(labels[ranked], kind='stable')]
    num_detections = _count(labels, num_classes)
    ends = np.cumsum(num_detections)
    for index, count in enumerate(num_objects):
        of_class = by_class[ends[index] - num_detections[index] : ends[index]]
        curves.append(_curve(scores[of_class], is_true[of_class], is_false[of_class], count))
        if count:
            precision, recall = precision_recall(is_true[of_class], is_false[of_class], count)
            ap[0, index] = average_precision(precision, recall, 'area')
            ap[1, index] = average_precision(precision, recall, '11points')

    return VocResult(
        ap_area=ap[0],
        ap_11points=ap[1],
        num_objects=num_objects,
        num_difficult=_count(gt_labels[difficult], num_classes),
        num_detections=num_detections,
        curves=tuple(curves),
        pooled=_curve(scores[ranked], is_true[ranked], is_false[ranked], num_objects.sum()),
    )
