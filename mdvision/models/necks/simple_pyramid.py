"""A feature pyramid from the single feature map of a plain transformer.

Source: Li et al., "Exploring Plain Vision Transformer Backbones for Object Detection", ECCV 2022,
https://arxiv.org/abs/2203.16527, section 3. mmdet's necks need one feature map per level.

Shapes: B batch, C channels in, K out, h x w feature map.
"""

import math
from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.convnext import LayerNorm2d

from mdvision.errors import UserError
from mdvision.registry import MODELS

__all__ = ['SimplePyramid']


def _rescale(channels: int, steps: int) -> tuple[nn.Sequential, int]:
    """Return the layers that scale a feature map by 2^steps, and the number of channels they output."""
    if steps < 0:
        # Rounding up keeps a feature map of one pixel, and gives ceil(image / stride) pixels.
        return nn.Sequential(*(nn.MaxPool2d(2, 2, ceil_mode=True) for _ in range(-steps))), channels
    layers = []
    for step in range(steps):
        if step:
            layers += [LayerNorm2d(channels), nn.GELU()]
        layers.append(nn.ConvTranspose2d(channels, channels // 2, 2, 2))
        channels //= 2
    return nn.Sequential(*layers), channels


def _one_map_expected(count: int) -> UserError:
    return UserError(
        f'SimplePyramid: expected one feature map, got {count}. Set a single entry in out_indices of the '
        "backbone; for several feature maps use mmdet's FPN."
    )


@MODELS.register_module()
class SimplePyramid(BaseModule):
    """Several sizes of one feature map, each made separately: rescaled, then ``LN(conv3x3(LN(conv1x1(x))))``.

    Twice the size is a 2x2 transposed convolution with stride 2, which halves the channels; two of them
    have a LayerNorm and a GELU between. Half the size is a 2x2 max-pool. The norms are over the
    channels of a pixel. For an input of stride s the strides are s over each factor: 4 to 32 for s = 16
    and the default factors::

        backbone=dict(type='mdvision.DiffViT', out_type='featmap', patch_size=16, ...),
        neck=dict(type='mdvision.SimplePyramid', in_channels=384, num_outs=5)

    Args:
        in_channels: C, or [C] as mmdet's necks have it.
        out_channels: K.
        scale_factors: powers of two, from the largest feature map to the smallest.
        num_outs: number of feature maps; those after the last factor take every second pixel of the previous
            one, as in mmdet's ``FPN``. As many as factors by default.
        init_cfg: mmengine initialization; PyTorch's default without it.

    Attributes:
        roi_levels: number of feature maps from which regions are pooled: one per factor.

    Raises:
        UserError: if the factors are not decreasing powers of two, the channels cannot be halved often
            enough, there are fewer outputs than factors, or the backbone returns several feature maps.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        out_channels: int = 256,
        scale_factors: Sequence[float] = (4, 2, 1, 0.5),
        num_outs: int | None = None,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        factors = tuple(scale_factors)
        in_channels = [in_channels] if isinstance(in_channels, int) else list(in_channels)
        steps = self._check(in_channels, factors, num_outs)
        self.roi_levels = len(factors)
        self.num_outs = len(factors) if num_outs is None else num_outs
        self.levels = nn.ModuleList()
        for step in steps:
            rescale, channels = _rescale(in_channels[0], step)
            self.levels.append(
                nn.Sequential(
                    rescale,
                    nn.Conv2d(channels, out_channels, 1, bias=False),
                    LayerNorm2d(out_channels),
                    nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
                    LayerNorm2d(out_channels),
                )
            )

    @staticmethod
    def _check(in_channels, factors, num_outs) -> list[int]:
        """Return the exponents of the factors as powers of two."""
        if len(in_channels) != 1:
            raise _one_map_expected(len(in_channels))
        if (
            not factors
            or any(factor <= 0 or not math.log2(factor).is_integer() for factor in factors)
            or list(factors) != sorted(set(factors), reverse=True)
        ):
            raise UserError(
                'SimplePyramid: scale_factors must be decreasing powers of two, such as (4, 2, 1, 0.5), got '
                f'{factors}.'
            )
        steps = [round(math.log2(factor)) for factor in factors]
        if in_channels[0] < 1 or in_channels[0] % 2 ** max(steps[0], 0):
            raise UserError(
                f'SimplePyramid: in_channels must be a multiple of {factors[0]}, since the feature map of '
                f'{factors[0]} times the size has {factors[0]} times fewer channels, got {in_channels[0]}. '
                'Use another width of the backbone, or smaller scale_factors.'
            )
        if num_outs is not None and num_outs < len(factors):
            raise UserError(
                f'SimplePyramid: num_outs must be at least {len(factors)}, one for each of scale_factors='
                f'{factors}, got {num_outs}. For fewer feature maps, remove factors.'
            )
        return steps

    def forward(self, feature_maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """((B, C, h, w),) -> (B, K, f h, f w) for each factor f, rounded up, then the additional ones."""
        if len(feature_maps) != 1:
            raise _one_map_expected(len(feature_maps))
        outs = [level(feature_maps[0]) for level in self.levels]
        while len(outs) < self.num_outs:
            outs.append(F.max_pool2d(outs[-1], 1, stride=2))
        return tuple(outs)
