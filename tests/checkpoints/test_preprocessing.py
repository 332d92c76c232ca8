"""A checkpoint is used on images that are prepared as in its training, or the differences are said."""

import copy
import re

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseDataPreprocessor, ImgDataPreprocessor

from mdvision import UserError
from mdvision.checkpoints.preprocessing import check_pipelines, preprocessing_of
from tests.engine.toy import ToyModel, make_runner

LOAD = dict(type='LoadImageFromFile')
NORMALIZE = dict(type='mmcv.Normalize', mean=[1.0], std=[2.0], to_rgb=True)


def images(**more) -> ImgDataPreprocessor:
    return ImgDataPreprocessor(**dict(mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0], pad_size_divisor=32) | more)


@pytest.fixture
def checkpoint(tmp_path):
    """Of a training whose model prepares images; the toy's own data preprocessor takes its points."""
    runner = make_runner(tmp_path / 'run', epochs=1)
    points, runner.model.data_preprocessor.mean = runner.model.data_preprocessor, torch.ones(3, 1, 1)
    assert isinstance(points, BaseDataPreprocessor)
    runner.model.data_preprocessor._channel_conversion = True
    runner.train()
    return tmp_path / 'run' / 'epoch_1.pth'


def use(checkpoint, mean: float = 1.0, conversion: bool = True, resume: bool = False, min_match: float = 1.0):
    loader = dict(dataset=dict(type='ToyData', size=3), sampler=dict(type='DefaultSampler', shuffle=False))
    test = dict(
        test_dataloader=dict(loader, batch_size=1, num_workers=0),
        test_cfg=dict(),
        test_evaluator=dict(type='ToyMetric'),
    )
    work_dir = checkpoint.parent.with_name('use')
    runner = make_runner(work_dir, epochs=2, resume=str(checkpoint) if resume else None, **test)
    runner.model.data_preprocessor.mean = torch.full((3, 1, 1), mean)
    runner.model.data_preprocessor._channel_conversion = conversion
    runner.min_match = min_match
    if resume:
        runner.train()
    else:
        runner._load_from = str(checkpoint)
        runner.test()


def test_the_same_is_accepted(checkpoint):
    use(checkpoint)
    use(checkpoint, resume=True)


@pytest.mark.fault('6.16')
@pytest.mark.parametrize('resume', [False, True])
def test_another_order_of_the_colours_is_an_error_with_both_values(checkpoint, resume):
    message = r'epoch_1\.pth was .*\n.*bgr_to_rgb or to_rgb: trained with True, now False\n.*--allow-partial'
    with pytest.raises(UserError, match=message):
        use(checkpoint, conversion=False, resume=resume)


@pytest.mark.fault('6.16')
def test_another_mean_is_an_error(checkpoint):
    with pytest.raises(UserError, match=r'mean: trained with \[1\.0, 1\.0, 1\.0\], now \[2\.0, 2\.0, 2\.0\]'):
        use(checkpoint, mean=2.0)


def test_who_allows_it_goes_on(checkpoint):
    use(checkpoint, mean=2.0, min_match=0.0)


def test_what_counts():
    model, cfg = ToyModel(), Config(dict(train_dataloader=dict(dataset=dict(pipeline=[LOAD, NORMALIZE]))))
    model.data_preprocessor = images(bgr_to_rgb=True)
    assert preprocessing_of(model, cfg, 'train') == {
        'model.data_preprocessor.mean': [1.0, 2.0, 3.0],
        'model.data_preprocessor.std': [4.0, 5.0, 6.0],
        'model.data_preprocessor.pad_size_divisor': 32,
        'model.data_preprocessor.pad_value': 0,
        'model.data_preprocessor.bgr_to_rgb or to_rgb': True,
        'pipeline.Normalize': ['mean=[1.0], std=[2.0], to_rgb=True'],
        'pipeline.LoadImageFromFile.color_type': ['color'],
    }


@pytest.mark.fault('6.16')
@pytest.mark.parametrize('changed, key, values', [
    ([LOAD], 'pipeline.Normalize', r"training has \['mean=\[1\.0\], std.*this has \[\]"),
    ([LOAD, dict(NORMALIZE, to_rgb=False)], 'pipeline.Normalize', 'to_rgb=True.*to_rgb=False'),
    ([dict(LOAD, color_type='grayscale'), NORMALIZE], 'color_type', r"\['color'\], this has \['grayscale'\]"),
])  # fmt: skip
def test_pipelines_of_one_config_that_differ_are_a_warning(changed, key, values):
    train = dict(
        dataset=dict(type='RepeatDataset', dataset=dict(pipeline=[LOAD, dict(type='Flip'), NORMALIZE]))
    )
    cfg = Config(dict(train_dataloader=train, val_dataloader=dict(dataset=dict(pipeline=changed))))
    (finding,) = check_pipelines(cfg)
    assert finding.severity == 'warning'
    assert key in finding.where
    assert re.search(values, finding.text)
    cfg.val_dataloader = copy.deepcopy(cfg.train_dataloader)
    assert check_pipelines(cfg) == []
