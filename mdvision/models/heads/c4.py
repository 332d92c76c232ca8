"""Parts of a C4 Faster R-CNN: the backbone's last stage runs on each region of interest.

Source: EMANet's detector (Xsmile-love/pytorch-emanet-master, faster-rcnn).
Shapes: R regions, n classes.
"""

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import roi_pool

from mdvision.registry import MODELS

from ..backbones.base import norms_to_eval

__all__ = ['BoxLinearWithBackground', 'MaxPoolRoIExtractor', 'StageHead']


@MODELS.register_module()
class StageHead(BaseModule):
    """``shared_head`` of an mmdet RoI head: one stage of a backbone.

    Args:
        backbone: config of an :class:`AttentionResNet` with four stages; the other stages are
            dropped.
        stage: which stage to keep, from 0.
    """

    def __init__(self, backbone: dict, stage: int = 3, init_cfg: dict | None = None):
        super().__init__(init_cfg)
        net = MODELS.build(backbone)
        self.stage_name = f'layer{stage + 1}'
        self.add_module(self.stage_name, getattr(net, self.stage_name))
        self.norm_eval = net.norm_eval

    def train(self, mode: bool = True):
        super().train(mode)
        if mode and self.norm_eval:
            norms_to_eval(self)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """(R, Cin, 14, 14) -> (R, Cout, 7, 7)."""
        return getattr(self, self.stage_name)(x)


@MODELS.register_module()
class MaxPoolRoIExtractor(BaseModule):
    """``bbox_roi_extractor`` of an mmdet RoI head: torchvision's RoI max pooling of one map.

    mmcv's ``RoIPool`` is another operator: it does not round the corners of a region to whole map
    pixels first.

    Args:
        output_size: bins along each side of a region.
        stride: image pixels per map pixel.
        out_channels: channels of the map.
    """

    num_inputs = 1

    def __init__(self, output_size: int, stride: int, out_channels: int, init_cfg: dict | None = None):
        super().__init__(init_cfg)
        self.output_size = output_size
        self.stride = stride
        self.out_channels = out_channels

    def forward(self, feature_maps: tuple[Tensor, ...], rois: Tensor) -> Tensor:
        """Maps ((B, C, H, W),) and rois (R, 5: image index, x1, y1, x2, y2) -> (R, C, size, size)."""
        (feature_map,) = feature_maps
        # torchvision has no 16-bit kernel on CPUs, and boxes rounded to 16 bits are other boxes.
        wide = feature_map if feature_map.dtype == torch.float64 else feature_map.float()
        pooled = roi_pool(wide, rois.to(wide), self.output_size, 1 / self.stride)
        return pooled.to(feature_map.dtype)


@MODELS.register_module()
class BoxLinearWithBackground(nn.Linear):
    """Box regressor that also holds the authors' four background outputs, and never returns them.

    The authors regress a box for the background class too; no loss or prediction reads it. It is
    kept so that parameter counts and checkpoints agree. mmdet puts the background last, so the
    rows are: n classes, background.

    Args:
        in_features: width of the pooled feature.
        out_features: 4 n, as mmdet asks for.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True):
        super().__init__(in_features, out_features + 4, bias)

    def forward(self, x: Tensor) -> Tensor:
        """(R, in_features) -> (R, 4 n)."""
        bias = None if self.bias is None else self.bias[:-4]
        return F.linear(x, self.weight[:-4], bias)
