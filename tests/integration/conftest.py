"""Small data sets and configs."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from mdvision.datasets import make_mini_voc

CLASSIFIER = """
_base_ = 'mmpretrain::_base_/default_runtime.py'
model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(num_classes=2, mean=[127.0] * 3, std=[60.0] * 3, to_rgb=True),
    backbone=dict(
        type='mdvision.EMANet', stage_blocks=(1, 1, 1, 1), base_channels=16, gate_reduction=4, stem='cifar',
        groups=((1, 2, 4, 4), (1, 2, 4, 8), (1, 2, 4, 8), (1, 4, 8, 16)), norm_eval={norm_eval},
        soft_ban=dict(follow_norm_eval=True)),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=2, in_channels=512, topk=(1,),
              loss=dict(type='CrossEntropyLoss')))
pipeline = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]
def loader(split, shuffle):
    return dict(
        batch_size={batch}, num_workers=0, collate_fn=dict(type='default_collate'),
        sampler=dict(type='DefaultSampler', shuffle=shuffle),
        dataset=dict(type='CustomDataset', data_root=r'{data}', data_prefix=split, pipeline=pipeline))
train_dataloader = loader('train', {shuffle})
val_dataloader = loader('val', False)
test_dataloader = loader('val', False)
del loader
val_evaluator = dict(type='Accuracy', topk=(1,))
test_evaluator = val_evaluator
train_cfg = dict(by_epoch=True, max_epochs={epochs}, val_interval=1)
val_cfg = dict()
test_cfg = dict()
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.05, momentum=0.9))
randomness = dict(seed=0)
"""


@pytest.fixture(scope='session')
def mini_voc(tmp_path_factory) -> Path:
    return make_mini_voc(tmp_path_factory.mktemp('mini_voc') / 'data', num_train=8, num_val=4, size=(96, 72))


@pytest.fixture(scope='session')
def picture_folder(tmp_path_factory) -> Path:
    """Eight training and four validation pictures of two classes: dark and bright noise."""
    folder = tmp_path_factory.mktemp('pictures')
    rng = np.random.default_rng(0)
    for split, count in (('train', 8), ('val', 4)):
        for index in range(count):
            name, level = (('dark', 60), ('bright', 200))[index % 2]
            (folder / split / name).mkdir(parents=True, exist_ok=True)
            picture = np.clip(rng.normal(level, 30, (16, 16, 3)), 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / split / name / f'{index}.png'), picture)
    return folder


@pytest.fixture
def write_classifier(tmp_path, picture_folder):
    """Writes the classifier's config with the given settings and returns its path."""

    def write(**settings) -> Path:
        values = dict(norm_eval=False, batch=4, shuffle=True, epochs=1, data=picture_folder) | settings
        text = CLASSIFIER
        for name, value in values.items():
            text = text.replace('{' + name + '}', str(value))
        path = tmp_path / 'classifier.py'
        path.write_text(text)
        return path

    return write


@pytest.fixture
def plain_config_text(monkeypatch):
    """mmengine formats a config six times a run, which would be half of the time here."""
    monkeypatch.setattr(Config, 'pretty_text', property(lambda cfg: str(cfg.to_dict())))
