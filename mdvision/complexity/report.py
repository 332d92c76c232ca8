"""Report the cost of a named model or of the model of a config, for ``tools/complexity.py``."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from types import MethodType

import torch
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mdvision.config.image_size import image_size, padded
from mdvision.config.overrides import backbone_option
from mdvision.config.prepare import prepare
from mdvision.errors import UserError
from mdvision.meta_device import meta_device
from mdvision.models.named import create_model, find_model
from mdvision.registry import build_for_shapes
from mdvision.text import aligned, short_number
from mdvision.upstream import replace_method

from .count import KINDS, Complexity, count, measure

__all__ = ['Report', 'as_json', 'as_text', 'report_on_config', 'report_on_name']


@dataclass(frozen=True)
class Report:
    """What was measured, and on what.

    Attributes:
        title: name of the model or path of the config, with the overrides.
        image: channels, height, width.
        complexity: the numbers.
        regions: number of regions of interest for a two-stage detector; None for others.
        training_regions: the same for the training step.
        no_training: why a training step is impossible, or empty.
    """

    title: str
    image: tuple[int, int, int]
    complexity: Complexity
    regions: int | None = None
    training_regions: int | None = None
    no_training: str = ''


def report_on_name(name: str, size: tuple[int, int] | None = None, options: Sequence[str] = ()) -> Report:
    """Report the cost of a named model.

    Args:
        name: one of ``mdvision.list_models()``.
        size: height and width of the image; by default the published ones.
        options: ``KEY=VALUE`` arguments of its backbone, such as ``width_mult=0.5``.

    Raises:
        UserError: an unknown name or argument, or an unsuitable size.
    """
    named = find_model(name)
    overrides = dict(map(backbone_option, options))
    with meta_device():
        model = create_model(name, **overrides)
    channels, *published = named.image
    image = (overrides.get('in_channels', channels), *(size or published))
    return _report(' '.join([name, *options]), model, image)


def report_on_config(path: str, size: tuple[int, int] | None = None, options: Sequence[str] = ()) -> Report:
    """Report the cost of the model of a config, loaded as for training.

    Classifiers are run up to the logits. Detectors are run up to the outputs of their heads, without
    selecting or decoding boxes. A two-stage detector's second stage runs on as many regions as the config
    allows (``test_cfg.rpn.max_per_img``; ``train_cfg.rcnn.sampler.num`` in the training step), with features
    of the right shape: pooling them has no multiply-adds.

    Args:
        path: the config file.
        size: height and width of the image; by default what the test pipeline makes of an image of its own
            shape, padded as the data preprocessor pads.
        options: ``KEY=VALUE`` overrides of the config.

    Raises:
        UserError: the config cannot be read, has no model or does not determine the size.
    """
    cfg = prepare(path, options)
    scope = cfg.get('default_scope') or 'mmengine'
    if not cfg.get('model'):
        raise UserError(f'{path} has no model = dict(...): expected a config of a classifier or a detector.')
    init_default_scope(scope)
    if not size and image_size(cfg) is None:
        raise UserError(
            f'{path}: its test pipeline has no Resize with a scale and no CenterCrop, so the image size is '
            'unknown. Set it, for example with --size 224 224.'
        )
    size = size or padded(cfg, image_size(cfg))
    image = (cfg.model.get('backbone', {}).get('in_channels', 3), *size)
    title = ' '.join([path, *options])
    model = build_for_shapes(cfg.model)
    if not (hasattr(model, 'rpn_head') and hasattr(model, 'roi_head')):
        return _report(title, model, image, partial(_run, scope=scope))
    regions, training_regions = _regions(model)
    _pool_by_shape(model.roi_head)
    report = _report(
        title,
        model,
        image,
        partial(_run_two_stages, regions=regions),
        partial(_run_two_stages, regions=training_regions),
    )
    return Report(title, image, report.complexity, regions, training_regions, report.no_training)


def _report(title: str, model: nn.Module, image: tuple, forward=None, training_forward=None) -> Report:
    images = torch.empty(1, *image, device='meta')
    try:
        return Report(
            title, image, measure(model, images, forward=forward, training_forward=training_forward)
        )
    except (RuntimeError, NotImplementedError) as error:
        if 'meta' not in str(error):
            raise
        raise UserError(
            f'{title} depends on the values of a tensor, so it cannot be counted without computing: {error}'
        ) from error
    except ValueError as error:  # a batch norm with one value per channel
        return Report(title, image, count(model, images, forward=forward), no_training=str(error))


# ---------------------------------------------------------------------------------------------- running


def _run(model: nn.Module, images: Tensor, scope: str):
    if scope == 'mmdet':
        return model(images, _samples(images), mode='tensor')
    return model(images, mode='tensor') if scope == 'mmpretrain' else model(images)


def _run_two_stages(model: nn.Module, images: Tensor, regions: int):
    maps = model.extract_feat(images)
    proposals = [InstanceData(bboxes=images.new_zeros(regions, 4))]
    return model.rpn_head(maps), model.roi_head.forward(maps, proposals, _samples(images))


def _samples(images: Tensor) -> list:
    from mmdet.structures import DetDataSample

    sizes = dict.fromkeys(
        ('img_shape', 'ori_shape', 'pad_shape', 'batch_input_shape'), tuple(images.shape[-2:])
    )
    return [DetDataSample(metainfo=dict(img_id=0, scale_factor=(1.0, 1.0), **sizes))]


def _regions(model: nn.Module) -> tuple[int, int]:
    """Return the number of regions of interest in testing and in a training step."""
    regions = model.test_cfg.rpn.max_per_img
    rcnn = (model.train_cfg or {}).get('rcnn')
    rcnn = rcnn[0] if isinstance(rcnn, list) else rcnn  # one per stage of a cascade
    return regions, rcnn.sampler.num if rcnn else regions


class _RegionFeatures(torch.autograd.Function):
    """RoI pooling without values: features of the right shape, and a gradient for each feature map."""

    @staticmethod
    def forward(ctx, shape: tuple, *maps: Tensor) -> Tensor:
        ctx.shapes = [m.shape for m in maps]
        return maps[0].new_empty(shape)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple:
        return None, *(gradient.new_empty(shape) for shape in ctx.shapes)


def _pool_by_shape(roi_head: nn.Module) -> None:
    """Make the RoI extractors below ``roi_head`` use shapes only."""
    for name, extractor in roi_head.named_modules():
        if not name.rstrip('.0123456789').endswith('roi_extractor') or isinstance(extractor, nn.ModuleList):
            continue
        if list(extractor.parameters()):
            raise UserError(
                f'roi_head.{name} ({type(extractor).__name__}) has parameters of its own. Only extractors '
                'that do nothing but pool can be counted.'
            )
        # A bound method, so that a copy of the model gets one of its own.
        replace_method(
            extractor, 'forward', lambda _, extractor=extractor: MethodType(_region_features, extractor)
        )


def _region_features(extractor: nn.Module, maps: Sequence[Tensor], rois: Tensor, *args, **kwargs) -> Tensor:
    size = extractor.roi_layers[0].output_size if hasattr(extractor, 'roi_layers') else extractor.output_size
    height, width = (size, size) if isinstance(size, int) else size
    return _RegionFeatures.apply((len(rois), extractor.out_channels, height, width), *maps)


# ---------------------------------------------------------------------------------------------- printing


def as_json(report: Report) -> dict:
    """Return the report as plain data, with exact integers."""
    complexity = report.complexity
    return dict(
        model=report.title,
        image=list(report.image),
        regions=report.regions,
        training_regions=report.training_regions,
        **complexity.totals(),
        uncounted=list(complexity.uncounted),
        stages={
            name: dict(
                params=cost.params,
                trainable_params=cost.trainable_params,
                macs=cost.total_macs,
                macs_by_kind=cost.macs,
                activations=cost.activations,
            )
            for name, cost in complexity.stages.items()
        },
    )


_UNITS = """\
1 G = 10^9, 1 M = 10^6 and 1 k = 10^3 multiply-adds (MACs); a multiply-add counts once. Convolutions, matrix
products, Fourier and cosine transforms count; element-wise operations, norms, pooling and activation
functions do not. Activations are the outputs of convolutions and matrix products."""


def as_text(report: Report) -> str:
    """Return the report as a table, with what the numbers mean below it."""
    complexity = report.complexity
    rows = [('part', 'parameters', 'multiply-adds', '', 'activations')]
    for name, cost in complexity.stages.items():
        if name == 'roi_head' and report.regions:
            name = f'roi_head for {report.regions} regions'
        rows.append((name or 'the model itself', *_cells(cost.params, cost.total_macs, cost.activations)))
    rows.append(('total', *_cells(complexity.params, complexity.macs, complexity.activations)))
    lines = [f'{report.title}: one image of {" x ".join(map(str, report.image))}', '', *aligned(rows)]
    kinds = [
        f'{kind} {short_number(complexity.macs_by_kind[kind])}'
        for kind in KINDS
        if complexity.macs_by_kind[kind]
    ]
    lines += ['', f'multiply-adds by kind: {", ".join(kinds) or "none"}']
    if complexity.trainable_params != complexity.params:
        lines.append(f'of the parameters, {complexity.trainable_params:,} are trained')
    lines += [_training_line(report)]
    if complexity.uncounted:
        lines.append(f'not counted, no formula is known: {", ".join(complexity.uncounted)}')
    return '\n'.join([*lines, '', _UNITS])


def _cells(params: int, macs: int, activations: int) -> tuple[str, ...]:
    return f'{params:,}', f'{macs:,}', short_number(macs), f'{activations:,}'


def _training_line(report: Report) -> str:
    if report.no_training:
        return f'a training step on one image is not possible: {report.no_training}'
    peak = report.complexity.training_bytes
    regions = f' and {report.training_regions} regions' if report.training_regions else ''
    return (
        f'a training step on one image{regions}: {peak / 2**20:.1f} MiB ({peak:,} bytes) in float32,\n'
        '  of weights, gradients and the tensors kept for the backward pass; without optimizer state, loss\n'
        '  and workspaces'
    )
