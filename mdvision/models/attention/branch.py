"""Attention over branches: what the multi-scale modules share.

Shapes: B batch, P channels in and out, n branches, Q = P / n channels of a branch, H x W feature map,
s stride.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from mdvision.errors import UserError

from ..layers import he_out_

__all__ = ['BranchAttention']


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


class BranchAttention(nn.Module):
    """Branches of different kernels, weighted against each other channel by channel.

    ``x_j = branch_j(x)``; one gate, shared by the branches, gives
    ``e_j = sigmoid(W2 relu(W1 mean_hw(x_j)))``; the branch weights are the softmax of e over j.
    The weighted branches are concatenated in reverse order (last kernel first), as the authors'
    code does: a permutation that only matters for loading weights.

    It is not registered: a subclass defines what a branch is.

    Args:
        in_channels: P. Output channels are the same.
        kernels: kernel size of each branch, odd.
        groups: groups of each branch's convolution.
        gate_reduction: the gate has Q / gate_reduction hidden units, at least one.
        build_branch: called with (Q, kernel size, groups), returns a module
            (B, P, H, W) -> (B, Q, H/s, W/s).

    Raises:
        UserError: if P is not divisible by the branches, their groups, or the gate.
    """

    def __init__(
        self,
        in_channels: int,
        kernels: Sequence[int],
        groups: Sequence[int],
        gate_reduction: int,
        build_branch: Callable[[int, int, int], nn.Module],
    ):
        super().__init__()
        self._check(in_channels, kernels, groups, gate_reduction)
        self.in_channels = in_channels
        self.num_branches = len(kernels)
        branch_channels = in_channels // self.num_branches
        for j, (kernel_size, group) in enumerate(zip(kernels, groups, strict=True), start=1):
            self.add_module(f'conv_{j}', build_branch(branch_channels, kernel_size, group))
        self.se = _SharedGate(branch_channels, branch_channels // gate_reduction)
        he_out_(self)

    def _check(self, in_channels, kernels, groups, gate_reduction) -> None:
        name = type(self).__name__
        if not kernels or len(groups) != len(kernels):
            raise UserError(
                f'{name}: expected one group count per kernel, got kernels={tuple(kernels)} '
                f'and groups={tuple(groups)}.'
            )
        for kernel_size in kernels:
            if kernel_size < 1 or kernel_size % 2 == 0:
                raise UserError(
                    f'{name}: kernels must be odd to keep the feature map size, got {kernel_size}. '
                    f'Use {max(1, kernel_size + 1)}.'
                )
        if in_channels % len(kernels):
            raise UserError(
                f'{name}: in_channels must be divisible by the {len(kernels)} branches, got {in_channels}. '
                f'Use {-(-in_channels // len(kernels)) * len(kernels)}.'
            )
        branch_channels = in_channels // len(kernels)
        for group in groups:
            if group < 1 or branch_channels % group:
                raise UserError(
                    f'{name}: with in_channels={in_channels} a branch has {branch_channels} channels, '
                    f'not divisible by groups={group}. Use fewer groups or a wider network.'
                )
        if not 1 <= gate_reduction <= branch_channels:
            raise UserError(
                f'{name}: with in_channels={in_channels} a branch has {branch_channels} channels, '
                f'of which gate_reduction={gate_reduction} leaves no hidden unit. '
                f'Use gate_reduction={branch_channels} or less, at least 1.'
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, P, H, W) -> (B, P, H/s, W/s)."""
        branches = [getattr(self, f'conv_{j}')(x) for j in range(1, self.num_branches + 1)]
        weights = torch.stack([self.se(branch) for branch in branches]).softmax(dim=0)  # (n, B, Q, 1, 1)
        weighted = [branch * weight for branch, weight in zip(branches, weights, strict=True)]
        return torch.cat(weighted[::-1], dim=1)
