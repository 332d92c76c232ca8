"""The detection metric: its names, its table, what it keeps, its refusals.

Its numbers are compared with pycocotools and the VOC rules in test_detection_references.py.
"""

import logging
import math

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.registry import METRICS
from mmengine.structures import BaseDataElement, InstanceData

from mdvision.errors import UserError
from mdvision.evaluation.detection_metric import DetectionMetric, coco_average_precision
from mdvision.evaluation.voc_ap import evaluate_voc

CLASSES = ('cat', 'dining table', 'dog')


def random_images(seed, difficult_share=0.2):
    """Images with boxes from 10 to 200 pixels wide, so that every area range has some."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(rng.integers(1, 7)):
        num_objects, num_detections = rng.integers(0, 6), rng.integers(0, 9)
        gt_boxes = rng.uniform(0, 200, (num_objects, 4))
        gt_boxes[:, 2:] = gt_boxes[:, :2] + np.exp(rng.uniform(np.log(10), np.log(200), (num_objects, 2)))
        boxes = rng.uniform(0, 200, (num_detections, 4))
        boxes[:, 2:] += boxes[:, :2]
        labels = rng.integers(0, 3, num_detections)
        gt_labels = rng.integers(0, 3, num_objects)
        for index in range(num_detections):
            if num_objects and rng.random() < 0.8:
                near = rng.integers(num_objects)
                boxes[index] = gt_boxes[near] + rng.normal(0, 3, 4)
                labels[index] = gt_labels[near]
        images.append(
            {
                'pred_boxes': boxes,
                'pred_scores': rng.random(num_detections).round(1),
                'pred_labels': labels,
                'gt_boxes': gt_boxes,
                'gt_labels': gt_labels,
                'gt_difficult': rng.random(num_objects) < difficult_share,
            }
        )
    return images


def sample_of(image, img_id=0, ori_shape=(400, 400), **changes):
    """What mmdet hands to a metric: a data element with instances of tensors."""
    sample = BaseDataElement(metainfo={'img_id': img_id, 'ori_shape': ori_shape})
    as_boxes = changes.get('as_boxes', torch.as_tensor)
    hard = image['gt_difficult']
    sample.pred_instances = InstanceData(
        bboxes=torch.as_tensor(image['pred_boxes']),
        scores=torch.as_tensor(image['pred_scores']),
        labels=torch.as_tensor(image['pred_labels']),
    )
    sample.gt_instances = InstanceData(
        bboxes=as_boxes(image['gt_boxes'][~hard]), labels=torch.as_tensor(image['gt_labels'][~hard])
    )
    if changes.get('with_ignored', True):
        sample.ignored_instances = InstanceData(
            bboxes=as_boxes(image['gt_boxes'][hard]), labels=torch.as_tensor(image['gt_labels'][hard])
        )
    return sample


def evaluator_of(**options):
    evaluator = Evaluator({'type': 'DetectionMetric', 'print_table': False, **options})
    evaluator.dataset_meta = {'classes': CLASSES}
    return evaluator


def evaluate(samples, batch_size=2, evaluator=None):
    evaluator = evaluator or evaluator_of()
    for start in range(0, len(samples), batch_size):
        evaluator.process(samples[start : start + batch_size])
    return evaluator.evaluate(len(samples))


def one_object(box, difficult=False, label=0):
    return {
        'gt_boxes': np.array([box], dtype=float),
        'gt_labels': np.array([label]),
        'gt_difficult': np.array([difficult]),
        'pred_boxes': np.zeros((0, 4)),
        'pred_scores': np.zeros(0),
        'pred_labels': np.zeros(0, dtype=int),
    }


def with_detections(image, boxes, scores, label=0):
    return {
        **image,
        'pred_boxes': np.array(boxes, dtype=float),
        'pred_scores': np.array(scores, dtype=float),
        'pred_labels': np.full(len(boxes), label),
    }


def perfect_image(label=0):
    return with_detections(one_object([10, 10, 60, 60], label=label), [[10, 10, 60, 60]], [0.9], label)


def test_a_perfect_detector_scores_one_in_every_protocol_that_is_defined():
    metrics = evaluate([sample_of(perfect_image(label)) for label in range(3)])
    expected = ['voc12/mAP50', 'voc07/mAP50', 'coco/mAP', 'coco/mAP50', 'coco/mAP75', 'coco/mAP_m']
    expected += [f'{kind}_{c}' for c in CLASSES for kind in ('voc12/AP50', 'voc07/AP50', 'coco/AP')]
    assert {name: metrics[name] for name in expected} == pytest.approx(
        dict.fromkeys(expected, 1.0), abs=1e-12
    )
    assert set(metrics) == {*expected, 'coco/mAP_s', 'coco/mAP_l'}
    assert math.isnan(metrics['coco/mAP_s'])
    assert math.isnan(metrics['coco/mAP_l'])


def test_every_number_is_a_python_float_that_json_can_write():
    metrics = evaluate([sample_of(perfect_image())])
    assert {type(value) for value in metrics.values()} == {float}


def test_the_very_first_object_can_be_found():
    # COCOeval's mark for "no match" is id 0, so numbering objects from 0 would lose this one.
    assert evaluate([sample_of(perfect_image())])['coco/AP_cat'] == pytest.approx(1.0)


def test_voc_and_coco_numbers_differ_where_the_protocols_do():
    # IoU 0.8: a hit at 0.5 to 0.8, a miss at 0.85, 0.9 and 0.95
    image = with_detections(one_object([0, 0, 100, 100]), [[0, 0, 100, 80]], [0.9])
    metrics = evaluate([sample_of(image)])
    assert metrics['voc12/AP50_cat'] == 1.0
    assert metrics['coco/AP_cat'] == pytest.approx(0.7, abs=1e-12)


def test_voc_numbers_are_those_of_the_voc_module_each_under_its_own_year():
    images = random_images(7)
    metrics = evaluate([sample_of(image) for image in images])
    voc = evaluate_voc(images, 3)
    assert metrics['voc12/mAP50'] == voc.mean_area
    assert metrics['voc07/mAP50'] == voc.mean_11points != voc.mean_area
    assert [metrics[f'voc12/AP50_{c}'] for c in CLASSES] == voc.ap_area.tolist()
    assert [metrics[f'voc07/AP50_{c}'] for c in CLASSES] == voc.ap_11points.tolist()


def test_difficult_objects_neither_help_nor_hurt_in_any_protocol():
    hard = with_detections(one_object([10, 10, 60, 60], difficult=True), [[10, 10, 60, 60]], [0.95])
    metrics = evaluate([sample_of(perfect_image()), sample_of(hard)])
    assert metrics['voc12/mAP50'] == 1.0
    assert metrics['coco/mAP'] == pytest.approx(1.0)


def test_a_small_part_of_a_difficult_object_is_false_for_voc_and_ignored_for_coco():
    part = with_detections(one_object([0, 0, 100, 100], difficult=True), [[10, 10, 40, 40]], [0.95])
    metrics = evaluate([sample_of(perfect_image()), sample_of(part)])
    assert metrics['voc12/AP50_cat'] == 0.5  # false before true
    assert metrics['coco/AP_cat'] == pytest.approx(1.0)


def test_images_without_objects_and_without_detections_take_part():
    empty = {key: value[:0] for key, value in perfect_image().items()}
    only_false = with_detections(empty, [[0, 0, 20, 20]], [0.95])
    metrics = evaluate([sample_of(empty), sample_of(perfect_image()), sample_of(only_false)])
    assert metrics['voc12/mAP50'] == 0.5
    assert metrics['coco/mAP50'] == pytest.approx(0.5)


def test_no_detections_at_all_score_zero():
    metrics = evaluate([sample_of(one_object([0, 0, 50, 50]))])
    assert metrics['voc12/mAP50'] == metrics['voc07/mAP50'] == metrics['coco/mAP'] == 0.0


def test_feeding_in_two_halves_gives_the_same_numbers_as_at_once():
    samples = [sample_of(image) for image in random_images(5) + random_images(6)]
    assert evaluate(samples, batch_size=1) == evaluate(samples, batch_size=len(samples))


def test_padding_of_the_last_batch_is_not_counted():
    images = [perfect_image(), with_detections(one_object([0, 0, 50, 50]), [[100, 100, 150, 150]], [0.95])]
    evaluator = evaluator_of()
    evaluator.process([sample_of(image) for image in [*images, images[1]]])
    padded = evaluator.evaluate(2)
    assert padded['voc12/AP50_cat'] == evaluate([sample_of(i) for i in images])['voc12/AP50_cat'] == 0.25


def test_the_same_image_id_twice_counts_as_two_images():
    twice = [sample_of(perfect_image(), img_id='000001'), sample_of(perfect_image(), img_id='000001')]
    metrics = evaluate(twice)
    assert metrics['coco/AP_cat'] == pytest.approx(1.0)
    assert metrics['voc12/AP50_cat'] == 1.0


def test_boxes_in_mmdet_structures_and_half_precision_give_the_same_numbers():
    bbox = pytest.importorskip('mmdet.structures.bbox')
    images = random_images(3)
    boxed = [
        sample_of(image, as_boxes=lambda array: bbox.HorizontalBoxes(torch.as_tensor(array).double()))
        for image in images
    ]
    plain = evaluate([sample_of(image) for image in images])
    np.testing.assert_allclose(list(evaluate(boxed).values()), list(plain.values()), rtol=0, atol=1e-4)

    sample = sample_of(perfect_image())
    sample.pred_instances.bboxes = sample.pred_instances.bboxes.bfloat16()
    sample.pred_instances.scores = sample.pred_instances.scores.bfloat16()
    assert evaluate([sample])['voc12/mAP50'] == 1.0


def test_samples_without_ignored_instances_have_no_difficult_objects():
    metrics = evaluate([sample_of(perfect_image(), with_ignored=False)])
    assert metrics['voc12/mAP50'] == 1.0


@pytest.mark.fault('1.26')
def test_no_ground_truth_at_all_gives_nan_and_says_so():
    evaluator = evaluator_of()
    hard = with_detections(one_object([10, 10, 60, 60], difficult=True), [[10, 10, 60, 60]], [0.95])
    metrics = evaluate([sample_of(hard)], evaluator=evaluator)
    assert all(math.isnan(value) for value in metrics.values())
    assert 'There is no ground truth at all' in evaluator.metrics[0].last_table


def test_zero_images_give_nan_and_not_an_error():
    assert all(math.isnan(value) for value in evaluate([]).values())


@pytest.mark.fault('1.38')
def test_table_has_one_row_a_class_a_mean_and_names_the_classes_without_objects():
    evaluator = evaluator_of()
    evaluate([sample_of(perfect_image())], evaluator=evaluator)
    lines = evaluator.metrics[0].last_table.splitlines()
    assert lines[0].split('  ')[0] == 'class'
    assert lines[2].split() == ['cat', '1', '1', '1.0000', '1.0000']
    assert lines[3].split() == ['dining', 'table', '0', '0', '-', '-']
    assert lines[4].split() == ['dog', '0', '0', '-', '-']
    assert lines[6].split() == ['mean', '1', '1', '1.0000', '1.0000']
    assert lines[7] == 'no ground truth for: dining table, dog (left out of the means)'
    assert len({len(line) for line in lines[:7]}) == 1


def test_the_table_to_the_last_space():
    evaluator = evaluator_of()
    assert evaluator.metrics[0].last_table == ''
    near = with_detections(one_object([10, 10, 60, 60]), [[10, 10, 60, 60], [70, 0, 90, 20]], [0.8, 0.9])
    evaluate([sample_of(near)], evaluator=evaluator)
    assert evaluator.metrics[0].last_table.splitlines() == [
        'class         objects  detections  AP50 (voc12)  AP 0.5:0.95 (coco)',
        '-------------------------------------------------------------------',
        'cat                 1           2        0.5000              0.5000',
        'dining table        0           0             -                   -',
        'dog                 0           0             -                   -',
        '-------------------------------------------------------------------',
        'mean                1           2        0.5000              0.5000',
        'no ground truth for: dining table, dog (left out of the means)',
    ]
    hard = one_object([10, 10, 60, 60], difficult=True)
    evaluate([sample_of(hard)], evaluator=evaluator)
    assert evaluator.metrics[0].last_table.splitlines()[-1] == (
        'There is no ground truth at all (difficult objects do not count): every metric is nan.'
    )


def test_table_is_logged_only_where_it_is_wanted(monkeypatch):
    logged = []
    monkeypatch.setattr('mdvision.evaluation.detection_metric.say', logged.append)
    evaluate([sample_of(perfect_image())], evaluator=evaluator_of(print_table=False))
    assert logged == []
    evaluate([sample_of(perfect_image())], evaluator=evaluator_of(print_table=True))
    evaluator = Evaluator({'type': 'DetectionMetric'})  # as it is by default
    evaluator.dataset_meta = {'classes': CLASSES}
    evaluate([sample_of(perfect_image())], evaluator=evaluator)
    assert len(logged) == 2
    assert logged[0] == logged[1] == '\n' + evaluator.metrics[0].last_table


def test_the_last_evaluation_is_kept_for_pictures_with_its_own_score_threshold():
    images = [perfect_image(), with_detections(one_object([10, 10, 60, 60]), [[10, 10, 60, 60]], [0.2])]
    evaluator = evaluator_of()
    assert evaluator.metrics[0].last_voc is evaluator.metrics[0].last_confusion is None
    evaluate([sample_of(image) for image in images], evaluator=evaluator)
    assert evaluator.metrics[0].last_confusion[0].tolist() == [1, 0, 0, 1]  # 0.2 is below 0.3: missed
    assert evaluator.metrics[0].last_voc.curves[0].scores.tolist() == [0.9, 0.2]
    evaluate([sample_of(images[0])], evaluator=evaluator)
    assert evaluator.metrics[0].last_confusion[0].tolist() == [1, 0, 0, 0]

    evaluator = evaluator_of(confusion_threshold=0.2)
    evaluate([sample_of(image) for image in images], evaluator=evaluator)
    assert evaluator.metrics[0].last_confusion[0].tolist() == [2, 0, 0, 0]


def test_a_score_threshold_out_of_range_is_refused():
    with pytest.raises(UserError, match=r'confusion_threshold.* from 0 to 1, got 30'):
        DetectionMetric(confusion_threshold=30)
    with pytest.raises(UserError) as refused:
        DetectionMetric(confusion_threshold=1.5)
    assert str(refused.value) == (
        'DetectionMetric: expected confusion_threshold, the minimum score of a detection in the confusion '
        'matrix, from 0 to 1, got 1.5. Set it in the config.'
    )
    assert [DetectionMetric(confusion_threshold=t).confusion_threshold for t in (0, 1)] == [0, 1]


def test_results_of_several_processes_come_together_where_it_is_said():
    assert DetectionMetric(collect_device='gpu').collect_device == 'gpu'


def test_pycocotools_prints_nothing(capsys):
    coco_average_precision([perfect_image()], 3)
    assert capsys.readouterr().out == ''


def test_no_prefix_is_nothing_to_warn_about(monkeypatch):
    warned = []
    monkeypatch.setattr('mmengine.evaluator.metric.print_log', lambda text, **_: warned.append(text))
    evaluator_of()
    assert warned == []


def test_a_prefix_comes_before_the_protocol():
    metrics = evaluate([sample_of(perfect_image())], evaluator=evaluator_of(prefix='val'))
    assert 'val/voc12/mAP50' in metrics


def test_configs_find_the_metric_with_and_without_the_package_name():
    for name in ('DetectionMetric', 'mdvision.DetectionMetric'):
        assert type(METRICS.build({'type': name})) is DetectionMetric


def test_a_sample_without_annotations_is_refused_with_the_fix():
    sample = sample_of(perfect_image(), img_id='000042')
    sample.gt_instances = InstanceData()
    with pytest.raises(UserError) as refused:
        evaluate([sample])
    assert str(refused.value) == (
        "Image '000042' has no ground-truth boxes to compare with. The test pipeline must have "
        "dict(type='LoadAnnotations', with_bbox=True) after Resize and before PackDetInputs."
    )
    del sample.gt_instances
    with pytest.raises(UserError, match="'000042' has no ground-truth boxes"):
        evaluate([sample])


@pytest.mark.parametrize(
    ('key', 'culprit'), [('pred_labels', "the model's num_classes"), ('gt_labels', "the data set's classes")]
)
@pytest.mark.parametrize(('labels', 'wrong'), [([3], 3), ([7, 0], 7), ([-1, 2], -1), ([-1, 3], 3)])
def test_a_label_outside_the_classes_is_refused(key, culprit, labels, wrong):
    boxes = np.array([[10, 10, 60, 60]] * len(labels), dtype=float)
    image = {
        **perfect_image(),
        'pred_boxes': boxes,
        'gt_boxes': boxes,
        'pred_scores': np.full(len(labels), 0.9),
        'gt_difficult': np.zeros(len(labels), dtype=bool),
    }
    image |= {'pred_labels': np.zeros(len(labels), int), 'gt_labels': np.zeros(len(labels), int)}
    image[key] = np.array(labels)
    with pytest.raises(UserError) as refused:
        evaluate([sample_of(image, img_id='x')])
    assert str(refused.value) == (
        f"Image 'x': {key} has label {wrong}, but the data set has 3 classes, labeled 0 to 2. "
        f'Check {culprit} in the config.'
    )


def test_ground_truth_far_outside_the_image_is_warned_about(monkeypatch):
    logged = []
    monkeypatch.setattr(
        'mdvision.evaluation.detection_metric.print_log', lambda text, **where: logged.append((text, where))
    )
    evaluate([sample_of(perfect_image(), ori_shape=shape) for shape in ((60, 60), (58, 60), (60, 58, 3))])
    assert logged == []
    for box, shape in (([10, 10, 60, 60], (50, 60)), ([10, 10, 60, 20], (60, 50))):
        image = one_object(box)
        evaluate([sample_of(perfect_image()), sample_of(image, img_id='b', ori_shape=shape)])
    text = (
        '1 of 2 images have ground-truth boxes that extend more than 5 % beyond the original image, first '
        "'b'. If the test pipeline loads annotations before Resize, the boxes were resized while the "
        'predictions were not, and every metric is wrong: put LoadAnnotations after Resize.'
    )
    assert logged == [(text, dict(logger='current', level=logging.WARNING))] * 2


def test_a_sample_without_its_original_size_is_taken_as_it_is():
    sample = sample_of(perfect_image())
    del sample.ori_shape
    assert evaluate([sample])['voc12/mAP50'] == 1.0


def test_float32_arrays_are_compared_in_float64():
    box = np.array([[0, 0, 0.04958291, 2.4398108]], dtype=np.float32)
    half = box * np.array([1, 1, 1, 0.5], dtype=np.float32)  # IoU 0.5; in float32 it comes out below
    sample = sample_of(with_detections(one_object(box[0]), half, [0.9]))
    sample.pred_instances = dict(bboxes=half, scores=np.array([0.9]), labels=np.array([0]))
    sample.gt_instances = dict(bboxes=box, labels=np.array([0]))
    assert evaluate([sample])['voc12/mAP50'] == 1.0
