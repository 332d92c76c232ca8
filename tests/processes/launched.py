"""Two processes of the toy training, started as tools/dist_train.sh does."""

import os
import select
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

from mdvision.processes import peers
from tests.running import ENVIRONMENT, ROOT, context, enter, popen

TOY = ROOT / 'tests/engine/toy_process.py'
GRACE = 3.0  # seconds; tools/dist_run.py gives its processes 10
PEER_SECONDS = 1.5  # mdvision.processes.peers waits 3 for each answer


class Launched:
    """The launcher and its two processes.

    Args:
        work_dir: of the training.
        arguments: more of them.
        forked: they are forks of the process that has imported everything, and the launcher waits less for
            processes that do not end, and they less for each other's answers.
    """

    def __init__(self, work_dir: Path, *arguments: str, forked: bool = True):
        self.work_dir = work_dir
        command = [str(TOY), '2', str(work_dir), '--epochs', '50', '--seconds', '0.1', *arguments]
        if forked:
            self.process = _ForkedLauncher(command)
        else:
            self.process = subprocess.Popen(
                [sys.executable, ROOT / 'tools/dist_run.py', *command],
                cwd=ROOT, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip

    def wait_until_it_trains(self) -> None:
        end = time.monotonic() + 120
        while not any('iter  3' in log.read_text() for log in self.work_dir.glob('*/*.log')):
            assert time.monotonic() < end
            time.sleep(0.05)

    def child(self, rank: int) -> int:
        """The process of that rank; they are started in this order."""
        children = Path(f'/proc/{self.process.pid}/task/{self.process.pid}/children').read_text().split()
        return int(children[rank])

    def error(self) -> str:
        """What the end said; asserts what holds for every one."""
        error = self.process.communicate(timeout=90)[1]
        assert 'Traceback' not in error
        assert 'gloo' not in error
        assert len(error.splitlines()) < 12, error
        assert not (self.work_dir / 'run.lock').exists()
        return error


class _ForkedLauncher:
    """The part of ``subprocess.Popen`` that is needed."""

    def __init__(self, command: list[str]):
        self._stderr, written = context.Pipe(duplex=False)
        self._process = context.Process(target=_launch, args=(command, written))
        self._process.start()
        written.close()
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def communicate(self, timeout: float) -> tuple[None, str]:
        """Wait until all that write to the pipe have ended."""
        text, end = b'', time.monotonic() + timeout
        while True:
            assert select.select([self._stderr], [], [], max(0, end - time.monotonic()))[0], text.decode()
            piece = os.read(self._stderr.fileno(), 65536)
            if not piece:
                self._process.join()
                return None, text.decode()
            text += piece


def _launch(command: list[str], written: Connection) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(written.fileno(), 2)
    written.close()
    os.chdir(ROOT)
    enter(ENVIRONMENT)
    sys.path.insert(0, str(ROOT / 'tools'))
    import dist_run

    dist_run.GRACE = GRACE
    peers._SECONDS = PEER_SECONDS
    subprocess.Popen = popen
    sys.exit(dist_run.main(command))
