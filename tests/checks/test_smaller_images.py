"""On a CPU the steps of tools/check.py use smaller images of a detector."""

import pytest
from mmengine.config import Config

from mdvision.checks.smaller_images import LONGEST_SIDE, use_smaller_images
from tests.running import ROOT


def shipped(name: str) -> Config:
    return Config.fromfile(ROOT / 'configs' / name)


def sizes(dataset: dict) -> list:
    """Those of the transforms of a data set and of the ones that it holds."""
    if 'pipeline' not in dataset:
        inner = dataset.get('datasets') or [dataset.dataset]
        return [size for part in inner for size in sizes(part)]
    keys = ('scale', 'scales', 'crop_size', 'img_scale')
    return [tuple(step[key]) for step in dataset.pipeline for key in keys if key in step]


@pytest.mark.parametrize(
    ('name', 'before'),
    [
        ('emanet/faster_rcnn_voc.py', (1000, 600)),
        ('emanet/faster_rcnn_c4_voc.py', None),
        ('emanet/faster_rcnn_bccd.py', (640, 480)),
        ('emanet/retinanet_voc.py', (1000, 600)),
        ('lma/lma_resnet50_faster_rcnn_coco.py', (1333, 800)),
        ('diff_vit/diff_vit_faster_rcnn_voc.py', None),
    ],
)
def test_a_detector_gets_smaller_images(name, before):
    cfg = shipped(name)
    loaders = (cfg.train_dataloader.dataset, cfg.val_dataloader.dataset)
    assert all(max(max(size) for size in sizes(dataset)) > LONGEST_SIDE for dataset in loaders)
    assert before is None or before in sizes(loaders[0])
    assert use_smaller_images(cfg)
    for dataset in loaders:
        assert sizes(dataset) and all(size == (LONGEST_SIDE, LONGEST_SIDE) for size in sizes(dataset))
    assert not use_smaller_images(cfg)  # nothing is left to make smaller


@pytest.mark.parametrize('name', ['diff_vit/vit_imagenet.py', 'dems_vit/dems_vit_tiny_imagenet.py'])
def test_a_classifier_keeps_its_size(name):
    cfg = shipped(name)
    before = cfg.pretty_text
    assert not use_smaller_images(cfg)
    assert cfg.pretty_text == before


def test_a_model_that_is_told_its_size_keeps_it():
    cfg = shipped('emanet/faster_rcnn_voc.py')
    cfg.model.backbone.img_size = 600
    before = cfg.pretty_text
    assert not use_smaller_images(cfg)
    assert cfg.pretty_text == before


def test_sizes_in_any_place_and_form():
    pipeline = [
        dict(type='Mosaic', img_scale=(640, 640)),
        dict(type='RandomAffine', border=(-320, -320), scaling_ratio_range=(0.1, 2)),
        dict(
            type='RandomChoice',
            transforms=[
                [dict(type='RandomChoiceResize', scales=[(480, 1333), (100, 120)])],
                [dict(type='mmdet.RandomCrop', crop_size=(0.3, 0.4), crop_type='relative_range')],
            ],
        ),
        dict(type='mmdet.PackDetInputs'),
    ]
    inner = dict(type='CocoDataset', pipeline=[dict(type='Resize', scale=800)])
    model = dict(data_preprocessor=dict(batch_augments=[dict(type='BatchFixedSizePad', size=(1024, 1024))]))
    cfg = Config(dict(model=model, train_dataloader=dict(dataset=dict(dataset=inner, pipeline=pipeline))))
    assert use_smaller_images(cfg)
    side = LONGEST_SIDE
    mosaic, affine, choice, _ = cfg.train_dataloader.dataset.pipeline
    assert mosaic.img_scale == (side, side)
    assert affine.border == (-side // 2, -side // 2) and affine.scaling_ratio_range == (0.1, 2)
    assert choice.transforms[0][0].scales == [(side, side), (100, 120)]
    assert choice.transforms[1][0].crop_size == (0.3, 0.4)
    assert cfg.train_dataloader.dataset.dataset.pipeline[0].scale == side
    assert cfg.model.data_preprocessor.batch_augments[0].size == (side, side)
