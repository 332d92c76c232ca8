"""The detection metric: VOC 2007, VOC 2012 and COCO metrics of the same boxes, each named as such.

COCO protocol: pycocotools' ``COCOeval`` (Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014).
VOC protocol: :mod:`mdvision.evaluation.voc_ap`.
"""

import contextlib
import io
import logging
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmengine.registry import METRICS
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mdvision.console import say
from mdvision.errors import UserError
from mdvision.text import aligned

from .confusion import confusion_matrix
from .voc_ap import VocResult, evaluate_voc

__all__ = ['DetectionMetric', 'coco_average_precision']

# Where COCOeval.summarize() puts the six AP values.
COCO_NAMES = ('mAP', 'mAP50', 'mAP75', 'mAP_s', 'mAP_m', 'mAP_l')


@METRICS.register_module()
class DetectionMetric(BaseMetric):
    """Mean AP under three protocols, each value named after its protocol.

    ``voc12/mAP50`` is the area under the curve at IoU 0.5 (VOC 2010 and later), ``voc07/mAP50`` the 11-point
    mean (VOC 2007); ``coco/mAP`` is the mean over IoU 0.5 to 0.95, next to ``coco/mAP50``, ``coco/mAP75`` and
    ``coco/mAP_s``, ``_m``, ``_l`` (box area up to 32^2, from there to 96^2, and from there on, borders
    included, in pixels of the original image). Per class: ``voc12/AP50_<class>``, ``voc07/AP50_<class>`` and
    ``coco/AP_<class>``. All are floats from 0 to 1; nan if there is no object to find. A class without
    objects is left out of every mean.

    Detections are processed by descending score; equal scores keep the order of the images and of the
    detections in them. COCO considers the 100 best detections per class and image, VOC all.

    Difficult objects (``ignored_instances`` of a sample) are ignored in both protocols, but not in the same
    way. VOC ignores a detection whose IoU with one is high enough. COCO has no such objects; its way to leave
    out objects is the crowd flag: any number of detections may match one, and the criterion is how much of
    the detection lies in it (intersection over the detection's area). With difficult objects, ``coco/mAP50``
    can therefore differ from ``voc12/mAP50`` for this reason too.

    The ground truth must be in coordinates of the original image, like the predictions: in the test pipeline,
    ``LoadAnnotations`` comes after ``Resize``.

    Args:
        collect_device: ``'cpu'`` or ``'gpu'``, where results of several processes are gathered.
        prefix: put before every name with a slash; default none, since the names contain their protocol.
        print_table: log a table with one row per class after each evaluation.
        confusion_threshold: the minimum score of a detection in the confusion matrix.

    Attributes:
        last_table: the text of the last evaluation's table, even if it was not logged; '' before.
        last_voc: the last evaluation's VOC result, with the precision-recall curves; None before, and on
            every process but the main one.
        last_confusion: the last evaluation's :func:`~mdvision.evaluation.confusion.confusion_matrix` at IoU
            0.5, (C + 1, C + 1); None likewise.
    """

    # '' and not None: mmengine warns about a metric without a prefix, and the names include theirs.
    default_prefix = ''

    def __init__(
        self,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        print_table: bool = True,
        confusion_threshold: float = 0.3,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if not 0 <= confusion_threshold <= 1:
            raise UserError(
                'DetectionMetric: expected confusion_threshold, the minimum score of a detection in the '
                f'confusion matrix, from 0 to 1, got {confusion_threshold}. Set it in the config.'
            )
        self.print_table = print_table
        self.confusion_threshold = confusion_threshold
        self.last_table = ''
        self.last_voc: VocResult | None = None
        self.last_confusion: np.ndarray | None = None

    def process(self, data_batch: object, data_samples: Sequence[dict]) -> None:
        """Keep the boxes of one batch.

        Args:
            data_batch: not used.
            data_samples: mmdet's samples as dicts, with ``pred_instances`` (``bboxes`` (N, 4), ``scores``
                (N,), ``labels`` (N,)), ``gt_instances`` (``bboxes`` (M, 4), ``labels`` (M,)) and, optionally,
                ``ignored_instances`` in the same form: the difficult objects.

        Raises:
            UserError: a sample without ground truth, or a label that is not a class of the data set.
        """
        for sample in data_samples:
            if 'bboxes' not in sample.get('gt_instances', {}):
                raise UserError(
                    f'Image {sample.get("img_id")!r} has no ground-truth boxes to compare with. The test '
                    "pipeline must have dict(type='LoadAnnotations', with_bbox=True) after Resize and before "
                    'PackDetInputs.'
                )
            image = _boxes_of(sample)
            for what in ('pred_labels', 'gt_labels'):
                self._check_labels(image[what], what, sample)
            self.results.append(image)

    def _check_labels(self, labels: np.ndarray, what: str, sample: dict) -> None:
        num_classes = len(self.dataset_meta['classes'])
        if labels.size and not 0 <= labels.min() <= labels.max() < num_classes:
            wrong = labels.max() if labels.max() >= num_classes else labels.min()
            culprit = "the model's num_classes" if what == 'pred_labels' else "the data set's classes"
            raise UserError(
                f'Image {sample.get("img_id")!r}: {what} has label {wrong}, but the data set has '
                f'{num_classes} classes, labeled 0 to {num_classes - 1}. Check {culprit} in the config.'
            )

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Return the metrics over all images; see the class for their names."""
        classes = self.dataset_meta['classes']
        voc = evaluate_voc(results, len(classes))
        coco, coco_per_class = coco_average_precision(results, len(classes))

        metrics = {'voc12/mAP50': voc.mean_area, 'voc07/mAP50': voc.mean_11points}
        metrics.update({f'coco/{name}': value for name, value in coco.items()})
        per_class = {'voc12/AP50': voc.ap_area, 'voc07/AP50': voc.ap_11points, 'coco/AP': coco_per_class}
        for name, values in per_class.items():
            metrics.update({f'{name}_{classes[i]}': float(value) for i, value in enumerate(values)})

        self.last_voc = voc
        self.last_confusion = confusion_matrix(results, len(classes), self.confusion_threshold)
        self.last_table = format_table(classes, voc, coco_per_class, metrics['coco/mAP'])
        if self.print_table:
            say('\n' + self.last_table)
        self._warn_of_scaled_objects(results)
        return metrics

    def _warn_of_scaled_objects(self, results: list[dict]) -> None:
        outside = [image for image in results if image['gt_outside']]
        if outside:
            print_log(
                f'{len(outside)} of {len(results)} images have ground-truth boxes that extend more than 5 % '
                f'beyond the original image, first {outside[0]["img_id"]!r}. If the test pipeline loads '
                'annotations before Resize, the boxes were resized while the predictions were not, and '
                'every metric is wrong: put LoadAnnotations after Resize.',
                logger='current',
                level=logging.WARNING,
            )


def _array(values: object) -> np.ndarray:
    """Convert a tensor, an array, or mmdet's boxes (with a tensor in ``.tensor``) to a float64 array."""
    values = getattr(values, 'tensor', values)
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().double().numpy()  # double first: numpy has no bfloat16
    return np.asarray(values, dtype=np.float64)


def _boxes_of(sample: dict) -> dict:
    """Return the arrays of one sample that the protocols need, under the names used by ``evaluate_voc``."""
    pred, gt = sample['pred_instances'], sample['gt_instances']
    ignored = sample.get('ignored_instances', {})
    ignored_boxes = _array(ignored['bboxes'] if 'bboxes' in ignored else np.zeros((0, 4))).reshape(-1, 4)
    ignored_labels = _array(ignored['labels'] if 'labels' in ignored else np.zeros(0))
    gt_labels = _array(gt['labels'])
    gt_boxes = np.concatenate([_array(gt['bboxes']).reshape(-1, 4), ignored_boxes])
    height, width = sample.get('ori_shape', (np.inf, np.inf))[:2]
    return {
        'img_id': sample.get('img_id'),
        'pred_boxes': _array(pred['bboxes']).reshape(-1, 4),
        'pred_scores': _array(pred['scores']),
        'pred_labels': _array(pred['labels']).astype(int),
        'gt_boxes': gt_boxes,
        'gt_labels': np.concatenate([gt_labels, ignored_labels]).astype(int),
        'gt_difficult': np.repeat([False, True], [len(gt_labels), len(ignored_labels)]),
        'gt_outside': bool(np.any(gt_boxes[:, 2:] > 1.05 * np.array([width, height]))),
    }


def _coco_annotations(images: Sequence[Mapping], boxes_key: str, labels_key: str) -> list[dict]:
    """Return COCO annotations of one kind of box; ids count from 1."""
    annotations = []
    for image_id, image in enumerate(images, start=1):
        for index, (x1, y1, x2, y2) in enumerate(image[boxes_key]):
            annotation = {
                # COCOeval marks "no match" with 0, so an object with id 0 could never be found.
                'id': len(annotations) + 1,
                'image_id': image_id,
                'category_id': int(image[labels_key][index]),
                'bbox': [float(x1), float(y1), float(x2 - x1), float(y2 - y1)],
                'area': float((x2 - x1) * (y2 - y1)),
            }
            if boxes_key == 'gt_boxes':
                annotation['iscrowd'] = int(image['gt_difficult'][index])
            else:
                annotation['score'] = float(image['pred_scores'][index])
            annotations.append(annotation)
    return annotations


def coco_average_precision(
    images: Sequence[Mapping[str, np.ndarray]], num_classes: int
) -> tuple[dict[str, float], np.ndarray]:
    """Return COCO's six mean APs and the AP at IoU 0.5:0.95 per class, using pycocotools in memory.

    Args:
        images: as for :func:`mdvision.evaluation.voc_ap.evaluate_voc`; images are identified by their
            position in the sequence, and those without boxes count too. Difficult objects become crowds.
        num_classes: C; labels are 0 to C - 1.

    Returns:
        ``{'mAP', 'mAP50', 'mAP75', 'mAP_s', 'mAP_m', 'mAP_l'}`` and an array (C,), all 0 to 1, nan if there
        is no object to find.
    """
    frame = {
        'images': [{'id': image_id} for image_id in range(1, len(images) + 1)],
        'categories': [{'id': label} for label in range(num_classes)],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth, detections = COCO(), COCO()
        truth.dataset = {**frame, 'annotations': _coco_annotations(images, 'gt_boxes', 'gt_labels')}
        # Not COCO.loadRes: it fails on an empty list.
        detections.dataset = {**frame, 'annotations': _coco_annotations(images, 'pred_boxes', 'pred_labels')}
        truth.createIndex()
        detections.createIndex()
        evaluation = COCOeval(truth, detections, iouType='bbox')
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    means = {name: _nan_if_absent(evaluation.stats[i]) for i, name in enumerate(COCO_NAMES)}
    # (IoU thresholds, recalls, classes, areas, numbers of detections): all areas, 100 detections
    precision = evaluation.eval['precision'][:, :, :, 0, -1]
    # COCOeval writes -1 at all thresholds and recalls for a class without objects, and at none otherwise.
    per_class = np.array([_nan_if_absent(precision[:, :, label].mean()) for label in range(num_classes)])
    return means, per_class


def _nan_if_absent(value: float) -> float:
    return float(value) if value > -1 else float('nan')


def format_table(classes: Sequence[str], voc: VocResult, coco_per_class: np.ndarray, coco_mean: float) -> str:
    """Format one row per class and a last row with the means; ``-`` if there is no object to find.

    Args:
        classes: C names.
        voc: the result whose ``ap_area`` and counts are shown.
        coco_per_class: (C,) AP at IoU 0.5:0.95.
        coco_mean: COCO's own mean of them.
    """

    def cell(value: float) -> str:
        return '-' if np.isnan(value) else f'{value:.4f}'

    rows = [('class', 'objects', 'detections', 'AP50 (voc12)', 'AP 0.5:0.95 (coco)')]
    for index, name in enumerate(classes):
        counts = str(voc.num_objects[index]), str(voc.num_detections[index])
        rows.append((name, *counts, cell(voc.ap_area[index]), cell(coco_per_class[index])))
    totals = str(voc.num_objects.sum()), str(voc.num_detections.sum())
    rows.append(('mean', *totals, cell(voc.mean_area), cell(coco_mean)))
    lines = aligned(rows)
    rule = '-' * len(lines[0])
    lines = [lines[0], rule, *lines[1:-1], rule, lines[-1]]
    missing = voc.classes_without_objects
    if len(missing) == len(classes):
        lines.append('There is no ground truth at all (difficult objects do not count): every metric is nan.')
    elif missing:
        lines.append(f'no ground truth for: {", ".join(classes[i] for i in missing)} (left out of the means)')
    return '\n'.join(lines)
