"""Every config, small: two iterations on generated data, validation, a checkpoint, and on from there.

What is cut is only size: images, batch, depth and width of the network, classes of a detector. Data set
classes, pipelines, preprocessing, losses, optimiser, schedule, hooks and metrics are those of the config.
"""

import math
from pathlib import Path

import pytest
import torch
from mmengine.config import Config, ConfigDict

from mdvision.checks.small_detector import cut
from mdvision.commands.switches import scale_learning_rate
from mdvision.config.fill import fill_config
from mdvision.console import import_upstream
from mdvision.engine.runner import Runner
from tests import data_sets

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / 'configs').rglob('*.py')
    if '_base_' not in path.parts
)

# How each backbone becomes small.
NARROW_RESNET = dict(stage_blocks=(1, 1, 1, 1), base_channels=16)
NARROW = {
    'EMANet': dict(**NARROW_RESNET, gate_reduction=4, groups=(1, 2, 4, 4)),
    'AttentionResNet': NARROW_RESNET,
    'AttentionMobileNetV2': dict(width_mult=0.25),
    'MDMobileNet': dict(width_mult=0.25),
    'MDMobileNetV2': {},
    'MDNet': {},
    'DiffViT': dict(depth=2),
    'DEMSViT': dict(depth=3, merge_layers=(2, 3), embed_dim=24, num_heads=3),
}
NARROW_ATTENTION = {
    'ShuffleAttention': dict(groups=8),
    'PyramidSplitAttention': dict(groups=(1, 2, 4, 4), gate_reduction=4),
}
SIDE = 64  # of what are 224 pixels and more in a config
DETECTOR_SIDE = 96  # the longer one


def write_caltech101(folder: Path) -> Path:
    from mmpretrain.datasets import Caltech101

    return data_sets.write_caltech101(folder, Caltech101.METAINFO['classes'])


WRITERS = {
    'MNIST': data_sets.write_mnist,
    'FashionMNIST': data_sets.write_mnist,
    'EMNIST': lambda folder: data_sets.write_mnist(folder, ('emnist-mnist-train', 'emnist-mnist-test')),
    'CIFAR10': data_sets.write_cifar10,
    'CIFAR100': data_sets.write_cifar100,
    'CIFAR10JPEG': data_sets.write_cifar10_jpeg,
    'ImageNet': data_sets.write_imagenet,
    'MiniImageNet': data_sets.write_mini_imagenet,
    'Caltech101': write_caltech101,
    'CocoDataset': data_sets.write_coco,
    'ImageFolder': lambda folder: data_sets.write_image_folder(folder, ('cat', 'dog')),
}


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """The folder of the tiny data set that a class reads; each is written once."""
    folders = {}

    def folder_of(kind: str) -> Path:
        if kind not in folders:
            folders[kind] = WRITERS[kind](tmp_path_factory.mktemp(kind) / 'data')
        return folders[kind]

    return folder_of


def parts_of(data_set: dict) -> list[dict]:
    """The data sets below wrappers that repeat or join them."""
    if 'datasets' in data_set:
        return [part for one in data_set['datasets'] for part in parts_of(one)]
    return parts_of(data_set['dataset']) if 'dataset' in data_set else [data_set]


def all_dicts(node):
    """Every dict in a config or a part of it, the outer ones first."""
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node:
        if isinstance(child, dict | list | tuple):
            yield from all_dicts(child)


def shrink_images(pipeline: list, longest: int, new: int) -> None:
    """Multiply every size in a pipeline by ``new / longest``, where it is larger than ``new``."""

    def shrunk(value):
        if isinstance(value, list | tuple):
            return tuple(map(shrunk, value))
        return math.ceil(value * new / longest) if isinstance(value, int) and value > new else value

    for transform in all_dicts(pipeline):
        for key in ('scale', 'crop_size', 'size'):
            if key in transform:
                transform[key] = shrunk(transform[key])


def shrink_classifier(cfg: Config, data) -> None:
    backbone = cfg.model.backbone
    backbone.update(NARROW[backbone.type.removeprefix('mdvision.')])
    for part in all_dicts(backbone):
        part.update(NARROW_ATTENTION.get(str(part.get('type')).removeprefix('mdvision.'), {}))
    large = backbone.get('image_size', 224)
    # DEMS-ViT needs a multiple of 8 patches.
    side = 8 * backbone.patch_size if 'DEMS' in backbone.type else SIDE
    if 'image_size' in backbone and large > side:
        backbone.image_size = side

    for index, loader in enumerate((cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader)):
        repeats = loader.dataset.get('times', 1)
        (part,) = parts_of(loader.dataset)
        part.data_root = str(data(part.type.removeprefix('mdvision.')))
        part.indices = 8 // repeats if index == 0 else 4
        loader.batch_size = 4
        if part.get('holdout'):
            part.holdout = 2
        if part.get('train_per_class'):
            part.train_per_class = 1
        if part.pipeline[0].type == 'LoadImageFromFile':
            shrink_images(part.pipeline, large, side)


def shrink_detector(cfg: Config, mini_voc: Path, data=None) -> None:
    cut(cfg, (DETECTOR_SIDE, DETECTOR_SIDE))
    is_coco = parts_of(cfg.val_dataloader.dataset)[0].type == 'CocoDataset'
    for index, loader in enumerate((cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader)):
        parts = parts_of(loader.dataset)
        loader.batch_size = 2
        for part in parts:
            part.indices = 4 // len(parts) if index == 0 else 2
            if is_coco:
                part.data_root = str(data('CocoDataset'))
            else:
                part.type = 'mdvision.VOCDataset'
                part.data_root = str(mini_voc)
                part.ann_file = f'ImageSets/Main/{"train" if index == 0 else "val"}.txt'
                part.metainfo = dict(classes=('circle', 'cross', 'triangle'))
            sizes = [t['scale'] for t in all_dicts(part.pipeline) if 'scale' in t]
            longest = max((max(size) for size in sizes), default=DETECTOR_SIDE)
            shrink_images(part.pipeline, longest, DETECTOR_SIDE)
    for metric in all_dicts([cfg.val_evaluator, cfg.test_evaluator]):
        if metric.type == 'CocoMetric':
            metric.ann_file = str(data('CocoDataset') / 'annotations' / 'instances_val2017.json')


def small_config(name: str, data, mini_voc: Path, work_dir: Path) -> Config:
    cfg = Config.fromfile(ROOT / name)
    import_upstream(cfg.default_scope)
    if cfg.default_scope == 'mmdet':
        shrink_detector(cfg, mini_voc, data)
    else:
        shrink_classifier(cfg, data)
    fill_config(cfg)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
        for part in parts_of(loader.dataset):
            part.serialize_data = False  # which collects garbage, half a second each time
    cfg.visualizer.vis_backends = [ConfigDict(type='LocalVisBackend')]
    cfg.log_level = 'ERROR'
    cfg.work_dir = str(work_dir)
    cfg.train_cfg.val_interval = 1
    return cfg


def run(cfg: Config, epochs: int, checkpoint: Path | None = None) -> tuple[Runner, list[torch.Tensor]]:
    """Train up to ``epochs``; returns the runner and what the backbone was given in each step."""
    cfg.train_cfg.max_epochs = epochs
    # mmengine keeps logs and pictures by name.
    cfg.experiment_name = cfg.visualizer.name = f'{Path(cfg.work_dir).name}_{epochs}'
    cfg.resume, cfg.load_from = checkpoint is not None, checkpoint and str(checkpoint)
    runner = Runner.from_cfg(cfg)
    seen = []
    runner.model.backbone.register_forward_pre_hook(
        lambda module, args: seen.append(args[0]) if module.training else None
    )
    runner.train()
    return runner, seen


@pytest.mark.parametrize('name', CONFIGS)
def test_a_config_trains_validates_saves_and_resumes(name, data, mini_voc, tmp_path, plain_config_text):
    work_dir = tmp_path / name.removeprefix('configs/').removesuffix('.py').replace('/', '_')
    cfg = small_config(name, data, mini_voc, work_dir)
    metric = cfg.default_hooks.checkpoint.save_best
    # The rate follows the batch, unless the config says that it does not.
    scale_learning_rate(cfg)
    learning_rate = cfg.optim_wrapper.optimizer.lr
    if cfg.auto_scale_lr.enable:
        learning_rate *= cfg.train_dataloader.batch_size / cfg.auto_scale_lr.base_batch_size

    runner, seen = run(cfg, 1)
    assert (runner.epoch, runner.iter, len(seen)) == (1, 2, 2)
    for images in seen:
        assert images.dtype == torch.float32
        assert len(images) == cfg.train_dataloader.batch_size
        # Normalised: neither bytes nor all the same.
        assert images.abs().max() < 8
        assert images.std() > 0.1
    assert 0 <= runner.message_hub.get_scalar(f'val/{metric}').current() <= 100
    assert list(work_dir.glob('best_*_epoch_1.pth'))
    checkpoint = torch.load(work_dir / 'epoch_1.pth', weights_only=False)
    assert checkpoint['message_hub']
    assert checkpoint['optimizer']['param_groups'][0]['initial_lr'] == pytest.approx(learning_rate)
    assert len(checkpoint['param_schedulers']) == len(cfg.param_scheduler)

    runner, seen = run(cfg, 2, work_dir / 'epoch_1.pth')
    assert (runner.epoch, runner.iter, len(seen)) == (2, 4, 2)
    before, after = checkpoint['state_dict'], runner.model.state_dict()
    assert before.keys() == after.keys()
    trained = {name: p for name, p in runner.model.named_parameters() if p.requires_grad}
    changed = [name for name in trained if not torch.equal(before[name], after[name])]
    assert len(changed) > 0.5 * len(trained)
    # At the first rates of a long warm-up a weight near 1 cannot move, but its momentum does.
    state = runner.optim_wrapper.optimizer.state
    moved = [
        n
        for n, p in trained.items()
        if any(state[p][k].any() for k in ('exp_avg', 'momentum_buffer') if k in state[p])
    ]
    assert len(moved) > 0.8 * len(trained)
