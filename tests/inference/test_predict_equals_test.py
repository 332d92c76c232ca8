"""Predictions are those that ``tools/test.py`` evaluates."""

import xml.etree.ElementTree as ET
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

import mdvision
from mdvision.engine.runner import Runner
from mdvision.evaluation.detection_metric import DetectionMetric
from tests import data_sets
from tests.inference.conftest import CLASSES, ROOT, random_model, small_classifier, small_detector

DETECTORS = [
    'attention/resnet18_faster_rcnn_voc.py',
    'emanet/retinanet_voc.py',
    'emanet/faster_rcnn_c4_voc.py',
]


def save_checkpoint(model: torch.nn.Module, cfg: Config, classes: tuple, path: Path) -> None:
    meta = dict(dataset_meta=dict(classes=classes), cfg=cfg.pretty_text)
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)


def evaluated(cfg: Config, checkpoint: Path, work_dir: Path) -> dict:
    cfg.work_dir, cfg.load_from = str(work_dir), str(checkpoint)
    cfg.visualizer.vis_backends = [dict(type='LocalVisBackend')]
    cfg.experiment_name = cfg.visualizer.name = f'{work_dir.parent.name}_test'
    return Runner.from_cfg(cfg).test()


def write_voc(folder: Path, pictures: Path, objects: dict[str, list]) -> None:
    """Pictures with objects (class, box in continuous coordinates), in VOC layout."""
    for name in ('JPEGImages', 'Annotations', 'ImageSets/Main'):
        (folder / name).mkdir(parents=True)
    for file, found in objects.items():
        picture = cv2.imread(str(pictures / file))
        cv2.imwrite(str(folder / 'JPEGImages' / file), picture)
        root = ET.Element('annotation')
        ET.SubElement(root, 'filename').text = file
        size = ET.SubElement(root, 'size')
        for key, value in zip(('height', 'width', 'depth'), picture.shape, strict=True):
            ET.SubElement(size, key).text = str(value)
        for label, (x1, y1, x2, y2) in found:
            node = ET.SubElement(root, 'object')
            ET.SubElement(node, 'name').text = label
            box = ET.SubElement(node, 'bndbox')
            for key, value in dict(xmin=x1 + 1, ymin=y1 + 1, xmax=x2, ymax=y2).items():
                ET.SubElement(box, key).text = str(round(float(value)))
        ET.ElementTree(root).write(folder / 'Annotations' / f'{Path(file).stem}.xml')
    names = '\n'.join(Path(file).stem for file in objects)
    (folder / 'ImageSets/Main/val.txt').write_text(names + '\n')


@pytest.mark.parametrize('name', DETECTORS)
@pytest.mark.parametrize('batch_size', [1, 4])
def test_a_detector_gets_the_same_map(name, batch_size, pictures, tmp_path):
    cfg = small_detector(name)
    checkpoint = tmp_path / 'epoch_1.pth'
    save_checkpoint(random_model(cfg), cfg, CLASSES, checkpoint)
    detector = mdvision.load(checkpoint, device='cpu')
    # Every third of its large findings is an object: some of the others are hits too, and some are not.
    objects = {}
    for one in detector.predict(pictures):
        sides = (one.boxes[:, 2:] - one.boxes[:, :2]).min(1)
        chosen = np.flatnonzero(sides > 6)[::3][:8]
        objects[Path(one.source).name] = [(one.names[i], one.boxes[i]) for i in chosen]
    assert sum(map(len, objects.values())) > 10
    write_voc(tmp_path / 'data', pictures, objects)
    for split in ('train', 'val', 'test'):
        cfg[f'{split}_dataloader'].dataset.data_root = str(tmp_path / 'data')
    wanted = evaluated(cfg, checkpoint, tmp_path / 'run')
    assert 0.02 < wanted['voc12/mAP50'] < 0.98

    metric = DetectionMetric(print_table=False)
    metric.dataset_meta = dict(classes=CLASSES)
    truth = Runner.build_dataloader(cfg.test_dataloader).dataset
    files = [truth.get_data_info(index)['img_path'] for index in range(len(truth))]
    found = detector.predict(files, batch_size=batch_size)
    for index, one in enumerate(found):
        info = truth.get_data_info(index)
        assert one.source == info['img_path']
        metric.process(None, [dict(
            img_id=info['img_id'],
            ori_shape=one.size,
            pred_instances=dict(
                bboxes=torch.tensor(one.boxes),
                scores=torch.tensor(one.scores),
                labels=torch.tensor(one.labels),
            ),
            gt_instances=dict(
                bboxes=torch.tensor([i['bbox'] for i in info['instances']]).reshape(-1, 4),
                labels=torch.tensor([i['bbox_label'] for i in info['instances']], dtype=torch.long),
            ),
        )])  # fmt: skip
    measured = metric.evaluate(len(found))
    for key, value in measured.items():
        assert value == pytest.approx(wanted[key], abs=1e-6, nan_ok=True), key


@pytest.mark.parametrize('batch_size', [1, 16])
def test_a_classifier_gets_the_same_accuracy(batch_size, tmp_path):
    classes = ('cat', 'dog', 'owl')
    cfg = small_classifier()
    data = data_sets.write_image_folder(tmp_path / 'data', classes, count=6)
    cfg.test_evaluator = [dict(type='Accuracy', topk=(1,)), dict(type='mdvision.ClassificationLoss')]
    for split in ('train', 'val', 'test'):
        cfg[f'{split}_dataloader'].dataset.data_root = str(data)
    checkpoint = tmp_path / 'epoch_1.pth'
    save_checkpoint(random_model(cfg), cfg, classes, checkpoint)
    wanted = evaluated(cfg, checkpoint, tmp_path / 'run')
    found = mdvision.predict(checkpoint, data / 'val', batch_size=batch_size)
    right = [one.name == Path(one.source).parent.name for one in found]
    assert len(found) == 18
    # Counted: mmpretrain has its percentage in float32.
    assert sum(right) == round(18 * wanted['accuracy/top1'] / 100, 4)
    # The accuracy of random weights says little; the loss depends on every score.
    losses = [-np.log(one.scores[classes.index(Path(one.source).parent.name)]) for one in found]
    assert np.mean(losses) == pytest.approx(wanted['loss'], rel=1e-5)


def test_a_classifier_of_images_in_memory_takes_files_and_arrays(tmp_path):
    """MNIST's digits as PNG files and as arrays get the scores that the data set's images get."""
    cfg = Config.fromfile(ROOT / 'configs/diff_vit/diff_vit_nano_best_mnist.py')
    cfg.model.backbone.depth = 2
    data = data_sets.write_mnist(tmp_path / 'mnist')
    cfg.test_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.test_dataloader.dataset.data_root = cfg.train_dataloader.dataset.data_root = str(data)
    model = random_model(cfg)
    classes = tuple(map(str, range(10)))
    save_checkpoint(model, cfg, classes, tmp_path / 'epoch_1.pth')
    classifier = mdvision.load(tmp_path / 'epoch_1.pth', device='cpu')
    dataset = Runner.build_dataloader(dict(cfg.test_dataloader)).dataset
    arrays, files = [], []
    with torch.no_grad():
        items = [dataset[index] for index in range(6)]
        inputs = torch.stack([item['inputs'] for item in items])
        samples = model.test_step(dict(inputs=inputs, data_samples=[item['data_samples'] for item in items]))
        wanted = np.stack([sample.pred_score.numpy() for sample in samples])
    for index, item in enumerate(items):
        arrays.append(item['inputs'].numpy()[0])
        files.append(tmp_path / f'{index}.png')
        cv2.imwrite(str(files[-1]), arrays[-1])
    for source in (files, arrays, [array[..., None] for array in arrays]):
        scores = np.stack([one.scores for one in classifier.predict(source)])
        np.testing.assert_allclose(scores, wanted, rtol=1e-5)
