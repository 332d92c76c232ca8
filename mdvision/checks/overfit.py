"""Overfitting sanity check: train a detector on eight synthetic images until they are memorized."""

import contextlib
import copy
import io
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from mdvision.config.image_size import image_size
from mdvision.console import import_upstream
from mdvision.datasets import make_mini_voc
from mdvision.errors import UserError

from .small_detector import cut, set_num_classes

__all__ = ['GOAL', 'IMAGES', 'overfit']

GOAL = 0.9  # voc12/mAP50 on the images it was trained on
IMAGES, BATCH = 8, 4
WARM_UP = 20  # iterations
LOOK_EVERY = 25  # iterations between evaluations


def overfit(cfg: Config, seconds: float, small: bool, lr: float, seed: int) -> tuple[float, int]:
    """Train on the synthetic images until the goal or the time limit is reached.

    The optimizer is AdamW with a constant learning rate, whatever the config says: its schedule is made for
    another number of iterations. Images are generated at the size to which the config resizes, and are not
    augmented.

    Args:
        cfg: config of a detector; not changed.
        seconds: time limit.
        small: see :func:`cut`.
        lr: the learning rate.
        seed: seed of weights, sampling and images.

    Returns:
        voc12/mAP50 on the images, and the number of iterations trained.
    """
    import_upstream('mmdet')
    init_default_scope('mmdet')
    cfg = copy.deepcopy(cfg)
    height, width = image_size(cfg) or (120, 160)
    size = width, height
    if small:
        size = cut(cfg, size)
    torch.manual_seed(seed)
    np.random.seed(seed)
    with tempfile.TemporaryDirectory(prefix='mdvision_overfit_') as folder:
        dataset = _drawn(Path(folder) / 'data', size, seed)
        set_num_classes(cfg.model, len(dataset.metainfo['classes']))
        model = MODELS.build(cfg.model)
        model.init_weights()
        return _train(model.to(get_device()), dataset, seconds, lr)


def _train(model: nn.Module, dataset, seconds: float, lr: float) -> tuple[float, int]:
    started = time.time()
    samples = [dataset[index] for index in range(len(dataset))]
    optimizer = OptimWrapper(
        torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr),
        clip_grad=dict(max_norm=10),
    )
    for iteration, batch in enumerate(_batches(samples), start=1):
        for group in optimizer.optimizer.param_groups:
            group['lr'] = lr * min(1.0, iteration / WARM_UP)
        model.train()
        losses = model.train_step(pseudo_collate(batch), optimizer)
        if not torch.isfinite(losses['loss']):
            raise UserError(f'The loss became {losses["loss"].item()} at iteration {iteration}; see --lr.')
        over = time.time() - started > seconds
        if iteration % LOOK_EVERY == 0 or over:
            score = _score(model, samples, dataset.metainfo)
            print(f'iter {iteration:>4}  loss {losses["loss"].item():.4f}  mAP50 {score:.3f}', flush=True)
            if score >= GOAL or over:
                return score, iteration
    raise AssertionError('the batches never end')


def _batches(samples: list) -> Iterator[list]:
    """Yield the samples in random order, endlessly."""
    while True:
        for indices in torch.randperm(len(samples)).split(BATCH):
            yield [samples[index] for index in indices]


@torch.no_grad()
def _score(model: nn.Module, samples: list, metainfo: dict) -> float:
    from mdvision.evaluation.detection_metric import DetectionMetric

    model.eval()
    metric = DetectionMetric(print_table=False)
    metric.dataset_meta = metainfo
    for sample in samples:
        outputs = model.test_step(pseudo_collate([copy.deepcopy(sample)]))
        metric.process(None, [output.to_dict() for output in outputs])
    with contextlib.redirect_stdout(io.StringIO()):
        return metric.evaluate(len(samples))['voc12/mAP50']


def _drawn(folder: Path, size: tuple[int, int], seed: int):
    from mdvision.datasets.mini_voc import CLASSES
    from mdvision.datasets.voc import VOCDataset

    make_mini_voc(folder, IMAGES, 1, size, seed)
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations', with_bbox=True),
        dict(type='Resize', scale=size, keep_ratio=True),  # changes nothing, but records the scale factor
        dict(
            type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')
        ),
    ]
    return VOCDataset(
        data_root=str(folder),
        ann_file='ImageSets/Main/train.txt',
        metainfo=dict(classes=CLASSES),
        pipeline=pipeline,
        test_mode=True,  # keeps images without objects too
    )
