"""Global average pooling between a backbone and a linear classifier."""

from mmengine.model import BaseModule
from torch import Tensor, nn

from mdvision.registry import MODELS

__all__ = ['GlobalPool']


@MODELS.register_module()
class GlobalPool(BaseModule):
    """Mean over the positions of each feature map, then dropout, which MMPretrain's pooling neck lacks.

    Args:
        drop_rate: dropout after pooling (0.2 in MobileNetV2).
    """

    def __init__(self, drop_rate: float = 0.0, init_cfg: dict | None = None):
        super().__init__(init_cfg)
        self.dropout = nn.Dropout(drop_rate)

    def forward(self, feature_maps: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Tuple of (B, C, H, W) -> tuple of (B, C)."""
        return tuple(self.dropout(feature_map.mean((2, 3))) for feature_map in feature_maps)
