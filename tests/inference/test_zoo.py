"""The models that come with mdvision load, predict, and have the metric on their card."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import mdvision
from mdvision.datasets.mnist import MNIST
from mdvision.datasets.voc import VOCDataset
from mdvision.errors import UserError
from mdvision.evaluation.detection_metric import DetectionMetric
from mdvision.inference.zoo import FOLDER

NAMES = mdvision.list_models(pretrained=True)
FILES = sorted(FOLDER.glob('*.safetensors'))


@pytest.mark.parametrize('name', NAMES)
def test_a_model_loads_and_predicts(name):
    trained = mdvision.load(name, device='cpu')
    card = (FOLDER / f'{name}.md').read_text(encoding='utf-8')
    assert f'{trained.description["metrics"][trained.description["metric"]]:.4f}' in card
    assert sum(p.numel() for p in trained.model.parameters()) == trained.description['parameters']
    (found,) = trained.predict(np.zeros((120, 160, 3), np.uint8))
    assert found.classes == trained.classes


def test_the_files_are_whole_and_small():
    assert len(NAMES) >= 3
    assert [file.stem for file in FILES] == NAMES
    for file in FILES:
        stated = json.loads(file.with_suffix('.json').read_text(encoding='utf-8'))['weights']
        assert hashlib.sha256(file.read_bytes()).hexdigest() == stated['sha256']
        assert file.stat().st_size <= 8_000_000
    assert sum(file.stat().st_size for file in FILES) <= 25_000_000


def test_a_network_by_name():
    model = mdvision.create_model('emanet_bccd', pretrained=True)
    assert isinstance(model, nn.Module) and not model.training
    assert mdvision.list_models('*_bccd', pretrained=True) == ['emanet_bccd', 'resnet_bccd']
    with pytest.raises(
        UserError, match=r"no trained model is called 'emanet_bcd'\. Did you mean 'emanet_bccd'"
    ):
        mdvision.create_model('emanet_bcd', pretrained=True)
    with pytest.raises(UserError, match=r'that of the weights\. Omit num_classes'):
        mdvision.create_model('emanet_bccd', num_classes=5, pretrained=True)
    with pytest.raises(UserError, match=r"no trained model is called 'emanet50'"):
        mdvision.load('emanet50')


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.parametrize('name', ['emanet_bccd', 'resnet_bccd'])
def test_a_detector_of_blood_cells_has_the_metric_on_its_card(name, real_data):
    detector = mdvision.load(name, device='cpu')
    data = VOCDataset(
        data_root=str(real_data / 'bccd'), ann_file='ImageSets/Main/val.txt', test_mode=True, pipeline=[],
        metainfo=dict(classes=detector.classes),
    )  # fmt: skip
    infos = [data.get_data_info(index) for index in range(len(data))]
    metric = DetectionMetric(print_table=False)
    metric.dataset_meta = dict(classes=detector.classes)
    found = detector.predict([info['img_path'] for info in infos])
    for info, one in zip(infos, found, strict=True):
        kinds = {True: [], False: []}
        for instance in info['instances']:
            kinds[bool(instance['ignore_flag'])].append(instance)
        truth = {
            key: dict(
                bboxes=torch.tensor([i['bbox'] for i in some]).reshape(-1, 4),
                labels=torch.tensor([i['bbox_label'] for i in some], dtype=torch.long),
            )
            for key, some in (('gt_instances', kinds[False]), ('ignored_instances', kinds[True]))
        }
        predicted = dict(
            bboxes=torch.tensor(one.boxes), scores=torch.tensor(one.scores), labels=torch.tensor(one.labels)
        )
        metric.process(None, [dict(img_id=info['img_id'], pred_instances=predicted, **truth)])
    measured = metric.evaluate(len(found))['voc12/mAP50']
    assert measured == pytest.approx(detector.description['metrics']['voc12/mAP50'], abs=1e-3)


@pytest.mark.realdata
def test_the_classifier_of_digits_has_the_metric_on_its_card(real_data):
    classifier = mdvision.load('diff_vit_mnist', device='cpu')
    images, labels = MNIST(data_root=str(real_data / 'mnist'), split='test', lazy_init=True).read(train=False)
    found = classifier.predict(list(images), batch_size=500)
    accuracy = 100 * np.mean([one.label == label for one, label in zip(found, labels, strict=True)])
    assert accuracy == pytest.approx(classifier.description['metrics']['accuracy/top1'], abs=0.02)


def test_the_package_carries_the_weights():
    setup = (Path(mdvision.__file__).parents[1] / 'setup.py').read_text(encoding='utf-8')
    assert "package_data={'mdvision': ['zoo/*']}" in setup
