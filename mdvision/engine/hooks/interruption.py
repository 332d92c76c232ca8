"""Stop a training run on request without losing progress."""

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
_STOPPING = b'\nstopping after this update (Ctrl-C again: stop immediately, without saving)\n'


class Interrupted(Exception):  # noqa: N818
    """The run was interrupted and has saved its position."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.signal = number


def train_interruptibly(runner: Runner) -> None:
    """Run ``runner.train()``; on a signal, finish the update, save a checkpoint to resume from, and stop.

    The signals are SIGTERM, SIGINT (Ctrl-C), SIGHUP (a closed terminal) and SIGUSR1.

    Raises:
        Interrupted: after saving. A second Ctrl-C instead raises ToldToStop immediately.
    """
    hook = _StopHook()
    runner.register_hook(hook)
    with hook.listening(), naming_the_folder(runner.work_dir):
        try:
            runner.train()
            if runner.log_failure is not None:
                unwritten = describe_unwritable(runner.log_failure)
                say(f'note: {unwritten} The training is complete, but its logs are not.')
        except Interrupted:
            raise
        except Exception as error:
            if error is getattr(runner, 'stop_because', None):
                raise
            # A worker that was just starting may have died of the signal, so the next batch never comes.
            # Or another process has left the validation.
            with contextlib.suppress(RuntimeError):
                hook.is_told(runner, runner.iter)
            if hook.signal is None or hook.in_iteration:
                raise_unused_parameters(runner.model, error)
                raise
            hook.stop(runner)


class _StopHook(Hook):
    """Check for the signal where a run may stop: after an update, an epoch or a validation batch.

    With gradient accumulation an update spans several iterations; between two updates each process has
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
                # Launchers forward what the whole group has already received: only a later Ctrl-C is new.
                if number == signal.SIGINT and time.monotonic() > self._told + 1:
                    for repeated in STOP_SIGNALS:
                        signal.signal(repeated, signal.SIG_IGN)
                    raise ToldToStop(number)
                return
            self.signal, self._told = number, time.monotonic()
            # Otherwise torch raises in the middle of an iteration when a worker dies of the same signal.
            if hasattr(signal, 'SIGCHLD'):
                signal.signal(signal.SIGCHLD, lambda number, frame: None)
            # The terminal may be closed, or the same Ctrl-C may have ended the program that reads the pipe.
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
        # At the end of an epoch, further steps follow: see after_train_epoch.
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
        """Return whether to stop after ``done`` iterations; processes agree, as none can continue alone."""
        return self.is_told(runner, done) and _is_updated(runner, done) and done >= self._last

    def is_told(self, runner: Runner, done: int) -> bool:
        """Return whether this process must stop, which it tells the others, or another one must."""
        if self.signal is None and getattr(runner, 'stop_because', None) is not None:
            self.signal = signal.SIGTERM  # the others stop as on this signal
        if get_world_size() > 1:
            # Another process may already be in the next update, or past its end if GPUs lag behind.
            counts = _iterations_of_an_update(runner)
            mine = self.signal and f'{(done // counts + 2) * counts} {int(self.signal)}'
            if agreed := ask_store(lambda store: _agree(store, mine)):
                self._last, number = map(int, agreed.split())
                self.signal = self.signal or number
        return self.signal is not None

    def _end_without_a_log(self, runner: Runner, done: int) -> None:
        """End the run if its logs cannot be written, for example on a full disk; save it if possible."""
        if runner.log_failure is None or not _is_updated(runner, done):
            return
        try:
            self._save(runner)
        except UserError:
            saved = f'{INTERRUPTED} could not be written either. Earlier checkpoints are intact;'
        else:
            saved = f'The run was stopped after iteration {self._position["iter"]} and saved;'
        text = describe_unwritable(runner.log_failure)
        raise UserError(f'{text} {saved} free some space and continue with --resume.') from runner.log_failure

    def stop(self, runner: Runner) -> None:
        """Save and stop."""
        # During validation a process may get here alone: the main one may be waiting for its results.
        with contextlib.nullcontext() if self._validating else _others_waiting():
            self._save(runner)
        because = getattr(runner, 'stop_because', None)
        name = 'too many bad images' if because else signal.Signals(self.signal).name
        path = Path(runner.work_dir) / INTERRUPTED
        done = self._position['iter']
        say(f'{name}: stopped after iteration {done} and saved {path}; continue with --resume')
        raise because or Interrupted(self.signal)

    def _save(self, runner: Runner) -> None:
        if self._validating:  # averaged weights have replaced the trained ones
            for hook in runner.hooks:
                if isinstance(hook, EMAHook):
                    hook.after_val_epoch(runner)
        runner.save_checkpoint(runner.work_dir, INTERRUPTED, meta=dict(self._position))


def _iterations_of_an_update(runner: Runner) -> int:
    wrapper = runner.optim_wrapper
    wrappers = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
    return math.lcm(*(one._accumulative_counts for one in wrappers))


def _is_updated(runner: Runner, done: int) -> bool:
    """Return whether the gradients of all ``done`` iterations have been applied to the weights."""
    return done % _iterations_of_an_update(runner) == 0 or done == runner.max_iters


def _agree(store: dist.Store, mine: str | None) -> str | None:
    """Return the first proposal of any process, which all of them see."""
    if mine:
        return store.compare_set(_STOP_KEY, '', mine).decode()
    return store.get(_STOP_KEY).decode() if store.check([_STOP_KEY]) else None


@contextlib.contextmanager
def _others_waiting() -> Iterator[None]:
    """Keep the others alive until the main process has saved: a launcher ends all when one ends."""
    try:
        yield
    finally:
        if get_world_size() > 1:
            with contextlib.suppress(RuntimeError):  # the process that holds the store may be gone
                if is_main_process():
                    ask_store(lambda store: store.set(_SAVED_KEY, '1'))
                else:
                    ask_store(lambda store: store.wait([_SAVED_KEY]))
