"""Run a tool in several processes, for dist_train.sh and dist_test.sh: TOOL PROCESSES [arguments].

Start the processes of this machine with the variables that torchrun sets, forward signals to them, and
report which one ended first and why. Standard library only, so that it starts quickly.
"""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

__all__ = ['Processes', 'main']

SIGNALS = tuple(
    getattr(signal, name) for name in ('SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1') if hasattr(signal, name)
)
# After one process fails: time for the others to report what they see, then to end on SIGTERM.
GRACE = 10.0


class Processes:
    """The processes of one run on this machine.

    Args:
        command: the command of every process.
        environments: one set of variables per process; ``RANK`` names it.
    """

    def __init__(self, command: list[str], environments: list[dict[str, str]]):
        self.names = [environment['RANK'] for environment in environments]
        self._running = [
            subprocess.Popen(command, env=environment, preexec_fn=_end_with_parent(os.getpid()))
            for environment in environments
        ]

    def send(self, number: int) -> None:
        for process in self._running:
            if process.poll() is None:
                process.send_signal(number)

    def wait(self) -> tuple[str, int] | None:
        """Wait for all processes; return the name and status of the first that failed, or None.

        After a failure the others cannot continue. A process stopped by a signal has already notified the
        others.
        """
        first, deadline, last_means = None, float('inf'), signal.SIGTERM
        while any(process.poll() is None for process in self._running):
            if first is None and (first := self._failed()):
                if not _was_told_to_stop(first[1]):
                    _say(first, len(self._running))
                    deadline = time.monotonic() + GRACE
                else:
                    self.send(signal.SIGTERM)
            if time.monotonic() > deadline:
                self.send(last_means)
                if hasattr(signal, 'SIGCONT'):  # a suspended process would not react
                    self.send(signal.SIGCONT)
                last_means, deadline = getattr(signal, 'SIGKILL', last_means), time.monotonic() + GRACE
            time.sleep(0.05)
        if first is None and (first := self._failed()) and not _was_told_to_stop(first[1]):
            _say(first, len(self._running))
        return first

    def _failed(self) -> tuple[str, int] | None:
        ended = [(name, process.poll()) for name, process in zip(self.names, self._running, strict=True)]
        # A killed process (negative status) makes others fail, not the other way round.
        return min(((name, status) for name, status in ended if status), key=lambda one: one[1], default=None)


def _was_told_to_stop(status: int) -> bool:
    return status - 128 in SIGNALS


def _say(ended: tuple[str, int], count: int) -> None:
    name, status = ended
    if status > 0:
        how = f'ended with status {status}; the reason is in its own message'
    else:
        how = f'was ended by {signal.Signals(-status).name}'
        if status == -9:
            how += ', as the system does when memory runs out'
    advice = ' Continue with --resume.' if 'train.py' in sys.argv else ''
    others = ' The others end with it.' if count > 1 else ''
    with contextlib.suppress(OSError):  # nobody reads the console any more
        print(f'\nError: process {name} {how}.{others}{advice}', file=sys.stderr, flush=True)


def _end_with_parent(parent: int):
    """Return what a child runs first on Linux: request SIGTERM for itself when this process is killed."""
    if sys.platform != 'linux':
        return None
    libc = ctypes.CDLL(None)

    def end_with_parent() -> None:
        libc.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os._exit(128 + signal.SIGTERM)

    return end_with_parent


def _free_port() -> str:
    with socket.socket() as free:
        free.bind(('', 0))
        return str(free.getsockname()[1])


def _number(text: str, name: str, least: int) -> int:
    if not text.isdigit() or int(text) < least:
        sys.exit(f'Error: {name} must be a number of {least} or more, got {text!r}')
    return int(text)


def environments(processes: int) -> list[dict[str, str]]:
    """Return the variables of each process here, from NNODES, NODE_RANK, MASTER_ADDR and PORT."""
    nodes = _number(os.environ.get('NNODES', '1'), 'NNODES', 1)
    node = _number(os.environ.get('NODE_RANK', '0'), 'NODE_RANK', 0)
    # Every machine must use the same port.
    port = os.environ.get('PORT') or (_free_port() if nodes == 1 else '29500')
    shared = dict(
        os.environ,
        WORLD_SIZE=str(nodes * processes),
        LOCAL_WORLD_SIZE=str(processes),
        MASTER_ADDR=os.environ.get('MASTER_ADDR', '127.0.0.1'),
        MASTER_PORT=port,
    )
    # torch and mmengine would each warn about these; train.py sets the number of threads itself.
    shared.setdefault('OMP_NUM_THREADS', '1')
    shared.setdefault('MKL_NUM_THREADS', '1')
    # When a process is gone, torch prints C++ stack frames for each missing reply.
    shared.setdefault('TORCH_CPP_LOG_LEVEL', 'ERROR')
    return [
        dict(shared, RANK=str(node * processes + local), LOCAL_RANK=str(local)) for local in range(processes)
    ]


def main(argv: list[str]) -> int:
    """Run the tool in several processes and return the exit status."""
    tool, count, *arguments = argv
    count = _number(count, 'PROCESSES', 1)
    command = [sys.executable, str(Path(__file__).parent / tool), *arguments, '--launcher', 'pytorch']
    received = []
    for number in SIGNALS:  # before any process exists that could miss one
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, frame: received.append(number) or hand_on(number))
    processes = None

    def hand_on(number: int) -> None:
        if processes is not None:
            processes.send(number)

    processes = Processes(command, environments(count))
    for number in received:
        processes.send(number)
    first = processes.wait()
    if first is None:
        return 0
    return first[1] if first[1] > 0 else 1


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
