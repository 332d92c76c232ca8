"""Training loops that know their position: a run resumes with the batch after the last one."""

from bisect import bisect
from collections.abc import Iterator
from itertools import count

from mmengine.dist import get_world_size
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from torch import nn

from mdvision.errors import UserError
from mdvision.upstream import expect

from .data_loader import SeededLoader, seed_iteration, seed_pass

__all__ = ['EpochLoop', 'IterLoop']


class _Resumable:
    """What both loops have in common.

    Attributes:
        position: what a checkpoint needs to know besides epoch and iteration.

            * ``passes``: the number of complete passes through the data;
            * ``trained``: what has been trained of the next pass, as (images per batch, batches, processes),
              one entry per batch size used;
            * ``validate_first``: whether a validation is due before the training continues;
            * ``validated``: the iteration of the last validation.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        expect(self, '_iter', '_max_iters')
        self.position = dict(passes=0, trained=[], validate_first=False, validated=None)

    def take_up(self, meta: dict, name: str) -> None:
        """Resume where a checkpoint was saved; epoch and iteration are already set.

        Args:
            meta: metadata of the checkpoint.
            name: name of the checkpoint, for the messages.

        Raises:
            UserError: if it was saved within an epoch and does not determine the rest of that epoch.
        """
        self.position['validated'] = self._iter  # in files from before this was recorded
        self.position |= {key: meta[key] for key in self.position if key in meta}
        trained = self.position['trained'] = [list(part) for part in self.position['trained']]
        if trained and not isinstance(self.dataloader, SeededLoader):
            raise UserError(
                f'{name} was saved in the middle of an epoch. To resume there, train_dataloader must be a '
                'config with a sampler.'
            )

    def validated(self) -> None:
        """Record that the validation at this position is done."""
        self.position |= dict(validate_first=False, validated=self._iter)

    def _begin_pass(self) -> int:
        """Prepare the loader for the rest of a pass; return the number of its first batch."""
        seed_pass(self.runner.seed, self.position['passes'])
        trained = self.position['trained']
        return self.dataloader.skip(trained) if trained else 0

    def _end_pass(self) -> None:
        self.position |= dict(passes=self.position['passes'] + 1, trained=[])

    def _train(self, index: int, data_batch: dict) -> None:
        """Do what mmengine's ``run_iter`` does, with the random numbers of this iteration."""
        seed_iteration(self.runner.seed, self._iter)
        self.runner.call_hook('before_train_iter', batch_idx=index, data_batch=data_batch)
        outputs = self.runner.model.train_step(data_batch, optim_wrapper=self.runner.optim_wrapper)
        self._count_batch()
        self.runner.call_hook('after_train_iter', batch_idx=index, data_batch=data_batch, outputs=outputs)
        self._iter += 1

    def _count_batch(self) -> None:
        trained = self.position['trained']
        size = getattr(self.dataloader.batch_sampler, 'batch_size', None)
        if not trained or (trained[-1][0], trained[-1][2]) != (size, get_world_size()):
            trained.append([size, 0, get_world_size()])
        trained[-1][1] += 1

    def _validation_is_due(self, step: int, last: int) -> bool:
        """Whether to validate after ``step`` of ``last`` epochs or iterations."""
        interval = self.dynamic_intervals[bisect(self.dynamic_milestones, step + 1) - 1]
        wanted = self.runner.val_loop is not None and step >= self.val_begin
        return wanted and (step % interval == 0 or step == last)

    def _validate(self) -> None:
        self.runner.val_loop.run()
        self.validated()


class EpochLoop(_Resumable, EpochBasedTrainLoop):
    """mmengine's loop; a run that was stopped within an epoch or a validation resumes there.

    mmengine's own loop restarts the epoch, so that some images are seen twice and the iterations no longer
    match the schedule, and it skips the validation.
    """

    def take_up(self, meta: dict, name: str) -> None:
        self.position['passes'] = self._epoch
        super().take_up(meta, name)
        first = self._begin_pass()
        # In earlier epochs, a batch may have had a different number of images.
        self._max_iters = self._iter + (self.max_epochs - self._epoch) * len(self.dataloader) - first

    def run(self) -> nn.Module:
        self.runner.call_hook('before_train')
        if self.position['validate_first'] and self._validation_is_due(self._epoch, self.max_epochs):
            self._validate()
        while self._epoch < self.max_epochs and not self.stop_training:
            self.run_epoch()
            self._decide_current_val_interval()
            if self.position['validate_first']:
                self._validate()
        self.runner.call_hook('after_train')
        return self.runner.model

    def run_epoch(self) -> None:
        self.position['validate_first'] = False
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        for index, data_batch in enumerate(self.dataloader, start=self._begin_pass()):
            self.run_iter(index, data_batch)
        self._end_pass()
        done = self._epoch + 1
        self.position['validate_first'] = self._validation_is_due(done, self.max_epochs)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def run_iter(self, idx: int, data_batch: dict) -> None:
        self._train(idx, data_batch)


class IterLoop(_Resumable, IterBasedTrainLoop):
    """mmengine's loop for iteration-based training; it also makes up for an interrupted validation.

    It resumes with the batch after the last one, whatever the sampler; ``fast_forward_on_resume`` has no
    effect, since no data are loaded for that.
    """

    def run(self) -> nn.Module:
        self.runner.call_hook('before_train')
        self.runner.call_hook('before_train_epoch')
        if self.position['validate_first'] and self._validation_is_due(self._iter, self._max_iters):
            self._validate()
        self.position['validate_first'] = False
        batches = self._batches()
        while self._iter < self._max_iters and not self.stop_training:
            self.runner.model.train()
            self.run_iter(next(batches))
            self._decide_current_val_interval()
            if self.position['validate_first']:
                self._validate()
        self.runner.call_hook('after_train_epoch')
        self.runner.call_hook('after_train')
        return self.runner.model

    def run_iter(self, data_batch: dict) -> None:
        self._train(self._iter, data_batch)

    def _count_batch(self) -> None:
        super()._count_batch()
        self.position['validate_first'] = self._validation_is_due(self._iter + 1, self._max_iters)

    def _batches(self) -> Iterator[dict]:
        """Yield batches without end; a sampler that ends starts over with a new order."""
        for number in count(self.position['passes']):
            sampler = getattr(self.dataloader.batch_sampler, 'sampler', None)
            if hasattr(sampler, 'set_epoch'):
                sampler.set_epoch(number)
            self._begin_pass()
            yield from self.dataloader
            self._end_pass()
