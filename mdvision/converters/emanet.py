"""Convert the authors' EMANet and baseline checkpoints (Xsmile-love/pytorch-emanet-master).

Classifiers become MMPretrain's ``ImageClassifier`` (``backbone.*``, ``head.fc.*``), the detector becomes
MMDetection's ``FasterRCNN`` of ``configs/emanet/faster_rcnn_c4_voc.py``.
"""

import torch
from torch import Tensor

from mdvision.models.attention.frequency_channel import dct_filters

from .key_map import KeyMap

__all__ = ['KEY_MAPS']

_BACKBONE = tuple((name, f'backbone.{name}') for name in ('conv1.', 'bn1.', 'layer'))
_TOP = (*_BACKBONE, ('fc.', 'head.fc.'))
# The two-layer gates of some files name their layers fc1 and fc2.
_GATE = ((r'\.conv2\.se\.fc1\.', '.conv2.se.fc.0.'), (r'\.conv2\.se\.fc2\.', '.conv2.se.fc.2.'))


def _dct_table(_key: str, tensor: Tensor) -> Tensor:
    channels, grid = tensor.shape[0], tensor.shape[-1]
    return dct_filters(channels, grid)


def _objectness_first(tensor: Tensor) -> Tensor:
    """Reorder each anchor's (background, object) to mmdet's (object, background)."""
    return tensor.unflatten(0, (-1, 2)).flip(1).flatten(0, 1)


def _background_last(tensor: Tensor) -> Tensor:
    """Reorder rows (background, class 1, ...) to (class 1, ..., background)."""
    return torch.roll(tensor, -1, 0)


def _box_background_last(tensor: Tensor) -> Tensor:
    return torch.roll(tensor, -4, 0)


_C4_DETECTOR = KeyMap(
    top=(
        ('extractor.0.', 'backbone.conv1.'),
        ('extractor.1.', 'backbone.bn1.'),
        ('extractor.4.', 'backbone.layer1.'),
        ('extractor.5.', 'backbone.layer2.'),
        ('extractor.6.', 'backbone.layer3.'),
        ('rpn.conv1.', 'rpn_head.rpn_conv.'),
        ('rpn.score.', 'rpn_head.rpn_cls.'),
        ('rpn.loc.', 'rpn_head.rpn_reg.'),
        ('head.classifier.0.', 'roi_head.shared_head.layer4.'),
        ('head.score.', 'roi_head.bbox_head.fc_cls.'),
        ('head.cls_loc.', 'roi_head.bbox_head.fc_reg.'),
    ),
    tensors={
        r'rpn_head\.rpn_cls\..*': _objectness_first,
        r'roi_head\.bbox_head\.fc_cls\..*': _background_last,
        r'roi_head\.bbox_head\.fc_reg\..*': _box_background_last,
    },
)

KEY_MAPS = {
    'emanet': KeyMap(_TOP, inner=_GATE),
    'emanet_c4_detector': _C4_DETECTOR,
    # The plain ResNet's file has its own names for the shortcut and the classifier.
    'resnet': KeyMap((*_BACKBONE, ('linear.', 'head.fc.')), inner=((r'\.shortcut\.', '.downsample.'),)),
    'se_resnet': KeyMap(_TOP, inner=((r'\.se\.fc\.', '.attention.fc.'),)),
    'cbam_resnet': KeyMap(
        _TOP, inner=((r'\.ca\.fc\.', '.attention.ca.fc.'), (r'\.sa\.conv1\.', '.attention.sa.conv1.'))
    ),
    'eca_resnet': KeyMap(_TOP, inner=((r'\.eca\.conv\.', '.attention.conv.'),)),
    'sa_resnet': KeyMap(_TOP, inner=((r'(layer\d+\.\d+)\.sa\.', r'\1.attention.'),)),
    'fca_resnet': KeyMap(
        _TOP,
        inner=((r'\.att\.fc\.', '.attention.fc.'),),
        constants={r'layer\d+\.\d+\.att\.dct_layer\.weight': _dct_table},
    ),
    'epsanet': KeyMap(_TOP, inner=_GATE),
}
