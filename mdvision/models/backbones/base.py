"""The contract of every backbone, in one place: what it declares, and what it freezes."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from mdvision.errors import UserError

__all__ = ['Backbone', 'Stage', 'norms_to_eval', 'run_block']


def norms_to_eval(module: nn.Module) -> None:
    """Put every batch norm below a module, and every layer that follows ``norm_eval``, in evaluation mode."""
    for layer in module.modules():
        if isinstance(layer, _BatchNorm) or getattr(layer, 'follow_norm_eval', False):
            layer.eval()


def run_block(block: nn.Module, x: Tensor, with_cp: bool) -> Tensor:
    """``block(x)``; with ``with_cp`` its inner tensors are recomputed in the backward pass.

    Recomputing updates the running statistics of batch norms a second time, with the same batch.
    """
    if with_cp and x.requires_grad:
        return checkpoint(block, x, use_reentrant=False)
    return block(x)


class Stage(nn.Sequential):
    """Blocks one after the other; with ``with_cp`` each is recomputed in the backward pass."""

    def __init__(self, *blocks: nn.Module, with_cp: bool = False):
        super().__init__(*blocks)
        self.with_cp = with_cp

    def forward(self, x: Tensor) -> Tensor:
        for block in self:
            x = run_block(block, x, self.with_cp)
        return x


class Backbone(BaseModule, ABC):
    """A stem and stages; the output is a tuple with one entry per element of ``out_indices``.

    A subclass builds its modules and, as the last thing in ``__init__``, calls
    :meth:`_declare_outputs`.

    Args:
        num_stages: number of stages, for checking ``frozen_stages`` and ``out_indices``.
        out_indices: the stages to return, counted from 0; or the outputs, if ``num_outputs`` is given.
        frozen_stages: -1 trains everything; 0 freezes the stem; n the stem and the first n stages.
        norm_eval: keep every batch norm in evaluation mode during training.
        with_cp: recompute the blocks in the backward pass to save memory; see :func:`run_block`.
        init_cfg: mmengine initialization, usually ``dict(type='Pretrained', checkpoint=...)``.
        num_outputs: number of outputs to choose from; one per stage by default.

    Attributes:
        out_channels: channels of each output.
        out_strides: image pixels per feature-map pixel of each output; empty if the outputs are tokens.

    Raises:
        UserError: if a stage does not exist.
    """

    out_channels: tuple[int, ...]
    out_strides: tuple[int, ...]

    def __init__(
        self,
        num_stages: int,
        out_indices: Sequence[int],
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | None = None,
        num_outputs: int | None = None,
    ):
        super().__init__(init_cfg)
        name = type(self).__name__
        if isinstance(out_indices, int):
            raise UserError(
                f'{name}: out_indices must be a sequence, got {out_indices}. Use ({out_indices},).'
            )
        if num_stages < 1:
            raise UserError(f'{name}: expected at least one stage (a transformer block), got {num_stages}.')
        out_indices = tuple(out_indices)
        what, count = ('stages', num_stages) if num_outputs is None else ('outputs', num_outputs)
        if not out_indices or not set(out_indices) <= set(range(count)):
            raise UserError(
                f'{name}: out_indices must be {what} 0 to {count - 1} (it has {count} {what}), got '
                f'{out_indices}.'
            )
        if list(out_indices) != sorted(set(out_indices)):
            raise UserError(f'{name}: out_indices must increase, got {out_indices}.')
        if not -1 <= frozen_stages <= num_stages:
            raise UserError(f'{name}: frozen_stages must be -1 (none) to {num_stages}, got {frozen_stages}.')
        self.out_indices = out_indices
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.with_cp = with_cp

    def _declare_outputs(self, channels: Sequence[int], strides: Sequence[int] | None = None) -> None:
        """Set ``out_channels`` and ``out_strides``, and freeze.

        Args:
            channels: of all stages (or outputs, see ``num_outputs``).
            strides: of the same, image pixels per feature-map pixel; None if the outputs are tokens.
        """
        self.out_channels = tuple(channels[i] for i in self.out_indices)
        self.out_strides = () if strides is None else tuple(strides[i] for i in self.out_indices)
        self._freeze_stages()

    @abstractmethod
    def _stem_and_stages(self) -> list[list[nn.Module | nn.Parameter]]:
        """Return the modules of the stem, then those of each stage, as ``frozen_stages`` counts them."""

    def _freeze_stages(self) -> None:
        for parts in self._stem_and_stages()[: self.frozen_stages + 1]:
            for part in parts:
                part.requires_grad_(False)
                if isinstance(part, nn.Module):
                    part.eval()

    def train(self, mode: bool = True):
        """Set training mode, except for frozen stages and, with ``norm_eval``, the norms."""
        super().train(mode)
        self._freeze_stages()
        if mode and self.norm_eval:
            norms_to_eval(self)
        return self
