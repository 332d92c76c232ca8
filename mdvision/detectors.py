"""MMDetection's detectors with necks and heads that fit themselves to the backbone.

Every channel and stride of a neck or head that is ``None`` in the config is filled from what backbone and
neck give, so that another backbone is another line of a config and nothing else. Written in a config as
``type='mdvision.FasterRCNN'``; the bare names are MMDetection's.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MethodType

import torch
from mmdet.models.detectors import FasterRCNN as HostFasterRCNN
from mmdet.models.detectors import RetinaNet as HostRetinaNet
from mmdet.models.roi_heads.roi_extractors import BaseRoIExtractor, SingleRoIExtractor
from torch import Tensor, nn

from mdvision.errors import UserError
from mdvision.models import MaxPoolRoIExtractor
from mdvision.models.shapes import PYRAMID_IMAGE, channels_of, strides_of, trace, trace_backbone
from mdvision.upstream import replace_method

__all__ = ['FasterRCNN', 'RetinaNet', 'RoIExtractor', 'fit_to_backbone', 'keep_regions_exact']

_KEYS = ('in_channels', 'out_channels', 'strides', 'featmap_strides')


def fit_to_backbone(detector: Mapping) -> dict:
    """The arguments of a detector with every ``None`` among its channels and strides filled.

    They are read off a forward pass through backbone and neck, on the meta device.

    ==========================================================  ==========================================
    key                                                         filled with
    ==========================================================  ==========================================
    ``neck.in_channels`` (of each in a list of necks)           a list: the channels of the maps it gets
    ``anchor_generator.strides`` of ``rpn_head``, ``bbox_head``  strides of all maps that the heads get
    ``roi_head.bbox_roi_extractor.featmap_strides``             the same, without the extra levels of an FPN
    ``in_channels`` of the heads, ``out_channels`` of the       the channels of the maps that the heads get
    extractor                                                   (of the last one where they differ)
    ``roi_head.bbox_head.in_channels`` after a shared head      the channels of that head's output
    ==========================================================  ==========================================

    Extra levels are maps with a larger stride than any that the backbone gives. A neck that makes such maps
    for regions as well says in ``roi_levels`` how many of its maps these pool from (:class:`SimplePyramid`).

    Args:
        detector: ``backbone``, ``neck`` and heads as configs; not changed.

    Raises:
        UserError: something is to be filled, but the backbone gives no feature maps, or the neck does not
            take them.
    """
    filled = copy.deepcopy(dict(detector))
    gaps = list(_gaps({name: filled.get(name) for name in ('neck', 'rpn_head', 'bbox_head', 'roi_head')}))
    if not gaps:
        return filled
    try:
        values = _read_maps(filled)
    except UserError as error:
        names = ', '.join(f'{name}.{key}' for _, key, name in gaps)
        reason = str(error).rstrip('.')
        raise UserError(
            f'{names} cannot be filled: {reason}. These keys can also be written into the config.'
        ) from error
    for node, key, name in gaps:
        if node[key] is None:  # the necks are filled on the way
            after_shared_head = name.startswith('roi_head.bbox_head') and key == 'in_channels'
            node[key] = values['shared_head' if after_shared_head else key]
    return filled


def _gaps(node: object, name: str = '') -> Iterator[tuple[dict, str, str]]:
    """``(dict, key, name of the dict)`` of every channel or stride that is None."""
    if isinstance(node, Mapping):
        yield from ((node, key, name) for key in _KEYS if key in node and node[key] is None)
        children = node.items()
    else:
        children = enumerate(node) if isinstance(node, list | tuple) else ()
    for key, child in children:
        yield from _gaps(child, f'{name}.{key}'.lstrip('.'))


def _read_maps(detector: dict) -> dict:
    """What each key of the heads is filled with; ``neck.in_channels`` is filled on the way."""
    net, maps = trace_backbone(detector['backbone'], PYRAMID_IMAGE)
    strides = strides_of(maps)
    if strides is None:
        shapes = [tuple(one.shape[1:]) for one in maps]
        raise UserError(
            f'the backbone {type(net).__name__} gives no feature maps (C, H, W), but {shapes}. Use another '
            'backbone, or its option that gives maps.'
        )
    coarsest, roi_levels = max(strides), None
    neck = detector.get('neck') or ()
    for part in [neck] if isinstance(neck, Mapping) else neck:
        if part.get('in_channels', 0) is None:
            part['in_channels'] = channels_of(maps)
        net, maps = trace(part, maps)
        roi_levels = getattr(net, 'roi_levels', roi_levels)
    strides, channels = strides_of(maps), channels_of(maps)[-1]
    if strides is None:
        raise UserError(f'the neck {type(net).__name__} gives no feature maps (C, H, W).')
    of_regions = [s for s in strides if s <= coarsest] if roi_levels is None else strides[:roi_levels]
    return dict(
        in_channels=channels,
        out_channels=channels,
        strides=strides,
        featmap_strides=of_regions,
        shared_head=_shared_head_channels(detector, channels),
    )


def _shared_head_channels(detector: dict, channels: int) -> int:
    """Channels of a region of 14 x 14 pixels after the shared head, if there is one."""
    shared_head = (detector.get('roi_head') or {}).get('shared_head')
    if not shared_head:
        return channels
    _, outputs = trace(shared_head, torch.empty(1, channels, 14, 14, device='meta'))
    return channels_of(outputs)[-1]


class _Fitted:
    """Puts :func:`fit_to_backbone` before the construction of a detector of MMDetection."""

    def __init__(self, **detector):
        super().__init__(**fit_to_backbone(detector))


class FasterRCNN(_Fitted, HostFasterRCNN):
    """MMDetection's ``FasterRCNN``; see :func:`fit_to_backbone` for what may be ``None``.

    A :class:`MaxPoolRoIExtractor` is told the size of the images.
    """

    def __init__(self, **detector):
        super().__init__(**detector)
        extractor = self.roi_head.bbox_roi_extractor
        if isinstance(extractor, MaxPoolRoIExtractor):
            # a bound method, so that a copy of the detector tells the copy of the extractor
            self.backbone.register_forward_pre_hook(extractor.see_images)


class RetinaNet(_Fitted, HostRetinaNet):
    """MMDetection's ``RetinaNet``; see :func:`fit_to_backbone` for what may be ``None``."""


class RoIExtractor(SingleRoIExtractor):
    """MMDetection's ``SingleRoIExtractor``, with exact regions under mixed precision without our runner too.

    See :func:`keep_regions_exact`.
    """

    def forward(
        self, feats: tuple[Tensor, ...], rois: Tensor, roi_scale_factor: float | None = None
    ) -> Tensor:
        """Maps and rois (R, 5: image index, x1, y1, x2, y2) -> (R, C, size, size), of the maps' type."""
        return _pool_exactly(self, super().forward, feats, rois, roi_scale_factor)


def keep_regions_exact(model: nn.Module) -> None:
    """Let the RoI extractors of MMDetection in a model pool in float32, under mixed precision too.

    ``SingleRoIExtractor`` gives the boxes the type of the maps. In bfloat16 a corner beyond pixel 512 moves
    by up to two pixels: a box of 16 pixels then overlaps itself by 0.88 on average, while its targets stay
    exact.
    """
    for module in model.modules():
        if isinstance(module, BaseRoIExtractor) and not isinstance(module, RoIExtractor):
            # a bound method, so that a copy of the model pools with the copy of the extractor
            replace_method(module, 'forward', lambda _, module=module: MethodType(_exact_forward, module))


def _exact_forward(extractor: BaseRoIExtractor, feats: tuple[Tensor, ...], rois: Tensor, *args, **kwargs):
    forward = partial(type(extractor).forward, extractor)
    return _pool_exactly(extractor, forward, feats, rois, *args, **kwargs)


def _pool_exactly(
    extractor: BaseRoIExtractor, forward: Callable, feats: tuple[Tensor, ...], rois: Tensor, *args, **kwargs
) -> Tensor:
    if feats[0].dtype not in (torch.float16, torch.bfloat16):
        return forward(feats, rois, *args, **kwargs)
    # the layers of a GenericRoIExtractor may have weights, of 16 bits in a model that was converted
    width = next((parameter.dtype for parameter in extractor.parameters()), torch.float32)
    with torch.autocast(rois.device.type, enabled=False):
        wide = tuple(feat.to(width) for feat in feats)
        return forward(wide, rois.float(), *args, **kwargs).to(feats[0].dtype)
