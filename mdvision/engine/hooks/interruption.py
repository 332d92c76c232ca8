"""Stopping a training that is told to, without losing what was trained."""

import contextlib
import math
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import torch.distributed as dist
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import EMAHook, Hook
from mmengine.optim import OptimWrapperDict
from mmengine.runner import EpochBasedTrainLoop, Runner

from mdvision.console import say
from mdvision.errors import UserError
from mdvision.processes.distributed import raise_unused_parameters
from mdvision.processes.peers import ask_store
from mdvision.processes.signals import STOP_SIGNALS, ToldToStop, handling
from mdvision.work_dir.files import INTERRUPTED
from mdvision.work_dir.full_disk import describe_unwritable, naming_the_folder

from .shared_losses import share_losses

__all__ = ['Interrupted', 'train_interruptibly']

_STOP_KEY = 'mdvision_stop_at'
_SAVED_KEY = 'mdvision_saved'
_STOPPING = b'\nstopping after this update (Ctrl-C once more: at once, without saving)\n'


class Interrupted(Exception):  # noqa: N818
    """The run was told to stop, and has saved where it is."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.signal = number


def train_interruptibly(runner: Runner) -> None:
    """``runner.train()``; told to stop by a signal it ends after the update, with a checkpoint to resume.

    The signals are SIGTERM, SIGINT (Ctrl-C), SIGHUP (a closed terminal) and SIGUSR1.

    Raises:
        Interrupted: after the saving. A second Ctrl-C raises KeyboardInterrupt at once instead.
    """
    hook = _StopHook()
    runner.register_hook(hook)
    with hook.listening(), naming_the_folder(runner.work_dir):
        try:
            runner.train()
            if runner.log_failure is not None:
                unwritten = describe_unwritable(runner.log_failure)
                say(f'note: {unwritten} The training is complete, its logs are not.')
        except Interrupted:
            raise
        except Exception as error:
            if error is getattr(runner, 'stop_because', None):
                raise
            # A worker that was just starting may have died of the signal: the next batch cannot come then.
            # Or another process has left the validation.
            with contextlib.suppress(RuntimeError):
                hook.is_told(runner, runner.iter)
            if hook.signal is None or hook.in_iteration:
                raise_unused_parameters(runner.model, error)
                raise
            hook.stop(runner)


class _StopHook(Hook):
    """Watches for the signal where a run may stop: after an update, an epoch, a validation batch.

    With gradient accumulation an update is that of several iterations; between two updates each process has
    gradients of its own.
    """

    priority = 'LOWEST'

    def __init__(self):
        self.signal: int | None = None
        self.in_iteration = False
        self._told = 0.0
        self._last = 0  # iteration that several processes have agreed on
        self._position: dict = {}
        self._validating = False

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        def on_signal(number: int) -> None:
            if self.signal is not None:
                # Launchers pass on what the whole group has got already: only a later Ctrl-C is a new one.
                if number == signal.SIGINT and time.monotonic() > self._told + 1:
                    for repeated in STOP_SIGNALS:
                        signal.signal(repeated, signal.SIG_IGN)
                    raise ToldToStop(number)
                return
            self.signal, self._told = number, time.monotonic()
            # torch would raise in the middle of an iteration when a worker dies of the same signal.
            if hasattr(signal, 'SIGCHLD'):
                signal.signal(signal.SIGCHLD, lambda number, frame: None)
            # The terminal may be closed, or the program behind the pipe be gone by the same Ctrl-C.
            with contextlib.suppress(OSError):
                if is_main_process():
                    os.write(2, _STOPPING)

        with handling(on_signal):
            yield

    def before_train(self, runner: Runner) -> None:
        self._position = dict(epoch=runner.epoch, iter=runner.iter)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        self.in_iteration = True

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        self.in_iteration = False
        done = runner.iter + 1
        self._position = dict(epoch=runner.epoch, iter=done)
        by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        # The end of an epoch has steps of its own, after which it is over.
        if by_epoch and batch_idx + 1 == len(runner.train_dataloader):
            return
        self._end_or_go_on(runner, done)

    def after_train_epoch(self, runner: Runner) -> None:
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            return
        self._position = dict(epoch=runner.epoch + 1, iter=runner.iter)
        self._end_or_go_on(runner, runner.iter)

    def before_val_epoch(self, runner: Runner) -> None:
        self._validating = True

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        self._end_without_a_log(runner, runner.iter)
        # Here no process waits for another, and all of them have the same weights.
        if self.is_told(runner, runner.iter):
            self.stop(runner)

    def after_val_epoch(self, runner: Runner, metrics=None) -> None:
        self._validating = False

    def _end_or_go_on(self, runner: Runner, done: int) -> None:
        self._end_without_a_log(runner, done)
        if self._may_stop(runner, done):
            share_losses(runner)  # all processes are here
            self.stop(runner)

    def _may_stop(self, runner: Runner, done: int) -> bool:
        """Whether to stop after ``done`` iterations; several processes agree: none can go on alone."""
        return self.is_told(runner, done) and _is_updated(runner, done) and done >= self._last

    def is_told(self, runner: Runner, done: int) -> bool:
        """Whether this process has to stop, which it tells the others, or another one has."""
        if self.signal is None and getattr(runner, 'stop_because', None) is not None:
            self.signal = signal.SIGTERM  # the others stop as if by that
        if get_world_size() > 1:
            # Another may be in the next update already; and beyond its end, when GPUs lag behind.
            counts = _iterations_of_an_update(runner)
            mine = self.signal and f'{(done // counts + 2) * counts} {int(self.signal)}'
            if agreed := ask_store(lambda store: _agree(store, mine)):
                self._last, number = map(int, agreed.split())
                self.signal = self.signal or number
        return self.signal is not None

    def _end_without_a_log(self, runner: Runner, done: int) -> None:
        """End the run when its logs cannot be written, such as on a full disk; saved, if that is possible."""
        if runner.log_failure is None or not _is_updated(runner, done):
            return
        try:
            self._save(runner)
        except UserError:
            saved = f'Nor could {INTERRUPTED}. The checkpoints before it are as they were;'
        else:
            saved = f'The run was stopped after iteration {self._position["iter"]} and saved;'
        text = describe_unwritable(runner.log_failure)
        raise UserError(f'{text} {saved} make room and continue with --resume.') from runner.log_failure

    def stop(self, runner: Runner) -> None:
        """Save and leave."""
        # In a validation a process may come here alone: the main one may be waiting for its results.
        with contextlib.nullcontext() if self._validating else _others_waiting():
            self._save(runner)
        because = getattr(runner, 'stop_because', None)
        name = 'too many bad images' if because else signal.Signals(self.signal).name
        path = Path(runner.work_dir) / INTERRUPTED
        say(f'{name}: stopped after iteration {self._position["iter"]} and saved {path}; go on with --resume')
        raise because or Interrupted(self.signal)

    def _save(self, runner: Runner) -> None:
        if self._validating:  # averaged weights are in the place of the trained ones
            for hook in runner.hooks:
                if isinstance(hook, EMAHook):
                    hook.after_val_epoch(runner)
        runner.save_checkpoint(runner.work_dir, INTERRUPTED, meta=dict(self._position))


def _iterations_of_an_update(runner: Runner) -> int:
    wrapper = runner.optim_wrapper
    wrappers = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
    return math.lcm(*(one._accumulative_counts for one in wrappers))


def _is_updated(runner: Runner, done: int) -> bool:
    """Whether the gradients of all ``done`` iterations are in the weights."""
    return done % _iterations_of_an_update(runner) == 0 or done == runner.max_iters


def _agree(store: dist.Store, mine: str | None) -> str | None:
    """The first proposal that any process made, as all of them see it."""
    if mine:
        return store.compare_set(_STOP_KEY, '', mine).decode()
    return store.get(_STOP_KEY).decode() if store.check([_STOP_KEY]) else None


@contextlib.contextmanager
def _others_waiting() -> Iterator[None]:
    """Others do not end before the main process has saved: a launcher ends all when one has ended."""
    try:
        yield
    finally:
        if get_world_size() > 1:
            with contextlib.suppress(RuntimeError):  # the process with the store may be gone
                if is_main_process():
                    ask_store(lambda store: store.set(_SAVED_KEY, '1'))
                else:
                    ask_store(lambda store: store.wait([_SAVED_KEY]))
