"""Running the tools as a user does, each in a process of its own.

Importing torch and the upstream libraries takes a process several seconds. One process, which has done so and
nothing else, therefore waits for commands and forks for each of them.
"""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {
    **{k: v for k, v in os.environ.items() if k not in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK')},
    'OMP_NUM_THREADS': '1',
    'MPLBACKEND': 'Agg',
    'CUDA_VISIBLE_DEVICES': '',
    'PYTHON': sys.executable,
    'PYTHONPATH': str(ROOT),
}
SECONDS = 300  # the longest that a command may take

context = multiprocessing.get_context('forkserver')
context.set_forkserver_preload(['tests.preloaded'])


def start_tool(
    *command: str | Path, cwd: Path = ROOT, fork_children: bool = False
) -> subprocess.CompletedProcess:
    """Run ``tools/<name> args`` to its end."""
    tool, *args = map(str, command)
    path = ROOT / 'tools' / tool
    if path.suffix == '.py':
        return run_script(path, *args, cwd=cwd, fork_children=fork_children)
    return subprocess.run(
        ['bash', str(path), *args], cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=SECONDS
    )


def run_script(
    path: Path, *args: str | Path, cwd: Path = ROOT, fork_children: bool = False
) -> subprocess.CompletedProcess:
    """Run a Python file to its end, as ``python path args`` would.

    Args:
        fork_children: Python files that it runs in processes are run in forks of it too.
    """
    argv = [str(path), *map(str, args)]
    with tempfile.TemporaryDirectory() as folder:
        texts = [Path(folder, name) for name in ('stdout', 'stderr')]
        process = context.Process(target=_run, args=(argv, str(cwd), *map(str, texts), fork_children))
        process.start()
        process.join(SECONDS)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(argv, SECONDS, *(text.read_bytes() for text in texts))
        printed = [text.read_text() for text in texts]
    return subprocess.CompletedProcess(argv, process.exitcode, *printed)


def _run(argv: list[str], cwd: str, stdout: str, stderr: str, fork_children: bool) -> None:
    for number, path in ((1, stdout), (2, stderr)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.chdir(cwd)
    enter(ENVIRONMENT)
    if fork_children:
        subprocess.Popen = popen
    _run_as_main(argv)


def enter(environment: dict[str, str]) -> None:
    """Make a fork find what a new process would."""
    multiprocessing.set_start_method(None, force=True)
    os.environ.clear()
    os.environ.update(environment)


def _run_as_main(argv: list[str]) -> None:
    sys.argv = argv
    sys.path.insert(0, str(Path(argv[0]).parent))
    runpy.run_path(argv[0], run_name='__main__')


_Popen = subprocess.Popen


def popen(command: list[str], *args, **settings) -> '_Popen | Fork':
    """``subprocess.Popen`` that forks where the command is ``python file.py args`` with a file of ours."""
    if command[0] == sys.executable and Path(command[1]).parent in (ROOT / 'tools', ROOT / 'tests/engine'):
        return Fork(command[1:], *args, **settings)
    return _Popen(command, *args, **settings)


class Fork:
    """A Python file run in a fork of this process; the part of ``subprocess.Popen`` that is needed."""

    def __init__(
        self, argv: list[str], env: dict[str, str] | None = None, stdin: int | None = None, stdout=None,
        stderr: int | None = None, preexec_fn: Callable[[], object] | None = None, close_fds: bool = False,
    ):  # fmt: skip
        assert stdin in (None, subprocess.DEVNULL) and stderr in (None, subprocess.STDOUT)

        def run() -> None:
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            if preexec_fn is not None:
                preexec_fn()
            if stdout is not None:
                os.dup2(stdout.fileno(), 1)
            if stderr is not None:
                os.dup2(1, 2)
            enter(dict(os.environ) if env is None else env)
            _run_as_main(argv)

        self._process = multiprocessing.get_context('fork').Process(target=run)
        self._process.start()

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    poll = returncode.fget

    def wait(self) -> int:
        self._process.join()
        return self.returncode

    def send_signal(self, number: int) -> None:
        os.kill(self._process.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


def run_tool(*command: str | Path, cwd: Path = ROOT, fork_children: bool = False) -> str:
    """What the tool printed; fails with that text where the tool failed."""
    result = start_tool(*command, cwd=cwd, fork_children=fork_children)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr
