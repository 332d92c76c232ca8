"""MobileNetV2 with a slot for attention after the depthwise convolution of its blocks.

Papers: MobileNetV2, https://arxiv.org/abs/1801.04381; the slot is where LMA
(ndsclark/LMANet) puts its module. Submodule names are torchvision's, so its weights load.

Shapes: B batch, Cin block input channels, C block output channels, t expansion, H x W feature map, s stride.
"""

from collections.abc import Sequence
from itertools import accumulate

from torch import Tensor, nn

from mdvision.errors import UserError
from mdvision.registry import MODELS

from ..layers import Slot, build_slot, he_out_, slot_per_stage
from .base import Backbone, run_block

__all__ = ['AttentionMobileNetV2', 'make_divisible']


def make_divisible(channels: float, divisor: int = 8) -> int:
    """The multiple of ``divisor`` nearest to ``channels``, at least one and not below 0.9 of it."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def _conv(
    in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, groups: int = 1
) -> nn.Conv2d:
    conv = nn.Conv2d(
        in_channels, out_channels, kernel_size, stride, kernel_size // 2, groups=groups, bias=False
    )
    he_out_(conv)
    return conv


def _conv_bn_relu6(
    in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    conv = _conv(in_channels, out_channels, kernel_size, stride, groups)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU6(inplace=True))


class InvertedResidual(nn.Module):
    """``bn(project(attention(depthwise(expand(x)))))``, plus x if stride and channels allow it.

    ``expand`` (1x1 to t Cin channels) and ``depthwise`` (3x3 with the stride) end in batch norm and
    ReLU6. With t = 1 there is neither an expansion nor a slot.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, expansion: int, attention: Slot = None
    ):
        super().__init__()
        hidden_channels = in_channels * expansion
        layers = [_conv_bn_relu6(in_channels, hidden_channels, 1)] if expansion > 1 else []
        self.conv = nn.Sequential(
            *layers,
            _conv_bn_relu6(hidden_channels, hidden_channels, 3, stride, groups=hidden_channels),
            _conv(hidden_channels, out_channels, 1),
            nn.BatchNorm2d(out_channels),
        )
        # Beside ``conv``, not in it: torchvision's names stay as they are.
        self.attention = None
        if attention is not None and expansion > 1:
            self.attention = build_slot(attention, hidden_channels, 'attention')
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """(B, Cin, H, W) -> (B, C, H/s, W/s)."""
        *hidden_layers, project, norm = self.conv
        out = x
        for layer in hidden_layers:
            out = layer(out)  # (B, t Cin, H/s, W/s) in the end
        if self.attention is not None:
            out = self.attention(out)
        out = norm(project(out))
        return x + out if self.has_shortcut else out


@MODELS.register_module()
class AttentionMobileNetV2(Backbone):
    """MobileNetV2 whose blocks have a slot for attention between depthwise convolution and projection.

    The output is a tuple of feature maps, one for each of ``out_indices``; their channels and strides are in
    ``out_channels`` and ``out_strides``. Stages 0 to 6 are the seven rows of the paper's table (16, 24,
    32, 64, 96, 160, 320 channels at strides 2, 4, 8, 16, 16, 32, 32), stage 7 is the last 1x1
    convolution (1280 channels). What comes after the last of ``out_indices`` is not built.

    Args:
        width_mult: multiplies the channel counts, which are then rounded to multiples of 8 (of 4 for
            0.1); the 1280 channels of stage 7 only grow.
        attention: the module after the depthwise convolution (with its norm and ReLU6): a dict with
            the ``type`` of a registered module whose first argument is the channel count, or seven
            entries, one for each of stages 0 to 6, ``None`` for a plain one. The one block of stage 0
            has no expansion and no slot, so the first entry is ``None``.
        in_channels: channels of the image.
        out_indices: the stages to return, counted from 0; the last, 7, by default.
        frozen_stages: -1 trains everything; 0 freezes the stem; n the stem and the first n stages.
        norm_eval: keep every batch norm in evaluation mode during training.
        with_cp: recompute the blocks in the backward pass to save memory.
        init_cfg: mmengine initialization, usually ``dict(type='Pretrained', checkpoint=...)``.

    Raises:
        UserError: if a width, stage or slot does not exist.
    """

    # expansion, channels, blocks, stride of the first block
    stage_settings = (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )

    def __init__(
        self,
        width_mult: float = 1.0,
        attention: Slot | Sequence[Slot] = None,
        out_indices: Sequence[int] | None = None,
        in_channels: int = 3,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ):
        num_stages = len(self.stage_settings) + 1
        out_indices = (num_stages - 1,) if out_indices is None else out_indices
        super().__init__(num_stages, out_indices, frozen_stages, norm_eval, with_cp, init_cfg)
        attention = self._check(width_mult, attention)
        divisor = 4 if width_mult == 0.1 else 8

        channels, stride = make_divisible(32 * width_mult, divisor), 2
        features = [_conv_bn_relu6(in_channels, channels, 3, stride)]
        all_channels, all_strides, stage_sizes = [], [], []
        last_stage = self.out_indices[-1]
        for index, (expansion, width, num_blocks, stage_stride) in enumerate(
            self.stage_settings[: last_stage + 1]
        ):
            width = make_divisible(width * width_mult, divisor)
            for block_stride in [stage_stride] + [1] * (num_blocks - 1):
                features.append(InvertedResidual(channels, width, block_stride, expansion, attention[index]))
                channels = width
            stride *= stage_stride
            all_channels.append(channels)
            all_strides.append(stride)
            stage_sizes.append(num_blocks)
        if last_stage == num_stages - 1:
            width = make_divisible(1280 * max(1.0, width_mult), divisor)
            features.append(_conv_bn_relu6(channels, width, 1))
            all_channels.append(width)
            all_strides.append(stride)
            stage_sizes.append(1)
        self.features = nn.Sequential(*features)
        # Of each stage, the index of its last block in ``features``; the stem is 0.
        self._stage_ends = tuple(accumulate(stage_sizes))
        self._declare_outputs(all_channels, all_strides)

    def _check(self, width_mult, attention) -> list[Slot]:
        name = type(self).__name__
        if width_mult <= 0:
            raise UserError(f'{name}: width_mult must be above 0, got {width_mult}.')
        per_stage = slot_per_stage(attention, 'attention', len(self.stage_settings))
        if not isinstance(attention, dict) and per_stage[0] is not None:
            raise UserError(
                f'{name}: attention[0] must be None, because the block of stage 0 has no expansion and no '
                f'slot, got {per_stage[0]}.'
            )
        return per_stage

    def _stem_and_stages(self):
        blocks, ends = list(self.features), self._stage_ends
        starts = (0, *ends)
        return [blocks[:1], *(blocks[start + 1 : end + 1] for start, end in zip(starts, ends, strict=False))]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) -> tuple of (B, out_channels[i], H / out_strides[i], W / out_strides[i])."""
        wanted = [self._stage_ends[index] for index in self.out_indices]
        outs = []
        for index, block in enumerate(self.features):
            x = run_block(block, x, self.with_cp)
            if index in wanted:
                outs.append(x)
        return tuple(outs)
