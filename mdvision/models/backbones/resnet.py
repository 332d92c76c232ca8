"""A ResNet with two slots: any attention, and any replacement of the 3x3 convolution.

Papers: Deep Residual Learning, https://arxiv.org/abs/1512.03385; the slots take the modules of
``mdvision.models.attention``. Submodule names are torchvision's, so its weights load.

Shapes: B batch, Cin block input channels, P block width, H x W feature map, s stride.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from mdvision.errors import UserError
from mdvision.registry import MODELS

from ..layers import Slot, build_slot, he_out_, slot_per_stage
from .base import Backbone, Stage

__all__ = ['AttentionResNet', 'build_stage']


_CONV_INITS = ('he_out', 'default')


def _conv(
    in_channels: int, out_channels: int, kernel_size: int, conv_init: str, stride: int = 1
) -> nn.Conv2d:
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=False)
    if conv_init == 'he_out':
        he_out_(conv)
    return conv


def _conv2(cfg: Slot, width: int, conv_init: str, stride: int) -> nn.Module:
    if cfg is None:
        return _conv(width, width, 3, conv_init, stride)
    return build_slot(cfg, width, 'conv2', stride=stride)


class _Block(nn.Module, ABC):
    """What both residual blocks share: the shortcut and the attention slot."""

    expansion: int

    def __init__(
        self,
        in_channels: int,
        width: int,
        stride: int = 1,
        attention: Slot = None,
        conv2: Slot = None,
        conv_init: str = 'he_out',
    ):
        super().__init__()
        out_channels = width * self.expansion
        self.relu = nn.ReLU(inplace=True)
        self._build_residual(in_channels, width, stride, conv2, conv_init)
        self.attention = None if attention is None else build_slot(attention, out_channels, 'attention')
        self.downsample = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                _conv(in_channels, out_channels, 1, conv_init, stride), nn.BatchNorm2d(out_channels)
            )

    @abstractmethod
    def _build_residual(self, in_channels: int, width: int, stride: int, conv2: Slot, conv_init: str) -> None:
        """Make the layers of the residual branch."""

    @abstractmethod
    def residual(self, x: Tensor) -> Tensor:
        """The residual branch up to its last norm, before attention and addition."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, Cin, H, W) -> (B, P * expansion, H/s, W/s)."""
        out = self.residual(x)
        if self.attention is not None:
            out = self.attention(out)
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(out + shortcut)


class BasicBlock(_Block):
    """``relu(attention(bn2(conv2(relu(bn1(conv1(x)))))) + shortcut(x))``, two 3x3 convolutions.

    The ``conv2`` slot takes the place of the second convolution.
    """

    expansion = 1

    def _build_residual(self, in_channels, width, stride, conv2, conv_init):
        self.conv1 = _conv(in_channels, width, 3, conv_init, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv2(conv2, width, conv_init, stride=1)
        self.bn2 = nn.BatchNorm2d(width)

    def residual(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        return self.bn2(self.conv2(x))


class Bottleneck(_Block):
    """``relu(attention(bn3(conv3(relu(bn2(conv2(relu(bn1(conv1(x)))))))) + shortcut(x))``.

    1x1, 3x3 with the stride, 1x1 to four times the width. The ``conv2`` slot replaces the 3x3.
    """

    expansion = 4

    def _build_residual(self, in_channels, width, stride, conv2, conv_init):
        self.conv1 = _conv(in_channels, width, 1, conv_init)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv2(conv2, width, conv_init, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = _conv(width, width * 4, 1, conv_init)
        self.bn3 = nn.BatchNorm2d(width * 4)

    def residual(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.bn3(self.conv3(x))


def build_stage(
    block: type[_Block],
    in_channels: int,
    width: int,
    num_blocks: int,
    stride: int,
    attention: Slot = None,
    conv2: Slot = None,
    conv_init: str = 'he_out',
    with_cp: bool = False,
) -> Stage:
    """``num_blocks`` blocks of the same width; the first one carries the stride."""
    blocks = []
    for index in range(num_blocks):
        blocks.append(block(in_channels, width, stride if index == 0 else 1, attention, conv2, conv_init))
        in_channels = width * block.expansion
    return Stage(*blocks, with_cp=with_cp)


@MODELS.register_module()
class AttentionResNet(Backbone):
    """ResNet whose blocks have a slot for attention and a slot in place of the 3x3 convolution.

    The output is a tuple of feature maps, one for each of ``out_indices``; their channels and strides are
    in ``out_channels`` and ``out_strides``. The stage strides are 1, 2, 2, 2 on top of the stem's.

    Args:
        depth: 18 or 34 (basic blocks), 50, 101 or 152 (bottlenecks).
        stem: ``'imagenet'`` (7x7 stride 2, max-pool: stride 4), ``'cifar'`` (3x3 stride 1, no
            pool: stride 1) or ``'cifar_pool'`` (3x3 stride 1, max-pool: stride 2).
        attention: the module after the last norm of a block, before the addition: a dict with the
            ``type`` of a registered module whose first argument is the channel count, or four
            entries, one per stage, ``None`` for a plain one.
        conv2: what replaces the 3x3 convolution, likewise; the module takes ``stride`` as well.
        stage_blocks: number of blocks in each of the four stages, instead of those implied by ``depth``.
        base_channels: width of the first stage; it doubles from stage to stage.
        in_channels: channels of the image.
        conv_init: initialization of the convolutions outside the slots: ``'he_out'``, or ``'default'`` for
            PyTorch's own.
        num_stages: number of stages to build (C4 detectors use three); by default as many as
            ``out_indices`` needs.
        out_indices: the stages to return, counted from 0; the last stage by default.
        frozen_stages: -1 trains everything; 0 freezes the stem; n the stem and the first n stages.
        norm_eval: keep every batch norm in evaluation mode during training.
        with_cp: recompute the blocks in the backward pass to save memory.
        init_cfg: mmengine initialization, usually ``dict(type='Pretrained', checkpoint=...)``.

    Raises:
        UserError: if a depth, stem, stage or slot does not exist.
    """

    arch_settings = {
        18: (BasicBlock, (2, 2, 2, 2)),
        34: (BasicBlock, (3, 4, 6, 3)),
        50: (Bottleneck, (3, 4, 6, 3)),
        101: (Bottleneck, (3, 4, 23, 3)),
        152: (Bottleneck, (3, 8, 36, 3)),
    }
    # name: (kernel, stride, max-pool)
    stem_settings = {'imagenet': (7, 2, True), 'cifar': (3, 1, False), 'cifar_pool': (3, 1, True)}

    def __init__(
        self,
        depth: int = 50,
        stem: str = 'imagenet',
        attention: Slot | Sequence[Slot] = None,
        conv2: Slot | Sequence[Slot] = None,
        stage_blocks: Sequence[int] | None = None,
        base_channels: int = 64,
        in_channels: int = 3,
        conv_init: str = 'he_out',
        num_stages: int | None = None,
        out_indices: Sequence[int] | None = None,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ):
        if num_stages is None:
            num_stages = 4
            if isinstance(out_indices, Sequence) and out_indices and set(out_indices) <= set(range(4)):
                num_stages = max(out_indices) + 1
        blocks = tuple(stage_blocks or self.arch_settings.get(depth, (None, ()))[1])
        self._check(depth, stem, num_stages, blocks, base_channels, conv_init)
        if out_indices is None:
            out_indices = (num_stages - 1,)
        super().__init__(num_stages, out_indices, frozen_stages, norm_eval, with_cp, init_cfg)
        block, _ = self.arch_settings[depth]
        attention = slot_per_stage(attention, 'attention', 4)
        conv2 = slot_per_stage(conv2, 'conv2', 4)
        self.num_stages = num_stages

        kernel_size, stem_stride, pool = self.stem_settings[stem]
        self.conv1 = _conv(in_channels, base_channels, kernel_size, conv_init, stem_stride)
        self.bn1 = nn.BatchNorm2d(base_channels)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1) if pool else nn.Identity()

        channels, stride = base_channels, stem_stride * (2 if pool else 1)
        all_channels, all_strides = [], []
        for index in range(num_stages):
            width, stage_stride = base_channels * 2**index, 1 if index == 0 else 2
            stage = build_stage(
                block,
                channels,
                width,
                blocks[index],
                stage_stride,
                attention[index],
                conv2[index],
                conv_init,
                with_cp,
            )
            self.add_module(f'layer{index + 1}', stage)
            channels, stride = width * block.expansion, stride * stage_stride
            all_channels.append(channels)
            all_strides.append(stride)
        self._declare_outputs(all_channels, all_strides)

    def _check(self, depth, stem, num_stages, blocks, base_channels, conv_init) -> None:
        name = type(self).__name__
        if depth not in self.arch_settings:
            raise UserError(f'{name}: depth must be one of {sorted(self.arch_settings)}, got {depth!r}.')
        if stem not in self.stem_settings:
            raise UserError(f'{name}: stem must be one of {sorted(self.stem_settings)}, got {stem!r}.')
        if not 1 <= num_stages <= 4:
            raise UserError(f'{name}: num_stages must be 1 to 4, got {num_stages}.')
        if len(blocks) not in (num_stages, 4) or min(blocks) < 1:
            raise UserError(
                f'{name}: stage_blocks needs a positive number for each of {num_stages} stages, got {blocks}.'
            )
        if base_channels < 1:
            raise UserError(f'{name}: base_channels must be positive, got {base_channels}.')
        if conv_init not in _CONV_INITS:
            raise UserError(f"{name}: conv_init must be 'he_out' or 'default', got {conv_init!r}.")

    def _stem_and_stages(self):
        stages = [[getattr(self, f'layer{i}')] for i in range(1, self.num_stages + 1)]
        return [[self.conv1, self.bn1], *stages]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) -> tuple of (B, out_channels[i], H / out_strides[i], W / out_strides[i])."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        outs = []
        for index in range(self.num_stages):
            x = getattr(self, f'layer{index + 1}')(x)
            if index in self.out_indices:
                outs.append(x)
        return tuple(outs)
