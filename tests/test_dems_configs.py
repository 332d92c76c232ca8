"""The configs of DEMS-ViT train it as published: model, loss, mixing, schedules, order of augmentation."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import HOOKS, init_default_scope
from PIL import Image
from torch.nn import functional as F

import mdvision
from mdvision.config.fill import fill_config
from mdvision.console import import_upstream
from mdvision.engine.hooks.augmentation_schedule import scheduled_transforms
from mdvision.meta_device import meta_device

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / 'configs' / 'dems_vit'
# The short training for a CPU and the detector are tested with those of the other families.
NAMES = sorted(path.stem for path in FOLDER.glob('*.py') if not path.stem.endswith(('_cpu', '_voc')))
FINETUNE = [name for name in NAMES if '_finetune_' in name]
PRETRAIN = [name for name in NAMES if name not in FINETUNE]
AT_256 = ('caltech101', 'imagenet')
COLOUR = ['torchvision/ColorJitter', 'torchvision/RandomGrayscale', 'torchvision/RandomSolarize']


@pytest.fixture(autouse=True)
def host():
    import_upstream('mmpretrain')
    init_default_scope('mmpretrain')


def load(name: str) -> Config:
    return Config.fromfile(FOLDER / f'{name}.py')


def build(cfg: Config):
    from mmpretrain.registry import MODELS

    fill_config(cfg)
    return MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))


def is_large(name: str) -> bool:
    return name.endswith(AT_256)


def test_each_data_set_has_its_configs():
    expected = {'dems_vit_tiny_cifar10_jpeg'}
    for size in ('tiny', 'small'):
        expected |= {f'dems_vit_{size}_imagenet', f'dems_vit_{size}_corrected_cifar10'}
        for data in ('cifar10', 'cifar100', 'fashion_mnist', 'emnist', 'caltech101'):
            expected |= {f'dems_vit_{size}_{data}', f'dems_vit_{size}_finetune_{data}'}
    assert set(NAMES) == expected


@pytest.mark.parametrize('name', NAMES)
def test_the_model_is_the_named_one(name):
    cfg = load(name)
    with meta_device():
        model = build(cfg)
    named = name.split('_')[:3]
    size = dict(image_size=256, patch_size=16) if is_large(name) else {}
    expected = mdvision.classifier_config('_'.join(named), num_classes=cfg.model.head.num_classes, **size)
    with meta_device():
        expected = build(Config(dict(model=expected, data_preprocessor=cfg.data_preprocessor)))
    shapes = {key: value.shape for key, value in model.state_dict().items()}
    assert shapes == {key: value.shape for key, value in expected.state_dict().items()}
    assert cfg.data_preprocessor.num_classes == cfg.model.head.num_classes


@pytest.mark.parametrize(
    ('name', 'parameters'),
    [('dems_vit_tiny_cifar100', 5_600_258), ('dems_vit_small_cifar100', 22_253_154)],
)
def test_the_number_of_parameters_is_the_published_one(name, parameters):
    with meta_device():
        assert sum(p.numel() for p in build(load(name)).parameters()) == parameters


@pytest.mark.parametrize('name', NAMES)
def test_rates_and_length_are_those_of_the_stage(name):
    cfg = load(name)
    backbone, optimizer = cfg.model.backbone, cfg.optim_wrapper.optimizer
    epochs = 100 if name in FINETUNE else 300 if name.endswith('imagenet') else 800
    rates = (0.2, 0.0, 1e-3) if name in FINETUNE else (0.15, 0.05, 5e-4)
    assert (backbone.drop_path_rate, backbone.attn_drop_rate, optimizer.lr) == rates
    assert cfg.train_cfg.max_epochs == cfg.param_scheduler[-1].end == epochs
    assert cfg.param_scheduler[-1].T_max == epochs - cfg.param_scheduler[-1].begin
    assert optimizer.weight_decay == 0.05
    assert 'paramwise_cfg' not in cfg.optim_wrapper
    assert cfg.auto_scale_lr.base_batch_size == cfg.train_dataloader.batch_size == 256


# ---- augmentation


@pytest.mark.parametrize('name', PRETRAIN)
def test_the_order_of_the_augmentation(name):
    cfg = load(name)
    pipeline = list(cfg.train_dataloader.dataset.pipeline)
    if is_large(name):
        assert pipeline.pop(0).type == 'LoadImageFromFile'
    assert [step.get('transform', step).type for step in pipeline] == [
        'RandomResizedCrop',
        'NumpyToPIL',
        *COLOUR,
        'PILToNumpy',
        'RandomFlip',
        'PackInputs',
    ]
    crop, _, *scheduled = pipeline[:5]
    assert (crop.scale, crop.crop_ratio_range) == (256 if is_large(name) else 32, (0.2, 1.0))
    assert crop.interpolation == 'bicubic'
    start = 0.6 if '_tiny_' in name else 0.8
    assert all(step.type == 'mdvision.ScheduledProbability' and step.start == start for step in scheduled)
    assert pipeline[6].prob == 0.5
    (hook,) = cfg.custom_hooks
    assert HOOKS.build(hook).schedule == ('cosine' if '_corrected_' in name else 'constant')


@pytest.mark.parametrize('name', FINETUNE)
def test_fine_tuning_sees_the_images_as_testing_does(name):
    cfg = load(name)
    assert cfg.train_dataloader.dataset.pipeline == cfg.test_dataloader.dataset.pipeline
    assert cfg.get('custom_hooks') is None
    assert cfg.load_from == f'work_dirs/{name.replace("finetune_", "")}/epoch_800.pth'
    pretraining = load(name.replace('finetune_', ''))
    assert cfg.data_preprocessor == pretraining.data_preprocessor
    assert cfg.test_dataloader == pretraining.test_dataloader


@pytest.mark.parametrize('name', NAMES)
def test_every_image_comes_in_the_size_of_the_model(name, tmp_path):
    cfg = load(name)
    image = np.random.default_rng(0).integers(0, 256, (60, 90, 3) if is_large(name) else (28, 28, 3), 'uint8')
    sample = dict(img=image, gt_label=3)
    if is_large(name):
        Image.fromarray(image).save(tmp_path / 'image.png')
        sample = dict(img_path=str(tmp_path / 'image.png'), gt_label=3)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        pipeline = pickle.loads(pickle.dumps(Compose(loader.dataset.pipeline)))  # as to a spawned worker
        inputs = pipeline(dict(sample))['inputs']
        side = cfg.model.backbone.image_size
        assert inputs.shape == (3, side, side)
        assert inputs.dtype == torch.uint8


@pytest.mark.parametrize('name', ['dems_vit_tiny_cifar10', 'dems_vit_tiny_caltech101'])
@pytest.mark.parametrize('active', range(3))
def test_colours_are_changed_as_pillow_does_in_rgb(name, active, tmp_path):
    """In a picture of one colour cropping and flipping change nothing."""
    cfg = load(name)
    picture = Image.new('RGB', (90, 60), (200, 100, 30))
    rgb = cfg.data_preprocessor.to_rgb is False
    picture.save(tmp_path / 'image.png')
    pipeline = Compose(cfg.train_dataloader.dataset.pipeline)
    scheduled = scheduled_transforms(pipeline)
    assert [transform.probability for transform in scheduled] == [0.6] * 3
    for index, transform in enumerate(scheduled):
        transform.probability = float(index == active)
    sample = dict(img=np.array(picture)) if rgb else dict(img_path=str(tmp_path / 'image.png'))
    inputs = pipeline(sample)['inputs']
    found = (inputs if rgb else inputs.flip(0))[:, 0, 0].tolist()
    if active == 0:
        # A tenth of the circle to either side of orange is between crimson and yellow, and never blue.
        assert found[0] > found[2]
        assert found != [200, 100, 30]
    elif active == 1:
        assert found == [picture.convert('L').getpixel((0, 0))] * 3
    else:
        assert found == [255 - 200, 100, 30]


# ---- mixing and loss


def test_each_batch_is_mixed_in_one_of_two_ways():
    from mmpretrain.models.utils.batch_augments import CutMix, Mixup

    for name in NAMES:
        with meta_device():
            mixing = build(load(name)).data_preprocessor.batch_augments
        mixup, cutmix = mixing.augments
        assert isinstance(mixup, Mixup)
        assert isinstance(cutmix, CutMix)
        assert (mixup.alpha, cutmix.alpha, mixing.probs) == (0.8, 1.0, None)  # None: equally likely
        assert cutmix.correct_lam
        assert cutmix.cutmix_minmax is None


def test_the_loss_is_the_cross_entropy_of_smoothed_and_mixed_targets():
    """Off-value 0.1 / classes, on-value 0.9 more, then mixed: the same as mixed, then smoothed."""
    from mmpretrain.registry import MODELS

    torch.manual_seed(0)
    classes, ratio = 10, 0.3
    loss = MODELS.build(load('dems_vit_tiny_cifar10').model.head.loss)
    logits = torch.randn(8, classes, dtype=torch.float64)
    labels = torch.tensor([3, 1, 4, 1, 5, 9, 2, 6])
    off = 0.1 / classes
    smoothed = torch.full((8, classes), off, dtype=torch.float64)
    smoothed[torch.arange(8), labels] = 0.9 + off
    target = ratio * smoothed + (1 - ratio) * smoothed.flip(0)
    want = -(target * logits.log_softmax(1)).sum(1).mean()
    hard = F.one_hot(labels, classes).double()
    mixed = ratio * hard + (1 - ratio) * hard.flip(0)
    torch.testing.assert_close(loss(logits, mixed), want, rtol=1e-6, atol=0)


def test_a_training_step_mixes_and_reaches_every_parameter():
    from mmpretrain.structures import DataSample

    cfg = load('dems_vit_tiny_cifar10')
    cfg.model.backbone.update(embed_dim=16, num_heads=2)
    model = build(cfg)
    model.init_weights()
    model.train()
    samples = [DataSample().set_gt_label(label) for label in (0, 3, 5, 7)]
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    torch.manual_seed(0)
    np.random.seed(0)
    batch = model.data_preprocessor(dict(inputs=images, data_samples=samples), training=True)
    scores = torch.stack([sample.gt_score for sample in batch['data_samples']])
    torch.testing.assert_close(scores.sum(1), torch.ones(4))
    assert ((scores > 0).sum(1) == 2).any()
    loss = model.loss(batch['inputs'], batch['data_samples'])['loss']
    loss.backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    assert torch.isfinite(loss)
