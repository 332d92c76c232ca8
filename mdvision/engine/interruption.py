"""Stopping on SIGTERM (Slurm, Kubernetes) and SIGINT (Ctrl-C) without losing what was trained."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import torch.distributed as dist
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import EMAHook, Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from mdvision.console import say

from .saving import INTERRUPTED

__all__ = ['Interrupted', 'train_until_told_to_stop']

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_STOP_KEY = 'mdvision_stop_at'


class Interrupted(Exception):  # noqa: N818
    """The run was told to stop, and has saved where it is."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.signal = number


def train_until_told_to_stop(runner: Runner) -> None:
    """``runner.train()``; on SIGTERM or SIGINT it ends after the iteration, with a checkpoint to resume.

    Raises:
        Interrupted: after the saving. A second Ctrl-C raises KeyboardInterrupt at once instead.
    """
    hook = _StopHook()
    runner.register_hook(hook)
    with hook.listening():
        try:
            runner.train()
        except Interrupted:
            raise
        except Exception:
            # Data workers get the signal as well; without them the next batch cannot come.
            if hook.signal is None or hook.in_iteration:
                raise
            hook.stop(runner)


class _StopHook(Hook):
    """Watches for the signal where a run may stop: after an iteration, an epoch, a validation batch."""

    priority = 'LOWEST'

    def __init__(self):
        self.signal: int | None = None
        self.in_iteration = False
        self._told = 0.0
        self._position: dict = {}
        self._validating = False

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        process = os.getpid()

        def on_signal(number: int, frame: object) -> None:
            if os.getpid() != process:  # a data worker, which inherited this
                return
            if self.signal is not None:
                # Launchers pass on what the whole group has got already: only a later Ctrl-C is a new one.
                if number == signal.SIGINT and time.monotonic() > self._told + 1:
                    raise KeyboardInterrupt
                return
            self.signal, self._told = number, time.monotonic()
            # torch would raise in the middle of an iteration when a worker dies of the same signal.
            if hasattr(signal, 'SIGCHLD'):
                signal.signal(signal.SIGCHLD, lambda number, frame: None)
            if is_main_process():
                os.write(2, b'\nstopping after this iteration (Ctrl-C once more: at once, without saving)\n')

        before = {}
        with contextlib.suppress(ValueError):  # only the main thread may listen
            before = {number: signal.signal(number, on_signal) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def before_train(self, runner: Runner) -> None:
        self._position = dict(epoch=runner.epoch, iter=runner.iter)

    def before_train_epoch(self, runner: Runner) -> None:
        done = getattr(runner.train_loop, 'skip', 0)
        self._position = dict(epoch=runner.epoch, iter=runner.iter, batches_done=done)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        self.in_iteration = True

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        self.in_iteration = False
        self._position = dict(epoch=runner.epoch, iter=runner.iter + 1, batches_done=batch_idx + 1)
        by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        if not by_epoch:
            self._position['batches_done'] = 0
        # The end of an epoch has steps of its own, after which it is over.
        if self._told_to_stop(runner) and not (by_epoch and batch_idx + 1 == len(runner.train_dataloader)):
            self.stop(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            return
        self._position = dict(epoch=runner.epoch + 1, iter=runner.iter, validate_first=True)
        if self._told_to_stop(runner):
            self.stop(runner)

    def before_val_epoch(self, runner: Runner) -> None:
        self._validating = True

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        if self.signal is not None:
            self.stop(runner)

    def after_val_epoch(self, runner: Runner, metrics=None) -> None:
        self._validating = False
        self._position['validate_first'] = False

    def _told_to_stop(self, runner: Runner) -> bool:
        """Whether to stop here; several processes agree on an iteration, since none can go on alone."""
        if get_world_size() == 1:
            return self.signal is not None
        store = dist.distributed_c10d._get_default_store()
        if self.signal is not None:
            # The others are at most one iteration ahead: the gradients of each are of all.
            store.compare_set(_STOP_KEY, '', f'{runner.iter + 2} {int(self.signal)}')
        if not store.check([_STOP_KEY]):
            return False
        last, number = map(int, store.get(_STOP_KEY).split())
        self.signal = self.signal or number
        return runner.iter >= last

    def stop(self, runner: Runner) -> None:
        """Save and leave."""
        if self._validating:  # averaged weights are in the place of the trained ones
            for hook in runner.hooks:
                if isinstance(hook, EMAHook):
                    hook.after_val_epoch(runner)
        runner.save_checkpoint(runner.work_dir, INTERRUPTED, meta=dict(self._position))
        name = signal.Signals(self.signal).name
        path = Path(runner.work_dir) / INTERRUPTED
        say(f'{name}: stopped after iteration {self._position["iter"]} and saved {path}; go on with --resume')
        raise Interrupted(self.signal)
