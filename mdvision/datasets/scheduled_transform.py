"""A transform applied with a probability that can change while the data workers are running."""

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmengine.registry import TRANSFORMS

from mdvision.errors import UserError

__all__ = ['ScheduledProbability']


@TRANSFORMS.register_module()
class ScheduledProbability(BaseTransform):
    """Apply another transform with ``probability``, which is stored in memory shared by all processes.

    A data worker gets its copy of the transforms when it starts and keeps it as long as it lives: with
    ``persistent_workers=True`` for the whole run. An attribute that the main process changes between epochs
    would never reach it. This number does, in workers of any kind, forked or spawned, persistent or not, and
    without workers. ``mdvision.AugmentationScheduleHook`` sets it before each epoch.

    Every call draws a new random number, so several of these in a pipeline are independent of each other.

    Args:
        transform: the config of the transform, or the transform itself. It should always act: if it has a
            probability of its own, the two multiply.
        start: the initial probability, 0 to 1.

    Raises:
        UserError: ``start`` is not a number from 0 to 1.
    """

    def __init__(self, transform: dict | BaseTransform, start: float):
        self.start = _checked(start, 'start')
        self.inner = TRANSFORMS.build(transform) if isinstance(transform, dict) else transform
        self._shared = torch.tensor(self.start, dtype=torch.float64).share_memory_()

    @property
    def probability(self) -> float:
        """The current probability, the same in all processes; setting it reaches them all."""
        return self._shared.item()

    @probability.setter
    def probability(self, value: float) -> None:
        self._shared.fill_(_checked(value, 'probability'))

    def __setstate__(self, state: dict) -> None:
        # A spawned worker receives the shared memory itself, so this changes nothing there. A deep copy, such
        # as a subset of a data set makes, gets its own number, which must be shared too.
        self.__dict__.update(state)
        self._shared.share_memory_()

    @cache_randomness
    def _applies(self) -> bool:
        return np.random.rand() < self.probability

    def transform(self, results: dict) -> dict | None:
        """Return the transformed sample, or the sample unchanged."""
        return self.inner(results) if self._applies() else results

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.inner}, start={self.start}, probability={self.probability})'


def _checked(value: float, name: str) -> float:
    if not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise UserError(f'ScheduledProbability: {name} must be a number from 0 to 1, got {value!r}.')
    return float(value)
