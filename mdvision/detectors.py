"""MMDetection's detectors with necks and heads that fit themselves to the backbone.

Every channel and stride of a neck or head that is ``None`` in the config is filled from what the backbone
declares, so that another backbone is another line of a config and nothing else.
"""

import copy
import inspect
from collections.abc import Mapping, Sequence

import torch
from mmdet.models.detectors import FasterRCNN as HostFasterRCNN
from mmdet.models.detectors import RetinaNet as HostRetinaNet

from mdvision.errors import UserError
from mdvision.models import SimplePyramid
from mdvision.registry import MODELS

__all__ = ['FasterRCNN', 'RetinaNet', 'fit_to_backbone']


def fit_to_backbone(detector: Mapping) -> dict:
    """The arguments of a detector with every ``None`` among its channels and strides filled.

    ========================================================  ==========================================
    key                                                       filled with
    ========================================================  ==========================================
    ``neck.in_channels``                                      the backbone's ``out_channels``
    ``anchor_generator.strides`` of ``rpn_head``/``bbox_head``  strides of all maps of the neck
    ``roi_head.bbox_roi_extractor.featmap_strides``           the same, without the extra levels of an FPN
    ``in_channels`` of the heads, ``out_channels`` of the     ``neck.out_channels``, or the channels of the
    extractor                                                 map where there is no neck
    ``roi_head.bbox_head.in_channels`` after a shared head    the channels of its stage
    ========================================================  ==========================================

    Args:
        detector: ``backbone``, ``neck`` and heads as configs; not changed.

    Raises:
        UserError: something is to be filled, but the backbone does not declare ``out_channels`` and
            ``out_strides``, or gives no maps.
    """
    filled = copy.deepcopy(dict(detector))
    gaps = list(_gaps(filled))
    if not gaps:
        return filled
    channels, strides = _declared(filled['backbone'], [name for _, _, name in gaps])
    neck = filled.get('neck') or {}
    values = dict(_values(neck, channels, strides))
    shared_head = (filled.get('roi_head') or {}).get('shared_head')
    if shared_head and shared_head.get('backbone'):
        values['roi_head.bbox_head.in_channels'] = _declared(shared_head['backbone'], [])[0][-1]
    for node, key, name in gaps:
        node[key] = values.get(name, values.get(key))
    return filled


def _gaps(detector: dict):
    """``(dict, key, name)`` of every channel or stride that is None."""
    roi_head = detector.get('roi_head') or {}
    parts = {
        'neck': (detector.get('neck'), ('in_channels',)),
        'rpn_head': (detector.get('rpn_head'), ('in_channels',)),
        'bbox_head': (detector.get('bbox_head'), ('in_channels',)),
        'roi_head.bbox_head': (roi_head.get('bbox_head'), ('in_channels',)),
        'roi_head.bbox_roi_extractor': (
            roi_head.get('bbox_roi_extractor'),
            ('out_channels', 'featmap_strides'),
        ),
    }
    for name in ('rpn_head', 'bbox_head'):
        generator = (detector.get(name) or {}).get('anchor_generator')
        parts[f'{name}.anchor_generator'] = (generator, ('strides',))
    for name, (node, keys) in parts.items():
        for key in keys:
            if isinstance(node, dict) and key in node and node[key] is None:
                yield node, key, f'{name}.{key}'


def _declared(backbone: dict, wanted: Sequence[str]) -> tuple[list[int], list[int]]:
    with torch.device('meta'):
        net = MODELS.build(copy.deepcopy(backbone))
    channels, strides = (list(getattr(net, name, ())) for name in ('out_channels', 'out_strides'))
    if not channels or len(channels) != len(strides):
        maps = 'gives no feature maps' if channels else 'does not declare out_channels and out_strides'
        raise UserError(
            f'The backbone {type(net).__name__} {maps}, so {", ".join(wanted)} cannot be filled. Declare '
            'both, as docs/add_a_backbone.md shows, or write these keys into the config.'
        )
    return channels, strides


def _values(neck: dict, channels: list[int], strides: list[int]):
    """What each key is filled with, given the type and the arguments of the neck."""
    factors = _scale_factors(neck)
    if factors:  # a pyramid from one map
        own = [round(strides[-1] / factor) for factor in factors]
        yield 'neck.in_channels', channels[-1]
    else:
        own = strides[neck.get('start_level', 0) :] if neck else strides
        yield 'neck.in_channels', channels
    extra = max(neck.get('num_outs') or 0, len(own)) - len(own)
    yield 'featmap_strides', own
    yield 'strides', own + [own[-1] * 2 ** (i + 1) for i in range(extra)]
    width = neck.get('out_channels', channels[-1])
    yield 'in_channels', width
    yield 'out_channels', width


def _scale_factors(neck: dict) -> Sequence[float]:
    """Of a neck that makes several maps from one, given or by default; empty for other necks."""
    if not str(neck.get('type')).endswith('SimplePyramid'):
        return ()
    return neck.get('scale_factors') or inspect.signature(SimplePyramid).parameters['scale_factors'].default


class _Fitted:
    """Puts :func:`fit_to_backbone` before the construction of a detector of MMDetection."""

    def __init__(self, **detector):
        super().__init__(**fit_to_backbone(detector))


@MODELS.register_module()
class FasterRCNN(_Fitted, HostFasterRCNN):
    """MMDetection's ``FasterRCNN``; see :func:`fit_to_backbone` for what may be ``None``."""


@MODELS.register_module()
class RetinaNet(_Fitted, HostRetinaNet):
    """MMDetection's ``RetinaNet``; see :func:`fit_to_backbone` for what may be ``None``."""
