"""Signals that stop a run: Ctrl-C, a job scheduler, a closed terminal."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator

__all__ = ['STOP_SIGNALS', 'DeafWorker', 'ToldToStop', 'ending_at_once', 'handling']

# Slurm sends the last one on request: --signal=USR1@60, a minute before the time limit.
STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ('SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1') if hasattr(signal, name)
)


class ToldToStop(KeyboardInterrupt):
    """A signal arrived where there is nothing to save; unfinished work is cleaned up on the way out."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.signal = number


@contextlib.contextmanager
def handling(handler: Callable[[int], None]) -> Iterator[None]:
    """Call ``handler`` with the number of a signal that asks this process to stop.

    An ignored signal stays ignored: ``nohup`` and the shell's ``&`` rely on that.
    """
    process = os.getpid()

    def on_signal(number: int, frame: object) -> None:
        if os.getpid() == process:
            handler(number)
        elif number == signal.SIGTERM:  # a child that inherited this and that its parent wants to end
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    before = {}
    with contextlib.suppress(ValueError):  # only the main thread may install handlers
        for number in STOP_SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


@contextlib.contextmanager
def ending_at_once() -> Iterator[None]:
    """Turn a signal into :class:`ToldToStop`, once, so that locks and temporary files are removed."""

    def end(number: int) -> None:
        for repeated in STOP_SIGNALS:
            signal.signal(repeated, signal.SIG_IGN)
        raise ToldToStop(number)

    with handling(end):
        yield


class DeafWorker:
    """Initialize a data worker so that it leaves signals to the training process.

    A terminal and a scheduler signal the whole group. The run needs its workers until it has reached a point
    where it can stop, and then ends them itself.

    Args:
        then: the ``worker_init_fn`` of the data loader, if it has one.
    """

    def __init__(self, then: Callable[[int], None] | None):
        self._then = then

    def __call__(self, worker: int) -> None:
        for number in STOP_SIGNALS:
            if number != signal.SIGTERM:
                signal.signal(number, signal.SIG_IGN)
        # Python ends its child processes with this signal, so the sender matters; not every system reports
        # it.
        if hasattr(signal, 'sigwaitinfo'):
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
            threading.Thread(target=_end_for_the_parent, daemon=True).start()
        if self._then is not None:
            self._then(worker)


def _end_for_the_parent() -> None:
    parent = os.getppid()
    while signal.sigwaitinfo([signal.SIGTERM]).si_pid != parent:
        pass
    os._exit(0)
