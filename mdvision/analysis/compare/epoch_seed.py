"""Random numbers that depend on the seed and the epoch only, not on what was drawn before.

mmengine sets the seed once, when a process starts. A run that was interrupted then goes on with other
augmentations than one that was not, and two models that draw differently many numbers for their first
weights see different augmentations. With these two, both see the same.
"""

import random

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook

__all__ = ['EpochSeedHook', 'keep_epoch_seed']


class EpochSeedHook(Hook):
    """Seeds Python, NumPy and torch at the start of each training epoch."""

    def before_train_epoch(self, runner) -> None:
        entropy = [runner.seed, runner.epoch, get_rank()]
        seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)  # of the GPUs too


def keep_epoch_seed(worker_id: int) -> None:
    """For ``worker_init_fn`` of a data loader: leaves a worker the seed that torch drew for it.

    torch draws it from the generator that the hook has seeded, anew each time workers start. mmengine's
    own function gives a worker the same numbers in every epoch.
    """
