"""The confusion matrix of detections: which class a detector mistakes for which.

Neither VOC nor COCO defines one. The matching is that of the common tools (class-agnostic, one to one). It is
mdvision's choice that a detection prefers an object of its own class: the boxes of a rider and of the
motorbike overlap, and both detections are correct.

Shapes: N detections and M objects per image, C classes. Boxes are ``[x1, y1, x2, y2]`` in pixels.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from .voc_ap import box_iou

__all__ = ['confusion_matrix']


def confusion_matrix(
    images: Sequence[Mapping[str, np.ndarray]],
    num_classes: int,
    score_threshold: float = 0.3,
    iou_threshold: float = 0.5,
) -> np.ndarray:
    """Count the objects of each class by the class as which they were detected.

    In each image the detections with at least ``score_threshold`` are processed by descending score over all
    classes; equal scores keep their order. Each claims an unclaimed object whose IoU with it is at least
    ``iou_threshold``: of its own class if there is one, otherwise of any class; among several, the one with
    the highest IoU. Detections on difficult objects are not counted, nor are those objects, and any number of
    detections may match one.

    Args:
        images: as for :func:`mdvision.evaluation.voc_ap.evaluate_voc`, all labels from 0 to C - 1.
        num_classes: C.
        score_threshold: a score equal to it counts.
        iou_threshold: an IoU equal to it is a match.

    Returns:
        (C + 1, C + 1) integers. Entry [t, p] counts objects of class t detected as class p; the last row
        counts detections on no object ("background"), the last column objects without a detection ("missed").
        A row thus sums to the objects of its class that are not difficult, and the corner is 0.
    """
    counts = np.zeros((num_classes + 1, num_classes + 1), dtype=np.int64)
    for image in images:
        _count_image(counts, image, score_threshold, iou_threshold)
    return counts


def _count_image(counts: np.ndarray, image: Mapping, score_threshold: float, iou_threshold: float) -> None:
    scores, gt_labels = np.asarray(image['pred_scores']), np.asarray(image['gt_labels'])
    difficult = np.asarray(image['gt_difficult'])
    ranked = np.argsort(-scores, kind='stable')
    ranked = ranked[scores[ranked] >= score_threshold]
    boxes = np.asarray(image['pred_boxes'], dtype=np.float64).reshape(-1, 4)[ranked]
    gt_boxes = np.asarray(image['gt_boxes'], dtype=np.float64).reshape(-1, 4)

    free = np.ones(len(gt_labels), dtype=bool)
    iou = box_iou(boxes, gt_boxes)  # (N, M)
    for overlaps, label in zip(iou, np.asarray(image['pred_labels'])[ranked], strict=True):
        within_reach = free & (overlaps >= iou_threshold)
        of_own_class = within_reach & (gt_labels == label)
        candidates = of_own_class if of_own_class.any() else within_reach
        if not candidates.any():
            counts[-1, label] += 1
            continue
        taken = np.where(candidates, overlaps, -1.0).argmax()
        if not difficult[taken]:
            free[taken] = False
            counts[gt_labels[taken], label] += 1
    np.add.at(counts[:, -1], gt_labels[free & ~difficult], 1)
