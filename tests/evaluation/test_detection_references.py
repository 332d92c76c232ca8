"""Every number of the detection metric against references that share no code with it.

COCO: pycocotools from two JSON files, as its own demo uses it. VOC: the devkit's rules as plain loops.
"""

import contextlib
import io
import json
import math

import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement, InstanceData
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mdvision.evaluation.detection_metric import DetectionMetric

CLASSES = ('cat', 'dining table', 'dog')
COCO_MEANS = ('mAP', 'mAP50', 'mAP75', 'mAP_s', 'mAP_m', 'mAP_l')
CASES = 200
# Not 0, 1, 2 and not in the order of the classes: nothing may depend on either.
CATEGORY_IDS = (90, 17, 44)


def box_of(rng):
    """Sides from 8 to 250 pixels, so that every area range of COCO has some."""
    x, y = rng.uniform(0, 200, 2)
    width, height = np.exp(rng.uniform(np.log(8), np.log(250), 2))
    return np.array([x, y, x + width, y + height])


def moved(rng, box, share):
    """Each side moved by about this share of the box, but never past the opposite one."""
    width, height = box[2] - box[0], box[3] - box[1]
    return box + np.clip(rng.normal(0, share, 4), -0.4, 0.4) * [width, height, width, height]


def random_case(seed):
    """Up to 6 images; scores of one digit, so that many are equal; every tenth case has a crowded image."""
    rng = np.random.default_rng(seed)
    difficult_share = rng.choice([0.0, 0.3])
    images = []
    for number in range(rng.integers(1, 7)):
        objects = [(box_of(rng), rng.integers(3)) for _ in range(rng.integers(0, 7))]
        if objects and rng.random() < 0.3:  # two objects that one detection reaches both
            objects.append((moved(rng, objects[0][0], 0.1), objects[0][1]))
        detections = []
        for _ in range(250 if number == 0 and seed % 10 == 0 else rng.integers(0, 12)):
            box, label = objects[rng.integers(len(objects))] if objects else (box_of(rng), 0)
            box = moved(rng, box, 0.08) if rng.random() < 0.75 else box_of(rng)
            if rng.random() < 0.15:
                label = rng.integers(3)
            detections.append((box, label, round(rng.random(), 1)))
            if rng.random() < 0.15:
                detections.append((box, label, round(rng.random(), 1)))  # the same once more
        images.append(
            {
                'objects': [(*each, bool(rng.random() < difficult_share)) for each in objects],
                'detections': detections,
            }
        )
    if not any(image['detections'] for image in images):
        images[0]['detections'].append((box_of(rng), 0, 0.5))  # loadRes cannot read an empty list
    return images


def metrics_of(images):
    metric = DetectionMetric(print_table=False)
    metric.dataset_meta = {'classes': CLASSES}
    samples = []
    for image in images:
        sample = BaseDataElement(metainfo=dict(ori_shape=(500, 500)))
        boxes, labels, scores = zip(*image['detections'], strict=True) if image['detections'] else ([],) * 3
        sample.pred_instances = instances(boxes, labels, scores=torch.tensor(np.array(scores, float)))
        for field, hard in (('gt_instances', False), ('ignored_instances', True)):
            chosen = [each for each in image['objects'] if each[2] is hard]
            setattr(sample, field, instances([each[0] for each in chosen], [each[1] for each in chosen]))
        samples.append(sample.to_dict())
    metric.process({}, samples)
    return metric.evaluate(len(samples))


def instances(boxes, labels, **more):
    boxes = np.array(boxes, dtype=float).reshape(-1, 4)
    return InstanceData(
        bboxes=torch.tensor(boxes), labels=torch.tensor(np.array(labels, dtype=np.int64)), **more
    )


# --- the two references ---


def coco_by_files(images, folder, seed):
    """The six means and the AP of each class, with pycocotools reading ground truth and results."""

    def xywh(box):
        return [float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])]

    annotations, results = [], []
    # The rows of the images in any order; those of one image stay in theirs, which decides ties.
    for number in np.random.default_rng(seed).permutation(len(images)):
        image_id = 1000 + 7 * int(number)
        for box, label, hard in images[number]['objects']:
            x, y, width, height = xywh(box)
            annotations.append(
                dict(
                    id=5000 + len(annotations),
                    image_id=image_id,
                    category_id=CATEGORY_IDS[label],
                    bbox=[x, y, width, height],
                    area=width * height,
                    iscrowd=int(hard),
                )
            )
        for box, label, score in images[number]['detections']:
            row = dict(image_id=image_id, category_id=CATEGORY_IDS[label], bbox=xywh(box), score=float(score))
            results.append(row)
    truth = dict(
        images=[dict(id=1000 + 7 * number, width=500, height=500) for number in range(len(images))],
        categories=[dict(id=i, name=name) for i, name in zip(CATEGORY_IDS, CLASSES, strict=True)],
        annotations=annotations,
    )
    (folder / 'truth.json').write_text(json.dumps(truth))
    (folder / 'results.json').write_text(json.dumps(results))

    def stats(category_ids):
        evaluation = COCOeval(ground_truth, detections, 'bbox')
        evaluation.params.catIds = category_ids
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        return [math.nan if value == -1 else value for value in evaluation.stats[:6]]

    with contextlib.redirect_stdout(io.StringIO()):
        ground_truth = COCO(str(folder / 'truth.json'))
        detections = ground_truth.loadRes(str(folder / 'results.json'))
        return stats(sorted(CATEGORY_IDS)), [stats([category])[0] for category in CATEGORY_IDS]


def overlap(box, other):
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    area = (box[2] - box[0]) * (box[3] - box[1]) + (other[2] - other[0]) * (other[3] - other[1])
    return both / (area - both)


def voc_by_loops(images, label):
    """(11-point AP, area AP) of one class as VOCevaldet.m and VOCap.m have them; nan without objects."""
    total = sum(of == label and not hard for image in images for _, of, hard in image['objects'])
    if not total:
        return math.nan, math.nan
    ranked = [
        (score, number, box)
        for number, image in enumerate(images)
        for box, of, score in image['detections']
        if of == label
    ]
    ranked.sort(key=lambda each: -each[0])  # stable
    found, true, false, curve = set(), 0, 0, []
    for _, number, box in ranked:
        best, which = -math.inf, None
        for index, (other, of, _) in enumerate(images[number]['objects']):
            if of == label and overlap(box, other) > best:
                best, which = overlap(box, other), index
        if best < 0.5:
            false += 1
        elif not images[number]['objects'][which][2]:
            if (number, which) in found:
                false += 1
            else:
                true += 1
                found.add((number, which))
        if true + false:
            curve.append((true / total, true / (true + false)))
    eleven = sum(max([p for r, p in curve if r >= k / 10], default=0.0) for k in range(11)) / 11
    area, before = 0.0, 0.0
    for index, (recall, _) in enumerate(curve):
        area += (recall - before) * max(p for _, p in curve[index:])
        before = recall
    return eleven, area


@pytest.mark.parametrize('seed', range(CASES))
def test_every_number_of_a_random_case_is_that_of_both_references(seed, tmp_path):
    images = random_case(seed)
    metrics = metrics_of(images)
    means, per_class = coco_by_files(images, tmp_path, seed)
    eleven, area = zip(*(voc_by_loops(images, label) for label in range(3)), strict=True)
    with np.testing.suppress_warnings() as quiet:
        quiet.filter(RuntimeWarning)  # a mean of no class is nan
        means_of_voc = float(np.nanmean(area)), float(np.nanmean(eleven))
    expected = {f'coco/{name}': value for name, value in zip(COCO_MEANS, means, strict=True)}
    expected |= {'voc12/mAP50': means_of_voc[0], 'voc07/mAP50': means_of_voc[1]}
    for values, name in ((per_class, 'coco/AP'), (area, 'voc12/AP50'), (eleven, 'voc07/AP50')):
        expected |= {f'{name}_{c}': value for c, value in zip(CLASSES, values, strict=True)}
    assert set(metrics) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(metrics[name], value, rtol=0, atol=1e-12, err_msg=name)


def test_the_random_cases_have_what_is_hard():
    cases = [random_case(seed) for seed in range(CASES)]
    images = [image for case in cases for image in case]
    per_class = [np.bincount([label for _, label, _ in i['detections']], minlength=3) for i in images]
    assert sum(counts.max() > 100 for counts in per_class) >= 10
    assert sum(not image['objects'] for image in images) > 20
    assert sum(not image['detections'] for image in images) > 20
    assert sum(all(hard for *_, hard in image['objects']) for image in images if image['objects']) > 10
    for image in images:
        for box, _, _ in image['objects'] + image['detections']:
            assert box[2] > box[0]
            assert box[3] > box[1]
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for image in images for b, *_ in image['objects']]
    assert np.histogram(areas, [0, 32**2, 96**2, np.inf])[0].min() > 200
    classes = [{label for image in case for _, label, _ in image['objects']} for case in cases]
    assert sum(len(present) < 3 for present in classes) > 5


# --- edges, each worked out by hand ---

A, B, FAR = (10, 10, 60, 60), (100, 100, 150, 150), (300, 300, 350, 350)


def image_of(objects=(), detections=()):
    return {'objects': [(*each, False)[:3] for each in objects], 'detections': list(detections)}


def expect(images, voc12, voc07, coco, label='cat'):
    metrics = metrics_of(images)
    got = [metrics[f'{name}_{label}'] for name in ('voc12/AP50', 'voc07/AP50', 'coco/AP')]
    np.testing.assert_allclose(got, [voc12, voc07, coco], rtol=0, atol=1e-12)
    return metrics


def test_no_detections_at_all_are_zero_in_every_protocol():
    metrics = expect([image_of([(A, 0)])], 0, 0, 0)
    zero = ('voc12/mAP50', 'voc07/mAP50', 'coco/mAP', 'coco/mAP50', 'coco/mAP75', 'coco/mAP_m')
    assert [metrics[name] for name in zero] == [0] * 6
    assert math.isnan(metrics['coco/mAP_s'])


def test_a_class_without_objects_is_nan_and_its_detections_cost_no_mean():
    images = [image_of([(A, 0)], [(A, 0, 0.9), (FAR, 2, 0.95), (FAR, 2, 0.8)])]
    metrics = expect(images, 1, 1, 1)
    expect(images, math.nan, math.nan, math.nan, label='dog')
    assert [metrics[f'{name}'] for name in ('voc12/mAP50', 'coco/mAP')] == pytest.approx([1, 1], abs=1e-12)


def test_a_class_with_difficult_objects_only_is_nan():
    images = [image_of([(A, 0, True), (B, 2)], [(A, 0, 0.9), (FAR, 0, 0.5), (B, 2, 0.9)])]
    expect(images, math.nan, math.nan, math.nan)
    expect(images, 1, 1, 1, label='dog')


def test_the_second_of_two_equal_detections_is_false():
    # true, false, true of 2 objects: precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1
    images = [image_of([(A, 0), (B, 0)], [(A, 0, 0.9), (A, 0, 0.8), (B, 0, 0.7)])]
    # 6 of 11 and 51 of 101 points lie at or below recall 1/2
    expect(images, 1 / 2 + 1 / 2 * 2 / 3, (6 + 5 * 2 / 3) / 11, (51 + 50 * 2 / 3) / 101)


def test_of_equal_scores_the_first_image_and_the_first_detection_come_first():
    good, bad = image_of([(A, 0)], [(A, 0, 0.5)]), image_of([], [(FAR, 0, 0.5)])
    expect([good, bad], 1, 1, 1)
    expect([bad, good], 1 / 2, 1 / 2, 1 / 2)
    expect([image_of([(A, 0)], [(A, 0, 0.5), (FAR, 0, 0.5)])], 1, 1, 1)
    expect([image_of([(A, 0)], [(FAR, 0, 0.5), (A, 0, 0.5)])], 1 / 2, 1 / 2, 1 / 2)


def test_coco_looks_at_a_hundred_detections_of_an_image_and_voc_at_all():
    shifted = [((300 + i, 300, 350 + i, 350), 0, 0.9) for i in range(100)]
    expect([image_of([(A, 0)], [*shifted[:99], (A, 0, 0.1)])], 1 / 100, 1 / 100, 1 / 100)
    expect([image_of([(A, 0)], [*shifted, (A, 0, 0.1)])], 1 / 101, 1 / 101, 0)


def test_an_area_on_the_border_of_two_ranges_is_in_both():
    square = (10, 10, 42, 42)  # 32^2
    metrics = metrics_of([image_of([(square, 0)], [(square, 0, 0.9)])])
    assert [metrics['coco/mAP_s'], metrics['coco/mAP_m']] == pytest.approx([1, 1], abs=1e-12)
    assert math.isnan(metrics['coco/mAP_l'])


def test_five_objects_and_ten_detections_have_the_numbers_worked_out_on_paper():
    # By falling score T T F F F T T F F T, so precision 1 1 2/3 1/2 2/5 1/2 4/7 1/2 4/9 1/2.
    # Envelope: 1 up to recall 2/5, 4/7 up to 4/5, 1/2 up to 1. 11 points: 5, 4 and 2; 101 points: 41, 40, 20.
    places = [(60 * i, 0, 60 * i + 50, 50) for i in range(6)]
    hits = iter(places)
    verdicts = [next(hits) if letter == 'T' else FAR for letter in 'TTFFFTTFFT']
    detections = [(box, 0, 0.95 - 0.05 * rank) for rank, box in enumerate(verdicts)]
    images = [image_of([(box, 0) for box in places[:5]], detections)]
    expected = (2 + 8 / 7 + 1 / 2) / 5, (5 + 16 / 7 + 1) / 11, (41 + 160 / 7 + 10) / 101
    expect(images, *expected)
