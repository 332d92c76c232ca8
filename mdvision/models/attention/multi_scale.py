"""EMANet's multi-scale attention: four mixers of growing kernel, weighted against each other.

Paper: EMANet (Xsmile-love/pytorch-emanet-master). Names of children are the authors', so that
their checkpoints need almost no conversion.

Shapes: B batch, P channels in and out, Q = P / 4 channels of a branch, H x W map, s stride.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mdvision.errors import UserError
from mdvision.registry import MODELS

from ..layers import SoftBAN, he_out_

__all__ = ['MultiScaleAttention']


class _Residual(nn.Module):
    """``x + fn(x)``."""

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.fn = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.fn(x)


class _SharedGate(nn.Module):
    """Squeeze-and-excitation weights ``sigmoid(W2 relu(W1 mean_hw(x)))``: (B, Q, H, W) -> (B, Q, 1, 1)."""

    def __init__(self, channels: int, hidden_channels: int):
        super().__init__()
        self.fc = nn.Sequential(
            nn.Conv2d(channels, hidden_channels, 1),
            nn.ReLU(),
            nn.Conv2d(hidden_channels, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.mean((2, 3), keepdim=True))


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
class MultiScaleAttention(nn.Module):
    """Multi-scale convolution with branch attention, in place of a block's 3x3 convolution.

    Branch j is ``x_j = mixer_j(x)``; one gate, shared by the branches, gives
    ``e_j = sigmoid(W2 relu(W1 mean_hw(x_j)))``; the branch weights are the softmax of e over j,
    channel by channel. The weighted branches are concatenated in reverse order (last kernel
    first), as the authors' code does: a permutation that only matters for loading weights.

    Args:
        in_channels: P. Output channels are the same.
        stride: stride of the branch convolutions; at 1 the output has the shape of the input.
        kernels: kernel size of each branch, odd.
        groups: groups of each branch's convolution.
        mixer_kernel: kernel of the depthwise spatial mixer, odd.
        gate_reduction: the gate has P / branches / gate_reduction hidden units, at least one.
        spatial_group_norm: normalise each channel of each sample before the spatial mixer
            (the mini-ImageNet variant).
        soft_ban: arguments of :class:`SoftBAN`, for example ``dict(scale='sigmoid')``.

    Raises:
        UserError: when P does not divide into the branches, their groups, or the gate.
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
        super().__init__()
        self.in_channels = in_channels
        branch_channels = in_channels // len(kernels)
        self._check(in_channels, kernels, groups, mixer_kernel, gate_reduction)
        for j, (kernel_size, group) in enumerate(zip(kernels, groups, strict=True), start=1):
            branch = _mixer_branch(
                in_channels,
                branch_channels,
                kernel_size,
                stride,
                group,
                mixer_kernel,
                spatial_group_norm,
                soft_ban or {},
            )
            setattr(self, f'conv_{j}', branch)
        self.num_branches = len(kernels)
        self.se = _SharedGate(branch_channels, branch_channels // gate_reduction)
        he_out_(self)

    @staticmethod
    def _check(in_channels, kernels, groups, mixer_kernel, gate_reduction) -> None:
        if len(groups) != len(kernels):
            raise UserError(
                f'MultiScaleAttention: one group count a kernel is expected, got kernels={tuple(kernels)} '
                f'and groups={tuple(groups)}.'
            )
        for name, kernel_size in (*(('kernels', k) for k in kernels), ('mixer_kernel', mixer_kernel)):
            if kernel_size % 2 == 0:
                raise UserError(
                    f'MultiScaleAttention: {name} must be odd to keep the map size, got {kernel_size}.'
                )
        if in_channels % len(kernels):
            raise UserError(
                f'MultiScaleAttention: in_channels must divide by the {len(kernels)} branches, '
                f'got {in_channels}.'
            )
        branch_channels = in_channels // len(kernels)
        for group in groups:
            if branch_channels % group:
                raise UserError(
                    f'MultiScaleAttention: with in_channels={in_channels} a branch has {branch_channels} '
                    f'channels, which groups={group} does not divide. Use smaller groups or a wider network.'
                )
        if branch_channels < gate_reduction:
            raise UserError(
                f'MultiScaleAttention: with in_channels={in_channels} a branch has {branch_channels} '
                f'channels, too few for gate_reduction={gate_reduction} to leave a hidden unit. '
                f'Use gate_reduction={branch_channels} or less.'
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, P, H, W) -> (B, P, H/s, W/s)."""
        branches = [getattr(self, f'conv_{j}')(x) for j in range(1, self.num_branches + 1)]
        weights = torch.stack([self.se(branch) for branch in branches]).softmax(dim=0)  # (4, B, Q, 1, 1)
        weighted = [branch * weight for branch, weight in zip(branches, weights, strict=True)]
        return torch.cat(weighted[::-1], dim=1)
