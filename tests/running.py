"""Running the tools as a user does, each in a process of its own.

Importing torch and the upstream libraries takes a process several seconds. One process, which has done so and
nothing else, therefore waits for commands and forks for each of them.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
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

_context = multiprocessing.get_context('forkserver')
_context.set_forkserver_preload(['tests.preloaded'])


def start_tool(*command: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    """Run ``tools/<name> args`` to its end."""
    tool, *args = map(str, command)
    path = ROOT / 'tools' / tool
    if path.suffix == '.py':
        return run_script(path, *args, cwd=cwd)
    return subprocess.run(
        ['bash', str(path), *args], cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=SECONDS
    )


def run_script(path: Path, *args: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    """Run a Python file to its end, as ``python path args`` would."""
    argv = [str(path), *map(str, args)]
    with tempfile.TemporaryDirectory() as folder:
        texts = [Path(folder, name) for name in ('stdout', 'stderr')]
        process = _context.Process(target=_run, args=(argv, str(cwd), *map(str, texts)))
        process.start()
        process.join(SECONDS)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(argv, SECONDS, *(text.read_bytes() for text in texts))
        printed = [text.read_text() for text in texts]
    return subprocess.CompletedProcess(argv, process.exitcode, *printed)


def _run(argv: list[str], cwd: str, stdout: str, stderr: str) -> None:
    for number, path in ((1, stdout), (2, stderr)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    multiprocessing.set_start_method(None, force=True)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(ENVIRONMENT)
    sys.argv = argv
    sys.path.insert(0, str(Path(argv[0]).parent))
    runpy.run_path(argv[0], run_name='__main__')


def run_tool(*command: str | Path, cwd: Path = ROOT) -> str:
    """What the tool printed; fails with that text where the tool failed."""
    result = start_tool(*command, cwd=cwd)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr
