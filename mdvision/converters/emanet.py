"""The authors' EMANet and baseline checkpoints -> ours (Xsmile-love/pytorch-emanet-master).

Classifiers become MMPretrain's ``ImageClassifier`` (``backbone.*``, ``head.fc.*``), the detector
MMDetection's ``FasterRCNN`` of ``configs/emanet/faster_rcnn_c4_voc.py``.
"""

import torch
from torch import Tensor

from .key_map import KeyMap

__all__ = ['KEY_MAPS']

_BACKBONE = tuple((name, f'backbone.{name}') for name in ('conv1.', 'bn1.', 'layer'))

_CLASSIFIER = KeyMap(
    top=(*_BACKBONE, ('fc.', 'head.fc.')),
    inner=((r'\.conv2\.se\.fc1\.', '.conv2.se.fc.0.'), (r'\.conv2\.se\.fc2\.', '.conv2.se.fc.2.')),
)

# The plain ResNet's file has its own names for the shortcut and the classifier.
_PLAIN_RESNET = KeyMap(
    top=(*_BACKBONE, ('linear.', 'head.fc.')),
    inner=((r'\.shortcut\.', '.downsample.'),),
)

_SE_RESNET = KeyMap(
    top=(*_BACKBONE, ('fc.', 'head.fc.')),
    inner=((r'\.se\.fc\.', '.attention.fc.'),),
)


def _objectness_first(tensor: Tensor) -> Tensor:
    """Pairs (background, object) of each anchor -> (object, background), as mmdet has them."""
    return tensor.unflatten(0, (-1, 2)).flip(1).flatten(0, 1)


def _background_last(tensor: Tensor) -> Tensor:
    """Rows (background, class 1, ...) -> (class 1, ..., background)."""
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
    'emanet50_cifar': _CLASSIFIER,
    'emanet101_cifar': _CLASSIFIER,
    'emanet50_mini': _CLASSIFIER,
    'emanet101_mini': _CLASSIFIER,
    'emanet50_c4_detector': _C4_DETECTOR,
    'resnet50_cifar': _PLAIN_RESNET,
    'se_resnet50_cifar': _SE_RESNET,
}
