"""Small models with random weights, and pictures for them."""

from collections import OrderedDict
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import MODELS, DefaultScope

from mdvision.checks.small_detector import cut, set_num_classes
from mdvision.config.fill import fill_config
from mdvision.console import import_upstream
from mdvision.work_dir.model_file import describe, write_model

ROOT = Path(__file__).resolve().parents[2]
CLASSES = ('circle', 'cross', 'triangle')
SIDE = 96


@pytest.fixture(autouse=True)
def no_run_yet(monkeypatch):
    """What is said goes to the console, not to the log of a run that an earlier test has started."""
    monkeypatch.setattr(MMLogger, '_instance_dict', OrderedDict())


def small_detector(name: str) -> Config:
    """The detector of a config, narrow and shallow, for pictures of 96 x 72."""
    cfg = Config.fromfile(ROOT / 'configs' / name)
    import_upstream('mmdet')
    cut(cfg, (SIDE, 72))
    set_num_classes(cfg.model, len(CLASSES))
    for split in ('train', 'val', 'test'):
        loader = cfg[f'{split}_dataloader']
        dataset = loader.dataset
        while 'pipeline' not in dataset:
            dataset = dataset.get('dataset') or dataset.datasets[0]
        pipeline = dataset.pipeline
        for step in pipeline:
            if step.type == 'Resize':
                step.scale = (SIDE, SIDE)
        loader.update(batch_size=1, num_workers=0, persistent_workers=False)
        loader.dataset = dict(
            type='mdvision.VOCDataset', data_root='', ann_file='ImageSets/Main/val.txt',
            metainfo=dict(classes=CLASSES), pipeline=pipeline, test_mode=True,
        )  # fmt: skip
    return cfg


def small_classifier() -> Config:
    """The ResNet-18 of a folder of images, narrow and shallow."""
    cfg = Config.fromfile(ROOT / 'configs/image_folder/resnet18.py')
    import_upstream('mmpretrain')
    cfg.model.backbone.update(stage_blocks=(1, 1, 1, 1), base_channels=8)
    cfg.model.head.num_classes = 3
    for split in ('train', 'val', 'test'):
        loader = cfg[f'{split}_dataloader']
        loader.update(batch_size=5, num_workers=0, persistent_workers=False)
        loader.dataset.classes = ('cat', 'dog', 'owl')
    for step in cfg.test_dataloader.dataset.pipeline:
        if step.type == 'ResizeEdge':
            step.scale = 72
        elif step.type == 'CenterCrop':
            step.crop_size = 64
    return cfg


def random_model(cfg: Config, seed: int = 0) -> torch.nn.Module:
    """The model of a config with weights that have an opinion on every image."""
    fill_config(cfg)
    if cfg.get('data_preprocessor'):
        cfg.model.setdefault('data_preprocessor', cfg.data_preprocessor)  # as the runner does
    torch.manual_seed(seed)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model)
    model.init_weights()
    for key, value in model.named_parameters():
        if any(part in key for part in ('fc_cls', 'retina_cls', 'head.fc')):
            value.data.mul_(30) if key.endswith('weight') else value.data.zero_()
    return model.eval()


@pytest.fixture
def model_folder(tmp_path):
    """Writes the model file of a config with random weights; returns its folder."""

    def write(cfg: Config, classes: tuple[str, ...], name: str = 'small') -> Path:
        folder = tmp_path / name
        folder.mkdir()
        model = random_model(cfg)
        write_model(folder, describe(cfg, classes, name), model.state_dict())
        return folder

    return write


@pytest.fixture(scope='session')
def shared_classifier(tmp_path_factory) -> Path:
    """The folder of a classifier's model file, which no test may change."""
    folder = tmp_path_factory.mktemp('classifier')
    cfg = small_classifier()
    model = random_model(cfg)
    write_model(folder, describe(cfg, ('cat', 'dog', 'owl'), 'small'), model.state_dict())
    return folder


@pytest.fixture(scope='session')
def shared_detector(tmp_path_factory) -> Path:
    """The folder of a detector's model file, which no test may change."""
    folder = tmp_path_factory.mktemp('detector')
    cfg = small_detector('attention/resnet18_faster_rcnn_voc.py')
    model = random_model(cfg)
    write_model(folder, describe(cfg, CLASSES, 'small'), model.state_dict())
    return folder


@pytest.fixture(scope='session')
def pictures(tmp_path_factory) -> Path:
    """Six pictures of three sizes."""
    folder = tmp_path_factory.mktemp('pictures')
    rng = np.random.default_rng(0)
    for number, (height, width) in enumerate([(72, 96), (72, 96), (96, 72), (72, 96), (40, 60), (72, 96)]):
        coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f'{number}.png'), picture)
    return folder
