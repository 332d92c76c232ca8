"""The learning test of a detector: eight drawn images, until it knows them by heart.

A detector that cannot do that has a fault in its model, its losses or its assignment of boxes, and no
schedule will help. It says nothing of how well a detector generalises.
"""

import argparse
import contextlib
import copy
import csv
import datetime
import io
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from mdvision.config.overrides import apply_overrides
from mdvision.config.reading import load_config
from mdvision.console import import_host
from mdvision.datasets import make_mini_voc
from mdvision.errors import UserError
from mdvision.provenance import hardware_name, package_versions
from mdvision.registry import build_for_shapes

__all__ = ['cut', 'main', 'overfit']

GOAL = 0.9  # voc12/mAP50 on the images it was trained on
IMAGES, BATCH = 8, 4
WARM_UP = 20  # iterations
LOOK_EVERY = 25  # iterations between evaluations
SMALL_WIDTH = 250  # pixels

# Arguments that make a backbone small, in the order in which they are tried: not every attention exists
# at every width.
_RESNET = [dict(stage_blocks=(1, 1, 1, 1), base_channels=width) for width in (16, 32, 64)]
SMALL_BACKBONES = {
    'AttentionResNet': _RESNET,
    'EMANet': [dict(_RESNET[0], gate_reduction=4, groups=(1, 2, 4, 4))],
    'AttentionMobileNetV2': [dict(width_mult=0.5)],
    'DEMSViTPyramid': [dict(embed_dim=96, num_heads=3, depth=3, window=2)],
    'DiffViT': [dict(embed_dim=96, hidden_dim=192, depth=4)],
}


def main(args: argparse.Namespace) -> None:
    """Overfit each config in turn and say what came out.

    Raises:
        UserError: one of them did not learn its images in the time given.
    """
    MMLogger.get_current_instance().setLevel('WARNING')  # it would list every parameter
    sys.path.append(os.getcwd())  # a module of the user's, named in custom_imports, lies here
    if args.threads:
        torch.set_num_threads(args.threads)
    failed = []
    for config in args.config:
        cfg = load_config(config)
        apply_overrides(cfg, args.cfg_options)
        if cfg.get('default_scope') != 'mmdet':
            raise UserError(f'{config} is no detector (default_scope {cfg.get("default_scope")!r}).')
        started = time.time()
        score, iterations = overfit(cfg, args.minutes * 60, args.small, args.lr, args.seed)
        passed = score >= GOAL
        print(
            f'{"passed" if passed else "FAILED"}  {config}: mAP50 {score:.3f} after {iterations} iterations, '
            f'{time.time() - started:.0f} s',
            flush=True,
        )
        if not passed:
            failed.append(config)
        if args.csv:
            _append(Path(args.csv), args, config, score, iterations, time.time() - started)
    if failed:
        raise UserError(
            f'{len(failed)} of {len(args.config)} did not reach mAP50 {GOAL} on {IMAGES} images in '
            f'{args.minutes:g} minutes: {", ".join(failed)}. If the loss fell all the time, give more '
            '--minutes; if it did not fall, or rose, look for the fault, or try another --lr.'
        )


def _append(
    path: Path, args: argparse.Namespace, config: str, score: float, iterations: int, seconds: float
) -> None:
    """One row, with what it takes to get it again."""
    row = dict(
        config=config,
        mAP50=f'{score:.3f}',
        iterations=iterations,
        seconds=round(seconds),
        seed=args.seed,
        hardware=hardware_name(),
        threads=torch.get_num_threads(),
        versions=' '.join(f'{name}={version}' for name, version in package_versions().items()),
        date=datetime.date.today().isoformat(),
        command=shlex.join(
            [
                *(['python', 'tools/overfit.py']),
                config,
                *(['--small'] if args.small else []),
                *('--minutes', f'{args.minutes:g}', '--lr', f'{args.lr:g}', '--seed', str(args.seed)),
                *(['--cfg-options', *args.cfg_options] if args.cfg_options else []),
            ]
        ),
    )
    new = not path.exists()
    if not new and path.read_text(encoding='utf-8').partition('\n')[0] != ','.join(row):
        raise UserError(
            f'--csv {path}: expected a table with the columns {", ".join(row)}; take another file.'
        )
    with open(path, 'a', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, row, lineterminator='\n')
        if new:
            writer.writeheader()
        writer.writerow(row)


def overfit(cfg: Config, seconds: float, small: bool, lr: float, seed: int) -> tuple[float, int]:
    """Train on the drawn images until the goal or the end of the time.

    The optimiser is AdamW at a constant rate, whatever the config says: its schedule is made for another
    number of iterations. Images are drawn at the size that the config resizes to, and are not augmented.

    Args:
        cfg: of a detector; not changed.
        seconds: when to give up.
        small: see :func:`cut`.
        lr: the learning rate.
        seed: of weights, sampling and the drawn images.

    Returns:
        voc12/mAP50 on the images, and the iterations trained.
    """
    import_host('mmdet')
    init_default_scope('mmdet')
    cfg = copy.deepcopy(cfg)
    size = _image_size(cfg)
    if small:
        size = cut(cfg, size)
    torch.manual_seed(seed)
    np.random.seed(seed)
    with tempfile.TemporaryDirectory(prefix='mdvision_overfit_') as folder:
        dataset = _drawn(Path(folder) / 'data', size, seed)
        _set_num_classes(cfg.model, len(dataset.metainfo['classes']))
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
    """The samples in random order, again and again."""
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


def _image_size(cfg: Config) -> tuple[int, int]:
    """(width, height) that the config resizes images to for testing; (160, 120) where it does not."""
    for transform in cfg.val_dataloader.dataset.pipeline:
        if transform['type'] == 'Resize' and transform.get('scale'):
            return tuple(transform['scale'])
    return 160, 120


def _drawn(folder: Path, size: tuple[int, int], seed: int):
    from mdvision.datasets.mini_voc import CLASSES
    from mdvision.datasets.voc import VOCDataset

    make_mini_voc(folder, IMAGES, 1, size, seed)
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations', with_bbox=True),
        dict(type='Resize', scale=size, keep_ratio=True),  # changes nothing, but notes the scale factor
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


def _set_num_classes(node: object, number: int) -> None:
    """In every head but that of the proposals, which has no such key."""
    if isinstance(node, dict) and isinstance(node.get('num_classes'), int):
        node['num_classes'] = number
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list | tuple) else ():
        _set_num_classes(child, number)


def cut(cfg: Config, size: tuple[int, int]) -> tuple[int, int]:
    """Make a detector small enough to learn on a CPU in a minute or two, with all its parts.

    The backbone gets few blocks and channels, neck and heads 64 channels and the neck of an FPN batch
    norms, without which it learns slowly from scratch. Images and anchors shrink by the same factor, to
    a width of at most 250 pixels.

    Args:
        cfg: changed in place.
        size: (width, height) of the images.

    Returns:
        The new size.
    """
    model, factor = cfg.model, min(1.0, SMALL_WIDTH / size[0])
    if model.type not in ('mdvision.FasterRCNN', 'mdvision.RetinaNet'):
        raise UserError(
            f'--small cuts mdvision.FasterRCNN and mdvision.RetinaNet, whose heads follow the neck; this is '
            f'{model.type}. Leave --small out.'
        )
    roi_head, neck = model.get('roi_head') or {}, model.get('neck')
    shared = (roi_head.get('shared_head') or {}).get('backbone')
    _cut_backbone([model.backbone, shared] if shared else [model.backbone])
    if neck:
        neck.out_channels = 64
        if neck.type == 'FPN':
            neck.norm_cfg = dict(type='BN')
    for head in (model.get('rpn_head'), model.get('bbox_head')):
        if not head:
            continue
        head.feat_channels = 64
        generator = head.anchor_generator
        if generator.get('octave_base_scale'):
            generator.octave_base_scale *= factor
        else:
            generator.scales = [scale * factor for scale in generator.scales]
    extractor = roi_head.get('bbox_roi_extractor') or {}
    if 'finest_scale' in extractor or 'roi_layer' in extractor:
        extractor.finest_scale = extractor.get('finest_scale', 56) * factor
        extractor.roi_layer.sampling_ratio = 1
    if 'fc_out_channels' in (roi_head.get('bbox_head') or {}):
        roi_head.bbox_head.fc_out_channels = 256
    for part in (model.get('train_cfg') or {}, model.get('test_cfg') or {}):
        for proposals in (part.get('rpn_proposal'), part.get('rpn')):
            if proposals and 'nms_pre' in proposals:
                proposals.update(nms_pre=300, max_per_img=100)
                proposals.min_bbox_size = proposals.get('min_bbox_size', 0) * factor
        sampler = (part.get('rcnn') or {}).get('sampler')
        if sampler:
            sampler.num = min(sampler.num, 64)
    return round(size[0] * factor), round(size[1] * factor)


def _cut_backbone(backbones: list[dict]) -> None:
    """The same for all of them: a C4 detector has its last stage in a backbone of its own."""
    known = SMALL_BACKBONES.get(str(backbones[0]['type']).removeprefix('mdvision.'), [{}])
    for arguments in known:
        tried = [dict(backbone, **arguments) for backbone in backbones]
        try:
            for backbone in tried:
                build_for_shapes(backbone)
        except UserError:
            if arguments is known[-1]:
                raise
            continue
        for backbone in backbones:
            backbone.update(arguments)
        return
