"""What a config leaves open: the number of classes is from the data, channels are from the backbone."""

import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope, init_default_scope

import mdvision
from mdvision import UserError
from mdvision.config import fill
from mdvision.config.fill import fill_config
from mdvision.registry import MODELS


@pytest.fixture
def pictures(tmp_path):
    for name in ('cat', 'dog', 'owl', '.cache'):
        (tmp_path / 'train' / name).mkdir(parents=True)
    (tmp_path / 'train' / 'readme.txt').write_text('')
    return tmp_path


def config(dataset: dict | None, head=None, **more) -> Config:
    augments = [dict(type='Mixup', num_classes=None)]
    model = dict(head=dict(num_classes=head), neck=dict(num_classes=7), train_cfg=dict(augments=augments))
    return Config(dict(model=model, train_dataloader=dict(dataset=dataset), **more))


def filled(cfg: Config) -> int:
    fill_config(cfg)
    return cfg.model.head.num_classes


# ---- classes


def test_every_open_number_is_filled_and_no_other(pictures):
    dataset = dict(type='mdvision.ImageFolder', data_root=str(pictures))
    cfg = config(dict(type='RepeatDataset', dataset=dataset), data_preprocessor=dict(num_classes=None))
    assert filled(cfg) == 3
    assert cfg.model.train_cfg.augments[0].num_classes == 3
    assert cfg.data_preprocessor.num_classes == 3
    assert cfg.model.neck.num_classes == 7


def test_the_classes_that_the_data_set_names_count(pictures):
    dataset = dict(type='mdvision.ImageFolder', data_root=str(pictures))
    assert filled(config(dict(dataset, classes=['dog', 'cat']))) == 2
    assert filled(config(dict(dataset, metainfo=dict(classes=('a', 'b', 'c', 'd'))))) == 4


def test_a_file_of_class_names(tmp_path):
    (tmp_path / 'classes.txt').write_text('ant\nbee\ncow\ndog\n')
    assert filled(config(dict(type='CustomDataset', classes=str(tmp_path / 'classes.txt')))) == 4
    assert filled(config(dict(type='mdvision.VOCDataset', metainfo=dict(classes='ant')))) == 1


def test_a_folder_that_is_not_there_is_an_error_with_the_layout(tmp_path):
    cfg = config(dict(type='mdvision.ImageFolder', data_root=str(tmp_path / 'nowhere')))
    with pytest.raises(
        UserError, match=r'(?s)there is no folder .*nowhere/train .*layout: .*data_root=FOLDER'
    ):
        fill_config(cfg)


def test_a_home_folder_is_expanded(pictures, monkeypatch):
    monkeypatch.setenv('HOME', str(pictures.parent))
    assert filled(config(dict(type='mdvision.ImageFolder', data_root=f'~/{pictures.name}'))) == 3


@pytest.mark.parametrize(
    ('scope', 'kind', 'number'),
    [
        ('mmpretrain', 'mdvision.CIFAR10', 10),
        ('mmpretrain', 'mdvision.CIFAR100', 100),
        ('mmpretrain', 'mdvision.CIFAR10JPEG', 10),
        ('mmpretrain', 'mdvision.MNIST', 10),
        ('mmpretrain', 'mdvision.FashionMNIST', 10),
        ('mmpretrain', 'mdvision.EMNIST', 10),
        ('mmpretrain', 'mdvision.ImageNet', 1000),
        ('mmpretrain', 'mdvision.MiniImageNet', 100),
        ('mmpretrain', 'mdvision.Caltech101', 102),
        ('mmpretrain', 'CUB', 200),
        ('mmdet', 'mdvision.MiniVOCDataset', 3),
        ('mmdet', 'CocoDataset', 80),
        ('mmdet', 'VOCDataset', 20),
    ],
)
def test_a_data_set_whose_class_knows_its_classes(scope, kind, number, monkeypatch):
    said = []
    monkeypatch.setattr(fill, 'say', said.append)
    cfg = config(dict(type=kind, data_root='/nowhere'), default_scope=scope)
    before = DefaultScope.get_current_instance()
    assert filled(cfg) == number
    (line,) = said
    assert line.startswith(f'{number} classes, from the data set {kind.removeprefix("mdvision.")}')
    assert DefaultScope.get_current_instance() is before


def test_the_parts_of_joined_data_sets():
    part = dict(type='mdvision.VOCDataset', metainfo=dict(classes=('cat', 'dog')))
    joined = dict(type='RepeatDataset', dataset=dict(type='ConcatDataset', datasets=[part, part]))
    assert filled(config(joined)) == 2


@pytest.mark.parametrize(
    ('dataset', 'reason'),
    [
        (dict(type='mdvision.VOCDataset'), 'mdvision.VOCDataset does not name its classes'),
        (None, 'there is none'),
    ],
)
def test_data_without_classes_is_an_error_where_the_model_needs_them(dataset, reason):
    with pytest.raises(UserError, match=rf'^model\.head\.num_classes: None is .*{reason}.*metainfo='):
        fill_config(config(dataset))
    cfg = config(dataset, head=5, data_preprocessor=dict(num_classes=None))
    fill_config(cfg)  # None is the default there
    assert cfg.data_preprocessor.num_classes is None


def test_a_config_that_says_its_number_is_left_alone(pictures):
    cfg = config(dict(type='mdvision.ImageFolder', data_root=str(pictures)), head=5)
    cfg.model.train_cfg.augments[0].num_classes = 5
    before = copy.deepcopy(cfg)
    fill_config(cfg)
    assert cfg.model.to_dict() == before.model.to_dict()


# ---- channels of classifiers


def classifier(name: str, **arguments) -> Config:
    """The named model as a config in which channels and classes are open."""
    model = mdvision.classifier_config(name, **arguments)
    for part in (model['neck'] or {}, model['head']):
        part.update({key: None for key in ('in_channels', 'num_classes') if key in part})
    cfg = dict(model=model, default_scope='mmpretrain')
    return Config(dict(cfg, train_dataloader=dict(dataset=dict(type='mdvision.CIFAR10'))))


@pytest.mark.parametrize('name', [
    'emanet50_cifar', 'resnet18', 'fca_resnet34', 'lma_mobilenet_v2', 'mdnet', 'mobilenet_cifar',
    'dems_vit_tiny', 'vit_nano', 'diff_vit_nano_legacy_cifar',
])  # fmt: skip
def test_an_open_classifier_becomes_the_named_one(name):
    cfg = classifier(name)
    fill_config(cfg)
    assert cfg.model.to_dict() == mdvision.classifier_config(name, num_classes=10)


def test_other_arguments_of_the_backbone_are_followed():
    cfg = classifier('lma_mobilenet_v2', width_mult=2.0, in_channels=1)
    fill_config(cfg)
    assert cfg.model.head.in_channels == 2560


def test_the_necks_of_a_classifier_are_followed():
    linear = dict(type='LinearNeck', in_channels=None, out_channels=24, norm_cfg=None)
    cfg = classifier('resnet18')
    cfg.model.neck = [dict(type='GlobalAveragePooling'), linear]
    fill_config(cfg)
    assert (cfg.model.neck[1].in_channels, cfg.model.head.in_channels) == (512, 24)


def test_a_backbone_of_mmpretrain():
    cfg = classifier('resnet18')
    cfg.model.backbone = dict(type='VisionTransformer', arch='deit-tiny', img_size=64, patch_size=16)
    cfg.model.neck = None
    fill_config(cfg)
    assert cfg.model.head.in_channels == 192
    init_default_scope('mmpretrain')
    assert MODELS.build(cfg.model)(torch.zeros(1, 3, 64, 64)).shape == (1, 10)


def test_channels_that_are_written_stay():
    cfg = classifier('resnet18')
    cfg.model.head.in_channels = 7
    fill_config(cfg)
    assert cfg.model.head.in_channels == 7


def test_a_backbone_that_does_not_take_its_own_image_is_an_error():
    cfg = classifier('dems_vit_tiny')
    cfg.model.backbone.image_size = 40
    with pytest.raises(
        UserError, match=r'^model.head.in_channels cannot be filled from the backbone: DEMSViT: .* 40'
    ):
        fill_config(cfg)


# ---- detectors: their channels are filled when they are built (tests/test_fitted_detectors.py)


def test_the_classes_of_a_detector_are_filled_and_its_channels_left_to_it():
    model = dict(
        type='mdvision.FasterRCNN',
        backbone=dict(type='mdvision.AttentionResNet'),
        neck=dict(type='FPN', in_channels=None),
        roi_head=dict(bbox_head=[dict(num_classes=None, in_channels=None) for _ in range(3)]),
    )
    dataset = dict(type='mdvision.VOCDataset', metainfo=dict(classes=('cat', 'dog')))
    cfg = Config(dict(model=model, train_dataloader=dict(dataset=dataset), default_scope='mmdet'))
    fill_config(cfg)
    assert [head.num_classes for head in cfg.model.roi_head.bbox_head] == [2, 2, 2]
    assert cfg.model.neck.in_channels is None
