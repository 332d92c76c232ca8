"""Parts of a C4 Faster R-CNN: the backbone's last stage runs on each region of interest.

Source: EMANet's detector (Xsmile-love/pytorch-emanet-master, faster-rcnn).
Shapes: R regions, n classes.
"""

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import roi_pool

from mdvision.errors import UserError
from mdvision.registry import MODELS

from ..backbones.base import norms_to_eval

__all__ = ['BoxLinearWithBackground', 'MaxPoolRoIExtractor', 'StageHead']


@MODELS.register_module()
class StageHead(BaseModule):
    """``shared_head`` of an mmdet RoI head: one stage of a backbone.

    Args:
        backbone: config of an :class:`AttentionResNet` with four stages; the other stages are
            dropped.
        stage: the stage to keep, counted from 0.
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
    """``bbox_roi_extractor`` of an mmdet RoI head: torchvision's RoI max pooling of one feature map.

    mmcv's ``RoIPool`` is a different operator: it does not first round the corners of a region to whole
    feature-map pixels.

    The authors scale a region along each axis by feature-map size / image size. For an image of 600 pixels
    and a feature map of 38, a region of 600 pixels then spans all 38 pixels, where a stride of 16 gives
    37.5. An extractor without ``stride`` must be told the size of the images: ``mdvision.FasterRCNN`` does
    that.

    Args:
        output_size: bins along each side of a region.
        out_channels: channels of the feature map.
        stride: image pixels per feature-map pixel, the geometry of the convolutions; None: as the authors.
    """

    num_inputs = 1

    def __init__(
        self, output_size: int, out_channels: int, stride: int | None = None, init_cfg: dict | None = None
    ):
        super().__init__(init_cfg)
        self.output_size = output_size
        self.stride = stride
        self.out_channels = out_channels
        self.image_size = None

    def see_images(self, backbone: nn.Module, inputs: tuple) -> None:
        """A forward pre-hook of the backbone, which gets the images (B, 3, H, W) as first argument."""
        self.image_size = inputs[0].shape[-2:]

    def forward(self, feature_maps: tuple[Tensor, ...], rois: Tensor) -> Tensor:
        """Feature maps ((B, C, H, W),) and rois (R, 5: image index, x1, y1, x2, y2) -> (R, C, size, size).

        Raises:
            UserError: there is no stride, and the image size is unknown.
        """
        (feature_map,) = feature_maps
        # torchvision has no 16-bit kernel on CPUs, and boxes rounded to 16 bits are different boxes.
        wide = feature_map if feature_map.dtype == torch.float64 else feature_map.float()
        rows, columns = self._scales(feature_map)
        scaled = rois.to(wide) * wide.new_tensor([1, columns, rows, columns, rows])
        return roi_pool(wide, scaled, self.output_size).to(feature_map.dtype)

    def _scales(self, feature_map: Tensor) -> tuple[float, float]:
        """Return feature-map pixels per image pixel, along the height and along the width."""
        if self.stride is not None:
            return 1 / self.stride, 1 / self.stride
        if self.image_size is None:
            raise UserError(
                'MaxPoolRoIExtractor without stride scales regions by feature-map size / image size, but the '
                "image size is unknown. Use a detector of type 'mdvision.FasterRCNN', which passes it on, or "
                'set roi_head.bbox_roi_extractor.stride (16 for C4).'
            )
        height, width = self.image_size
        return feature_map.shape[-2] / height, feature_map.shape[-1] / width


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
