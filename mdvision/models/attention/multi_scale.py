"""EMANet's multi-scale attention: four mixers with increasing kernel sizes, weighted against each other.

Paper: EMANet (Xsmile-love/pytorch-emanet-master). Names of children are the authors', so that
their checkpoints need almost no conversion.

Shapes: B batch, P channels in and out, Q = P / 4 channels of a branch, H x W feature map, s stride.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from mdvision.errors import UserError
from mdvision.registry import MODELS

from ..layers import SoftBAN
from .branch import BranchAttention

__all__ = ['MultiScaleAttention']


class _Residual(nn.Module):
    """``x + fn(x)``."""

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.fn = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.fn(x)


def _mixer_branch(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    stride: int,
    groups: int,
    mixer_kernel: int,
    spatial_group_norm: bool,
    soft_ban: dict,
) -> nn.Sequential:
    """One branch, (B, P, H, W) -> (B, Q, H/s, W/s).

    ``u = BN(GELU(conv(x)))``, ``v = u + BN(GELU(depthwise(u)))``,
    ``y = v + BN(GELU(conv1x1(SoftBAN(v))))``.
    """
    spatial = [
        nn.Conv2d(out_channels, out_channels, mixer_kernel, padding=mixer_kernel // 2, groups=out_channels),
        nn.GELU(),
        nn.BatchNorm2d(out_channels),
    ]
    if spatial_group_norm:
        spatial.insert(0, nn.GroupNorm(out_channels, out_channels))
    channel = [
        SoftBAN(out_channels, **soft_ban),
        nn.Conv2d(out_channels, out_channels, 1),
        nn.GELU(),
        nn.BatchNorm2d(out_channels),
    ]
    return nn.Sequential(
        nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, kernel_size // 2, groups=groups, bias=False
        ),
        nn.GELU(),
        nn.BatchNorm2d(out_channels),
        nn.Sequential(_Residual(*spatial), _Residual(*channel)),
    )


@MODELS.register_module()
class MultiScaleAttention(BranchAttention):
    """Multi-scale convolution with branch attention, in place of a block's 3x3 convolution.

    ``x_j = mixer_j(x)``, weighted and concatenated as described in :class:`BranchAttention`.

    Args:
        in_channels: P. Output channels are the same.
        stride: stride of the branch convolutions; at 1 the output has the shape of the input.
        kernels: kernel size of each branch, odd.
        groups: groups of each branch's convolution.
        mixer_kernel: kernel of the depthwise spatial mixer, odd.
        gate_reduction: the gate has P / branches / gate_reduction hidden units, at least one.
        spatial_group_norm: normalize each channel of each sample before the spatial mixer
            (the mini-ImageNet variant).
        soft_ban: arguments of :class:`SoftBAN`, for example ``dict(scale='sigmoid')``.

    Raises:
        UserError: if P is not divisible by the branches, their groups, or the gate.
    """

    def __init__(
        self,
        in_channels: int,
        stride: int = 1,
        kernels: Sequence[int] = (3, 5, 7, 9),
        groups: Sequence[int] = (1, 4, 8, 16),
        mixer_kernel: int = 9,
        gate_reduction: int = 16,
        spatial_group_norm: bool = False,
        soft_ban: dict | None = None,
    ):
        if mixer_kernel < 1 or mixer_kernel % 2 == 0:
            raise UserError(
                f'MultiScaleAttention: mixer_kernel must be odd to keep the feature map size, got '
                f'{mixer_kernel}. Use {max(1, mixer_kernel + 1)}.'
            )

        def mixer_branch(out_channels: int, kernel_size: int, groups: int) -> nn.Module:
            return _mixer_branch(
                in_channels,
                out_channels,
                kernel_size,
                stride,
                groups,
                mixer_kernel,
                spatial_group_norm,
                soft_ban or {},
            )

        super().__init__(in_channels, kernels, groups, gate_reduction, mixer_branch)
