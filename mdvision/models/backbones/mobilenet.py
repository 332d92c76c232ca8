"""MobileNet for small images, the first of the two baselines of MDNet.

Papers: MobileNets, https://arxiv.org/abs/1704.04861; MDNet (Gaojinghan1/MDNET). Submodule names are
those of the latter's code, so that its checkpoints need almost no conversion.

Shapes: B batch, Cin block input channels, C block output channels, H x W feature map, s stride.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from mdvision.errors import UserError
from mdvision.registry import MODELS

from .base import Backbone, Stage

__all__ = ['CIFARMobileNet', 'MDMobileNet']


class _Stem(nn.Module):
    """``relu(bn(conv(x)))``, 3x3."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.bn(self.conv(x)))


class DepthwiseSeparable(nn.Module):
    """``pointwise(depthwise(x))``: depthwise 3x3 with the stride, then 1x1, each with batch norm and ReLU."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__()
        self.depthwise = nn.Sequential(
            nn.Conv2d(in_channels, in_channels, 3, stride, 1, groups=in_channels, bias=False),
            nn.BatchNorm2d(in_channels),
            nn.ReLU(inplace=True),
        )
        # The authors' 1x1 convolution has a bias, although the norm cancels it.
        self.pointwise = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 1),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, Cin, H, W) -> (B, C, H/s, W/s)."""
        return self.pointwise(self.depthwise(x))


# The second name is the former one, still used in published configs and commands.
@MODELS.register_module(name=['MDMobileNet', 'CIFARMobileNet'])
class MDMobileNet(Backbone):
    """MobileNet with strides 1, 2, 4, 8, 16, for images of 32 pixels.

    The output is a tuple of feature maps, one for each of ``out_indices``; their channels and strides are in
    ``out_channels`` and ``out_strides``. Stage 0 is ``stem`` (64 channels), stages 1 to 4 are
    ``conv1`` to ``conv4`` (128, 256, 512, 1024). What comes after the last of ``out_indices`` is not
    built.

    Args:
        width_mult: multiplies the channel counts, which are then truncated to integers.
        in_channels: channels of the image.
        stem: ``'cifar'`` (3x3 stride 1) or ``'imagenet'`` (3x3 stride 2: strides 2, 4, 8, 16, 32).
        out_indices: the stages to return, counted from 0; the last, 4, by default.
        frozen_stages: -1 trains everything; 0 freezes the first convolution; n that and the first n
            stages.
        norm_eval: keep every batch norm in evaluation mode during training.
        with_cp: recompute the blocks in the backward pass to save memory.
        init_cfg: mmengine initialization, usually ``dict(type='Pretrained', checkpoint=...)``.

    Raises:
        UserError: if a width, stem or stage does not exist.
    """

    # channels, blocks, stride of the first block
    stage_settings = ((64, 1, 1), (128, 2, 2), (256, 2, 2), (512, 6, 2), (1024, 2, 2))
    stem_strides = {'cifar': 1, 'imagenet': 2}

    def __init__(
        self,
        width_mult: float = 1.0,
        in_channels: int = 3,
        stem: str = 'cifar',
        out_indices: Sequence[int] = (4,),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ):
        super().__init__(len(self.stage_settings), out_indices, frozen_stages, norm_eval, with_cp, init_cfg)
        name = type(self).__name__
        if stem not in self.stem_strides:
            raise UserError(f'{name}: stem must be one of {sorted(self.stem_strides)}, got {stem!r}.')
        channels, stride = int(32 * width_mult), self.stem_strides[stem]
        if channels < 1:
            raise UserError(
                f'{name}: width_mult must be at least 1/32, or the stem has no channel; got {width_mult}.'
            )

        first = _Stem(in_channels, channels, stride)
        all_channels, all_strides = [], []
        for index, (width, num_blocks, stage_stride) in enumerate(
            self.stage_settings[: self.out_indices[-1] + 1]
        ):
            width = int(width * width_mult)
            blocks = []
            for block_stride in [stage_stride] + [1] * (num_blocks - 1):
                blocks.append(DepthwiseSeparable(channels, width, block_stride))
                channels = width
            # The authors' stem includes the first block.
            stage = Stage(first, *blocks, with_cp=with_cp) if index == 0 else Stage(*blocks, with_cp=with_cp)
            self.add_module(self._stage_name(index), stage)
            stride *= stage_stride
            all_channels.append(channels)
            all_strides.append(stride)
        self._declare_outputs(all_channels, all_strides)

    @staticmethod
    def _stage_name(index: int) -> str:
        return 'stem' if index == 0 else f'conv{index}'

    def _stages(self) -> list[Stage]:
        return [getattr(self, self._stage_name(index)) for index in range(self.out_indices[-1] + 1)]

    def _stem_and_stages(self):
        first, block = self.stem
        return [[first], [block], *([stage] for stage in self._stages()[1:])]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) -> tuple of (B, out_channels[i], H / out_strides[i], W / out_strides[i])."""
        outs = []
        for index, stage in enumerate(self._stages()):
            x = stage(x)
            if index in self.out_indices:
                outs.append(x)
        return tuple(outs)


# The class under its former name, for ``type='mdvision.CIFARMobileNet'``.
CIFARMobileNet = MDMobileNet
