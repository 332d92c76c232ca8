"""The epoch loop, able to go on in the middle of an epoch."""

from collections.abc import Iterator
from itertools import islice

from mmengine.runner import EpochBasedTrainLoop
from torch import nn
from torch.utils.data import DataLoader, Sampler

from .fetching import seed_iteration

__all__ = ['EpochLoop', 'remaining_batches']


class EpochLoop(EpochBasedTrainLoop):
    """mmengine's loop; a run that was stopped in an epoch takes up the rest of that epoch.

    mmengine's begins the epoch anew, so that some images are seen twice and the iterations no longer
    fit the schedule. Set before :meth:`run`:

    Attributes:
        skip: batches of the first epoch that have been trained already.
        validate_first: the epoch before was trained to its end, but not validated.
    """

    skip = 0
    validate_first = False

    def run(self) -> nn.Module:
        self.runner.call_hook('before_train')
        if self.validate_first and self._validation_is_due():
            self.runner.val_loop.run()
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            self._decide_current_val_interval()
            if self._validation_is_due():
                self.runner.val_loop.run()
        self.runner.call_hook('after_train')
        return self.runner.model

    def _validation_is_due(self) -> bool:
        return (
            self.runner.val_loop is not None
            and self._epoch >= self.val_begin
            and (self._epoch % self.val_interval == 0 or self._epoch == self._max_epochs)
        )

    def run_epoch(self) -> None:
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        first, self.skip = self.skip, 0
        for index, data_batch in enumerate(remaining_batches(self.dataloader, first), start=first):
            seed_iteration(self.runner.seed, self._iter)
            self.run_iter(index, data_batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1


def remaining_batches(loader: DataLoader, first: int) -> Iterator:
    """The batches of an epoch from the one numbered ``first`` on; those before are not even loaded."""
    if first and loader.batch_sampler is not None:
        # DataLoader forbids the assignment because a running iterator would not see it; none runs yet.
        vars(loader)['batch_sampler'] = _SkipOnce(loader.batch_sampler, first)
        first = 0
    return islice(loader, first, None)


class _SkipOnce(Sampler):
    """The batches of another sampler, but in the first epoch without the first ones."""

    def __init__(self, batch_sampler: Sampler, count: int):
        self._inner = batch_sampler
        self._count = count

    def __iter__(self) -> Iterator:
        # A generator: a loader with workers asks for two iterators and draws from the second.
        count, self._count = self._count, 0
        yield from islice(self._inner, count, None)

    def __len__(self) -> int:
        return len(self._inner)

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)  # the sampler, whose epoch is set from outside
