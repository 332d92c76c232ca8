"""A classifier without an upstream library: backbone, neck, linear layer."""

from mmengine.model import BaseModule, initialize
from torch import Tensor, nn

from mdvision.registry import MODELS

__all__ = ['Classifier']


class _LinearHead(nn.Module):
    """``fc`` on the last feature; named as MMPretrain's ``LinearClsHead``."""

    def __init__(self, in_channels: int, num_classes: int, init_cfg: dict | None):
        super().__init__()
        self.fc = nn.Linear(in_channels, num_classes)
        if init_cfg and not self.fc.weight.is_meta:
            initialize(self, init_cfg)

    def forward(self, features: tuple[Tensor, ...]) -> Tensor:
        return self.fc(features[-1])


class Classifier(BaseModule):
    """A classifier: ``model(images)`` returns logits.

    Its parameter names are those of MMPretrain's ``ImageClassifier`` of the same parts, so a
    checkpoint of one loads into the other.

    Args:
        backbone: a backbone.
        neck: config of the neck, or None for a backbone that returns a vector.
        head: ``dict(num_classes=..., in_channels=..., init_cfg=...)`` of the linear layer, or None
            if the neck returns the logits itself.
    """

    def __init__(self, backbone: nn.Module, neck: dict | None, head: dict | None):
        super().__init__()
        self.backbone = backbone
        self.neck = None if neck is None else MODELS.build(neck)
        self.head = None if head is None else _LinearHead(**head)

    def forward(self, images: Tensor) -> Tensor:
        """(B, channels, H, W) -> logits (B, num_classes)."""
        features = self.backbone(images)
        if self.neck is not None:
            features = self.neck(features)
        return features[-1] if self.head is None else self.head(features)
