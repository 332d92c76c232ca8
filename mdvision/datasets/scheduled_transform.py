"""A transform that is applied with a probability which can change while the loader's workers live."""

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmengine.registry import TRANSFORMS

from mdvision.errors import UserError

__all__ = ['ScheduledProbability']


@TRANSFORMS.register_module()
class ScheduledProbability(BaseTransform):
    """Apply another transform with ``probability``, which stands in memory that all processes share.

    A worker of a loader gets its copy of the transforms when it starts and keeps it as long as it lives:
    with ``persistent_workers=True`` for the whole training. An attribute that the main process changes
    between epochs would never get there. This number does, in workers of any kind, forked or spawned,
    persistent or not, and without workers. ``mdvision.AugmentationScheduleHook`` sets it before each epoch.

    Every call draws anew, so several of these in a pipeline are independent of each other.

    Args:
        transform: the config of the transform, or the transform itself. It should always act: its own
            probability, where it has one, multiplies this one.
        start: the probability until somebody sets another, 0 to 1.

    Raises:
        UserError: ``start`` is no number from 0 to 1.
    """

    def __init__(self, transform: dict | BaseTransform, start: float):
        self.start = _checked(start, 'start')
        self.inner = TRANSFORMS.build(transform) if isinstance(transform, dict) else transform
        self._shared = torch.tensor(self.start, dtype=torch.float64).share_memory_()

    @property
    def probability(self) -> float:
        """The probability at this moment, the same in all processes; setting it reaches them all."""
        return self._shared.item()

    @probability.setter
    def probability(self, value: float) -> None:
        self._shared.fill_(_checked(value, 'probability'))

    def __setstate__(self, state: dict) -> None:
        # What a spawned worker receives is the shared memory itself, and this changes nothing. A deep
        # copy, such as a subset of a data set makes, is a number of its own, which is to be shared too.
        self.__dict__.update(state)
        self._shared.share_memory_()

    @cache_randomness
    def _applies(self) -> bool:
        return np.random.rand() < self.probability

    def transform(self, results: dict) -> dict | None:
        """What the inner transform makes of the sample, or the sample as it is."""
        return self.inner(results) if self._applies() else results

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.inner}, start={self.start}, probability={self.probability})'


def _checked(value: float, name: str) -> float:
    if not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise UserError(f'ScheduledProbability: {name} must be a number from 0 to 1, got {value!r}.')
    return float(value)
