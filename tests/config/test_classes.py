"""The number of classes follows from the folders."""

import pytest
from mmengine.config import Config

from mdvision import UserError
from mdvision.config.num_classes import fill_num_classes


@pytest.fixture
def pictures(tmp_path):
    for name in ('cat', 'dog', 'owl', '.cache'):
        (tmp_path / 'train' / name).mkdir(parents=True)
    (tmp_path / 'train' / 'readme.txt').write_text('')
    return tmp_path


def config(dataset: dict, head=None, **more) -> Config:
    augments = [dict(type='Mixup', num_classes=None)]
    model = dict(head=dict(num_classes=head), neck=dict(num_classes=7), train_cfg=dict(augments=augments))
    return Config(dict(model=model, train_dataloader=dict(dataset=dataset), **more))


def test_every_open_number_is_filled_and_no_other(pictures):
    dataset = dict(type='mdvision.ImageFolder', data_root=str(pictures))
    cfg = config(dict(type='RepeatDataset', dataset=dataset), data_preprocessor=dict(num_classes=None))
    assert fill_num_classes(cfg) == 3
    assert cfg.model.head.num_classes == cfg.model.train_cfg.augments[0].num_classes == 3
    assert cfg.data_preprocessor.num_classes == 3
    assert cfg.model.neck.num_classes == 7


def test_the_classes_that_the_data_set_names_count(pictures):
    cfg = config(dict(type='mdvision.ImageFolder', data_root=str(pictures), classes=['dog', 'cat']))
    assert fill_num_classes(cfg) == 2


def test_a_folder_that_is_not_there_is_an_error_with_the_layout(tmp_path):
    cfg = config(dict(type='mdvision.ImageFolder', data_root=str(tmp_path / 'nowhere')))
    with pytest.raises(
        UserError, match=r'(?s)there is no folder .*nowhere/train .*layout: .*data_root=FOLDER'
    ):
        fill_num_classes(cfg)


def test_a_home_folder_is_expanded(pictures, monkeypatch):
    monkeypatch.setenv('HOME', str(pictures.parent))
    assert fill_num_classes(config(dict(type='mdvision.ImageFolder', data_root=f'~/{pictures.name}'))) == 3


@pytest.mark.parametrize('dataset', [dict(type='mdvision.CIFAR10'), None])
def test_without_an_image_folder_nothing_is_filled(dataset):
    cfg = config(dataset)
    assert fill_num_classes(cfg) is None
    assert cfg.model.head.num_classes is None


def test_a_config_that_says_its_number_is_left_alone(pictures):
    cfg = config(dict(type='mdvision.ImageFolder', data_root=str(pictures)), head=5)
    cfg.model.train_cfg.augments[0].num_classes = 5
    assert fill_num_classes(cfg) is None
    assert cfg.model.head.num_classes == 5
