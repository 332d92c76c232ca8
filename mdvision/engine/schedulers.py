"""Learning-rate schedulers that the upstream libraries lack: a polynomial warm-up."""

from mmengine.optim.scheduler import LinearLR
from mmengine.registry import PARAM_SCHEDULERS
from torch.optim import Optimizer

from mdvision.errors import UserError

__all__ = ['PolyWarmupLR']


@PARAM_SCHEDULERS.register_module()
class PolyWarmupLR(LinearLR):
    """Warm up along a power of the step, from ``start_factor`` to ``end_factor`` times the learning rate.

    At step t after ``begin``, the learning rate is multiplied by ::

        f(t) = start_factor + (end_factor - start_factor) (t / T)^power,    T = end - begin - 1

    so the full learning rate is reached at step ``end - 1``, as with mmengine's LinearLR, which is power 1.
    mmdet's QuadraticWarmupLR cannot start above zero. A scheduler that follows may begin at ``end - 1``:
    its first step changes nothing.

    Source: the warm-up of EMANet's detector (Xsmile-love/pytorch-emanet-master, faster-rcnn), power 2.

    Args:
        optimizer: the optimizer or its wrapper.
        start_factor: greater than 0, at most 1.
        power: 1 is linear, greater values start slower.
        end_factor: 0 to 1.
        begin: the first step.
        end: the step after the last one.
        last_step: for resuming without a state.
        by_epoch: whether a step is an epoch or an iteration.
        verbose: print the learning rate at every step.

    Raises:
        UserError: if ``start_factor`` is 0, which no multiplication can raise.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float,
        power: float = 2.0,
        end_factor: float = 1.0,
        begin: int = 0,
        end: int = 10**9,
        last_step: int = -1,
        by_epoch: bool = True,
        verbose: bool = False,
    ):
        if start_factor == 0:
            raise UserError('PolyWarmupLR: start_factor must be greater than 0, got 0; take a small one.')
        self.power = power
        super().__init__(
            optimizer,
            start_factor=start_factor,
            end_factor=end_factor,
            begin=begin,
            end=end,
            last_step=last_step,
            by_epoch=by_epoch,
            verbose=verbose,
        )

    def _factor(self, step: int) -> float:
        if step == 0:
            return self.start_factor
        return (
            self.start_factor
            + (self.end_factor - self.start_factor) * (step / self.total_iters) ** self.power
        )

    def _get_value(self) -> list[float]:
        """Derive each group's learning rate from its current one, since mmengine's schedulers are chained."""
        change = self._factor(self.last_step)
        if self.last_step > 0:
            change /= self._factor(self.last_step - 1)
        return [group[self.param_name] * change for group in self.optimizer.param_groups]
