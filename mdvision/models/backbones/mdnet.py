"""MDNet, and the MobileNetV2 for small images on which it is based.

Papers: MDNet (Gaojinghan1/MDNET); MobileNetV2, https://arxiv.org/abs/1801.04381. Submodule names are
those of the former's code, so that its checkpoints need almost no conversion.

Shapes: B batch, Cin block input channels, C block output channels, t expansion, H x W feature map, s stride.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from mdvision.errors import UserError
from mdvision.registry import MODELS

from ..layers import Slot, build_slot
from .base import Backbone, Stage, run_block

__all__ = ['CIFARMobileNetV2', 'MDMobileNetV2', 'MDNet']


class BiasedInvertedResidual(nn.Module):
    """``x + residual(x)`` if stride and channels allow the sum, otherwise ``residual(x)``.

    ``residual`` is 1x1 to t Cin channels, depthwise 3x3 with the stride, 1x1 to C, each with batch
    norm, the first two with ReLU6. Unlike in the paper the convolutions have biases, and the first
    one exists for t = 1 as well.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int):
        super().__init__()
        hidden = in_channels * expansion
        self.residual = nn.Sequential(
            nn.Conv2d(in_channels, hidden, 1),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(inplace=True),
            nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(inplace=True),
            nn.Conv2d(hidden, out_channels, 1),
            nn.BatchNorm2d(out_channels),
        )
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """(B, Cin, H, W) -> (B, C, H/s, W/s)."""
        out = self.residual(x)
        return x + out if self.has_shortcut else out


# The second name is the former one, still used in published configs and commands.
@MODELS.register_module(name=['MDMobileNetV2', 'CIFARMobileNetV2'])
class MDMobileNetV2(Backbone):
    """MobileNetV2 with strides 1, 2, 4, 8, 8, 8, 8, 8, for images of 32 pixels, and a slot after the stem.

    The output is a tuple of feature maps, one for each of ``out_indices``; their channels and strides are in
    ``out_channels`` and ``out_strides``. Stages 0 to 6 are ``stage1`` to ``stage7`` (16, 24, 32, 64, 96,
    160, 320 channels), stage 7 is ``conv1``, the last 1x1 convolution (1280 channels). What comes after
    the last of ``out_indices`` is not built.

    The authors pad their 1x1 stem, which adds a border of one pixel: the feature maps are those of an
    image of H+2 by W+2, for example 34, 17, 9, 5 pixels wide for 32 rather than 32, 16, 8, 4.
    With ``stem_padding=0`` or the other stem they are H / stride, rounded up.

    Args:
        in_channels: channels of the image.
        stem: ``'cifar'`` (1x1 stride 1) or ``'imagenet'`` (3x3 stride 2, max-pool: strides 4, 8, 16, 32,
            32, 32, 32, 32), for large images and detection.
        stem_padding: padding of the ``'cifar'`` stem; 1 is the authors', 0 omits the border.
        transform: a module between the stem and the first stage, at the stem's resolution: a dict with
            the ``type`` of a registered module whose first argument is the channel count, 32; None for
            nothing. :class:`MDNet` has its block there.
        out_indices: the stages to return, counted from 0; the last, 7, by default.
        frozen_stages: -1 trains everything; 0 freezes the stem and ``transform``; n these and the first n
            stages.
        norm_eval: keep every batch norm in evaluation mode during training.
        with_cp: recompute the blocks in the backward pass to save memory.
        init_cfg: mmengine initialization, usually ``dict(type='Pretrained', checkpoint=...)``.

    Raises:
        UserError: if a stem, padding, slot or stage does not exist.
    """

    stem_channels = 32
    # expansion, channels, blocks, stride of the first block
    stage_settings = (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 1),
        (6, 320, 1, 1),
    )

    def __init__(
        self,
        in_channels: int = 3,
        stem: str = 'cifar',
        stem_padding: int = 1,
        transform: Slot = None,
        out_indices: Sequence[int] = (7,),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ):
        num_stages = len(self.stage_settings) + 1
        super().__init__(num_stages, out_indices, frozen_stages, norm_eval, with_cp, init_cfg)
        self.pre = self._build_stem(in_channels, stem, stem_padding)
        self.transform = nn.Identity()
        if transform is not None:
            self.transform = build_slot(transform, self.stem_channels, 'transform')

        channels, stride = self.stem_channels, 4 if stem == 'imagenet' else 1
        all_channels, all_strides = [], []
        last_stage = self.out_indices[-1]
        for index, (expansion, width, num_blocks, stage_stride) in enumerate(
            self.stage_settings[: last_stage + 1]
        ):
            blocks = []
            for block_stride in [stage_stride] + [1] * (num_blocks - 1):
                blocks.append(BiasedInvertedResidual(channels, width, block_stride, expansion))
                channels = width
            # The authors' stages of one block have no index in their names.
            stage = blocks[0] if num_blocks == 1 else Stage(*blocks, with_cp=with_cp)
            self.add_module(f'stage{index + 1}', stage)
            stride *= stage_stride
            all_channels.append(channels)
            all_strides.append(stride)
        if last_stage == num_stages - 1:
            self.conv1 = nn.Sequential(
                nn.Conv2d(channels, 1280, 1), nn.BatchNorm2d(1280), nn.ReLU6(inplace=True)
            )
            all_channels.append(1280)
            all_strides.append(stride)
        self._declare_outputs(all_channels, all_strides)

    def _build_stem(self, in_channels, stem, stem_padding) -> nn.Sequential:
        name, channels = type(self).__name__, self.stem_channels
        if stem not in ('cifar', 'imagenet'):
            raise UserError(f"{name}: stem must be one of ['cifar', 'imagenet'], got {stem!r}.")
        if stem_padding not in (0, 1):
            raise UserError(f"{name}: stem_padding must be 1 (the authors') or 0, got {stem_padding!r}.")
        norm, relu6 = nn.BatchNorm2d(channels), nn.ReLU6(inplace=True)
        if stem == 'imagenet':
            return nn.Sequential(
                nn.Conv2d(in_channels, channels, 3, 2, 1), norm, relu6, nn.MaxPool2d(3, 2, 1)
            )
        return nn.Sequential(nn.Conv2d(in_channels, channels, 1, padding=stem_padding), norm, relu6)

    def _stages(self) -> list[nn.Module]:
        names = [f'stage{i}' for i in range(1, len(self.stage_settings) + 1)] + ['conv1']
        return [getattr(self, name) for name in names[: self.out_indices[-1] + 1]]

    def _stem_and_stages(self):
        return [[self.pre, self.transform], *([stage] for stage in self._stages())]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) -> tuple of (B, out_channels[i], H / out_strides[i], W / out_strides[i]).

        With ``stem_padding=1`` the feature maps are those of an image of H+2 by W+2.
        """
        x = run_block(self.transform, self.pre(x), self.with_cp)
        outs = []
        for index, stage in enumerate(self._stages()):
            # A Stage recomputes its blocks one by one.
            x = stage(x) if isinstance(stage, Stage) else run_block(stage, x, self.with_cp)
            if index in self.out_indices:
                outs.append(x)
        return tuple(outs)


# The class under its former name, for ``type='mdvision.CIFARMobileNetV2'``.
CIFARMobileNetV2 = MDMobileNetV2


@MODELS.register_module()
class MDNet(MDMobileNetV2):
    """:class:`MDMobileNetV2` with :class:`MDNetBlock` after the stem, at its resolution.

    Args:
        in_channels: channels of the image.
        stem: as in :class:`MDMobileNetV2`.
        stem_padding: as in :class:`MDMobileNetV2`.
        num_heads: heads of the block's attention over 32 channels. 32, the authors', makes the
            attention a constant factor (see :class:`DifferentialChannelAttention`); 1, 2, 4, 8 or 16 is
            what the text describes, with more parameters.
        **kwargs: the other arguments of :class:`MDMobileNetV2`.

    Raises:
        UserError: if a stem, padding, head count or stage does not exist.
    """

    def __init__(
        self, in_channels: int = 3, stem: str = 'cifar', stem_padding: int = 1, num_heads: int = 32, **kwargs
    ):
        if 'transform' in kwargs:
            raise UserError(
                'MDNet: its transformer block occupies transform; use MDMobileNetV2(transform=...) for '
                'another module.'
            )
        transform = dict(type='MDNetBlock', num_heads=num_heads)
        super().__init__(in_channels, stem, stem_padding, transform, **kwargs)
