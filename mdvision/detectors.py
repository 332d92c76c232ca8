"""MMDetection's detectors with necks and heads that fit themselves to the backbone.

Every channel and stride of a neck or head that is ``None`` in the config is filled from what the backbone
declares, so that another backbone is another line of a config and nothing else. Written in a config as
``type='mdvision.FasterRCNN'``; the bare names are MMDetection's.
"""

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import MethodType

import torch
from mmdet.models.detectors import FasterRCNN as HostFasterRCNN
from mmdet.models.detectors import RetinaNet as HostRetinaNet
from mmdet.models.roi_heads.roi_extractors import BaseRoIExtractor, SingleRoIExtractor
from mmdet.registry import MODELS
from torch import Tensor, nn

from mdvision.errors import UserError
from mdvision.models import MaxPoolRoIExtractor
from mdvision.registry import build_for_shapes

__all__ = ['FasterRCNN', 'RetinaNet', 'RoIExtractor', 'fit_to_backbone', 'keep_regions_exact']

_KEYS = ('in_channels', 'out_channels', 'strides', 'featmap_strides')


def fit_to_backbone(detector: Mapping) -> dict:
    """The arguments of a detector with every ``None`` among its channels and strides filled.

    ==========================================================  ==========================================
    key                                                         filled with
    ==========================================================  ==========================================
    ``neck.in_channels``                                        the backbone's ``out_channels``
    ``anchor_generator.strides`` of ``rpn_head``, ``bbox_head``  strides of all maps of the neck
    ``roi_head.bbox_roi_extractor.featmap_strides``             the same, without the extra levels of an FPN
    ``in_channels`` of the heads, ``out_channels`` of the       the neck's ``out_channels``, or the channels
    extractor                                                   of the map where there is no neck
    ``roi_head.bbox_head.in_channels`` after a shared head      the channels of its stage
    ==========================================================  ==========================================

    Args:
        detector: ``backbone``, ``neck`` and heads as configs; not changed. Necks of the kinds of FPN
            (``start_level``, ``end_level``, ``num_outs``) and :class:`SimplePyramid` are understood.

    Raises:
        UserError: something is to be filled, but the backbone does not declare ``out_channels`` and
            ``out_strides`` or gives no maps, or there is a list of necks.
    """
    filled = copy.deepcopy(dict(detector))
    heads = {name: filled.get(name) for name in ('neck', 'rpn_head', 'bbox_head', 'roi_head')}
    gaps = list(_gaps(heads, ''))
    if not gaps:
        return filled
    names = ', '.join(f'{name}.{key}' for _, key, name in gaps)
    channels, strides = _declared(filled['backbone'], names)
    neck = filled.get('neck')
    if isinstance(neck, Sequence):
        raise UserError(f'{names}: with a list of necks these cannot be filled. Write them into the config.')
    width, own, all_strides = _maps(neck, channels, strides)
    values = dict(in_channels=width, out_channels=width, featmap_strides=own, strides=all_strides)
    shared_head = (filled.get('roi_head') or {}).get('shared_head') or {}
    for node, key, name in gaps:
        if name == 'neck' and key == 'in_channels':
            node[key] = channels[-1] if _is_simple_pyramid(neck) else channels
        elif name.startswith('roi_head.bbox_head') and key == 'in_channels' and shared_head.get('backbone'):
            node[key] = _declared(shared_head['backbone'], f'{name}.{key}')[0][-1]
        else:
            node[key] = values[key]
    return filled


def _gaps(node: object, name: str) -> Iterator[tuple[dict, str, str]]:
    """``(dict, key, name of the dict)`` of every channel or stride that is None."""
    if isinstance(node, Mapping):
        yield from ((node, key, name) for key in _KEYS if key in node and node[key] is None)
        children = node.items()
    else:
        children = enumerate(node) if isinstance(node, list | tuple) else ()
    for key, child in children:
        yield from _gaps(child, f'{name}.{key}'.lstrip('.'))


def _declared(backbone: dict, wanted: str) -> tuple[list[int], list[int]]:
    net = build_for_shapes(backbone)
    channels, strides = (getattr(net, name, None) for name in ('out_channels', 'out_strides'))
    lists = all(isinstance(value, Sequence) for value in (channels, strides))
    if not lists or not strides or len(channels) != len(strides):
        found = 'gives no feature maps' if lists and channels and not strides else (
            f'does not declare a list of out_channels and one of out_strides, one number a map each (got '
            f'{channels!r} and {strides!r})'
        )  # fmt: skip
        raise UserError(
            f'The backbone {type(net).__name__} {found}, so {wanted} cannot be filled. Declare both, as '
            'docs/add_a_backbone.md shows, or write these keys into the config.'
        )
    return list(channels), list(strides)


def _is_simple_pyramid(neck: Mapping | None) -> bool:
    kind = (neck or {}).get('type', '')
    return (kind if isinstance(kind, str) else kind.__name__).endswith('SimplePyramid')


def _maps(neck: Mapping | None, channels: list[int], strides: list[int]) -> tuple[int, list[int], list[int]]:
    """Channels of the maps that the heads get, the strides of those with an input, and all strides."""
    if not neck:
        return channels[-1], strides, strides
    kind = neck['type'] if not isinstance(neck['type'], str) else MODELS.get(neck['type'])
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.default is not parameter.empty
    }
    arguments = {**defaults, **neck}
    if _is_simple_pyramid(neck):
        own = [round(strides[-1] / factor) for factor in arguments['scale_factors']]
    else:
        start, end = arguments.get('start_level', 0), arguments.get('end_level', -1)
        # As MMDetection's FPN: an end_level is included, -1 and the last one mean all.
        own = strides[start : None if end in (-1, len(strides) - 1) else end + 1]
    extra = max(arguments.get('num_outs') or 0, len(own)) - len(own)
    return arguments['out_channels'], own, own + [own[-1] * 2 ** (i + 1) for i in range(extra)]


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
            module.forward = MethodType(_exact_forward, module)


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
