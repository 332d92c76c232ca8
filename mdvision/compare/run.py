"""Train the runs of a comparison, each in a separate process, and resume interrupted ones."""

import contextlib
import datetime
import json
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mdvision.checkpoints.reading import read_checkpoint
from mdvision.errors import UserError
from mdvision.work_dir.files import RESULTS, STEP_CHECKPOINT
from mdvision.work_dir.scalars import read_scalars, scalar_files

__all__ = ['Run', 'Slots', 'locked', 'run_all']

OUTPUT = 'output.txt'


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        title: for people, such as ``SE, seed 0``.
        folder: its work directory.
        command: the command line, without what resumes it.
        max_epochs: its length; None if it counts iterations.
        val_steps: epochs whose validation is needed, in addition to the last; empty for none.
    """

    title: str
    folder: Path
    command: tuple[str, ...]
    max_epochs: int | None
    val_steps: frozenset[int] = frozenset()

    def results(self) -> dict | None:
        """Return the results of a finished run, or None."""
        try:
            record = json.loads((self.folder / RESULTS).read_text(encoding='utf-8'))
        except (OSError, json.JSONDecodeError):  # none yet, or not completely written
            return None
        return record if 'metrics' in record else None

    def validations(self) -> list[dict]:
        """Return the lines of all validations in the log."""
        with contextlib.suppress(UserError):  # a log without a complete line
            return read_scalars(scalar_files(self.folder))[1]
        return []

    def checkpoint(self) -> Path | None:
        """Return the checkpoint from which to resume without missing anything: the end of a non-final epoch.

        From the final one, the run would be over before its validation. A run that counts iterations cannot
        be resumed with the random numbers it would have had: it starts over.
        """
        if self.max_epochs is None:
            return None
        found = [STEP_CHECKPOINT.fullmatch(path.name) for path in self.folder.glob('epoch_*.pth')]
        epochs = sorted((int(name[2]) for name in found if name), reverse=True)
        validated = {row.get('step') for row in self.validations()} if self.val_steps else set()
        for epoch in epochs:
            path = self.folder / f'epoch_{epoch}.pth'
            missed = {step for step in self.val_steps if step <= epoch} - validated
            if epoch >= self.max_epochs or missed:
                continue
            with contextlib.suppress(UserError):  # not completely written
                read_checkpoint(str(path))
                return path
        return None


class Slots:
    """How many runs are active at a time, and where.

    Args:
        jobs: the number of runs at a time.
        gpus: values for CUDA_VISIBLE_DEVICES, assigned in turn; empty to leave it unchanged.
        threads: threads per process; None to let the run choose.
    """

    def __init__(self, jobs: int, gpus: Sequence[str] = (), threads: int | None = None):
        self.jobs, self.gpus, self.threads = jobs, list(gpus), threads

    def environment(self, slot: int) -> dict[str, str]:
        env = dict(os.environ)
        if self.threads:
            env['OMP_NUM_THREADS'] = str(self.threads)
        if self.gpus:
            env['CUDA_VISIBLE_DEVICES'] = self.gpus[slot % len(self.gpus)]
        return env

    def arguments(self) -> list[str]:
        return ['--threads', str(self.threads)] if self.threads else []


def run_all(runs: Sequence[Run], slots: Slots, check: Callable[[Run], object] | None = None) -> None:
    """Train the runs that are not finished yet.

    Args:
        check: called with every finished run; an error it raises ends the others too.

    Raises:
        UserError: a run failed; the other active ones are stopped, and resumed next time.
    """
    waiting = [(number, run) for number, run in enumerate(runs, start=1) if run.results() is None]
    if len(waiting) < len(runs):
        print(f'{len(runs) - len(waiting)} of {len(runs)} runs were already finished')
    active: dict[int, tuple[subprocess.Popen, int, Run, float]] = {}
    try:
        while waiting or active:
            for slot in range(slots.jobs):
                if slot not in active and waiting:
                    number, run = waiting.pop(0)
                    checkpoint = run.checkpoint()
                    how = f'resumes after {checkpoint.stem}' if checkpoint else 'starts'
                    print(f'[{number}/{len(runs)}] {run.title}: {how} (output: {run.folder / OUTPUT})')
                    active[slot] = (_start(run, checkpoint, slots, slot), number, run, time.time())
            time.sleep(0.1)
            for slot, (process, number, run, started) in list(active.items()):
                if process.poll() is None:
                    continue
                del active[slot]
                if process.returncode or run.results() is None:
                    raise UserError(_describe_failure(run, process.returncode))
                took = datetime.timedelta(seconds=round(time.time() - started))
                print(f'[{number}/{len(runs)}] {run.title}: finished in {took}')
                if check is not None:
                    check(run)
    finally:
        for process, *_ in active.values():
            process.terminate()
        for process, *_ in active.values():
            process.wait()


def _start(run: Run, checkpoint: Path | None, slots: Slots, slot: int) -> subprocess.Popen:
    command = [*run.command, *slots.arguments(), *(['--resume', str(checkpoint)] if checkpoint else [])]
    run.folder.mkdir(parents=True, exist_ok=True)
    with open(run.folder / OUTPUT, 'a', encoding='utf-8') as output:
        output.write(f'$ {shlex.join(command)}\n')
        output.flush()
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=slots.environment(slot),
            close_fds=False,  # it holds the lock too
        )


def _describe_failure(run: Run, status: int, lines: int = 25) -> str:
    log = run.folder / OUTPUT
    tail = log.read_text(encoding='utf-8', errors='replace').splitlines()[-lines:]
    what = f'failed with status {status}' if status else 'ended without writing results.json'
    return (
        f'{run.title} {what}. The end of {log}:\n\n  ' + '\n  '.join(tail) + '\n\n'
        'Run the same command again when the cause is fixed: finished runs are kept, this one is tried again.'
    )


@contextlib.contextmanager
def locked(folder: Path):
    """Keep a second comparison out of the folder, even while a run of a killed one is still active.

    Raises:
        UserError: the folder is in use.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:  # no such lock on this system
        yield
        return
    with open(folder / '.lock', 'w') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(
                f'{folder} is in use: another comparison, or a run of one that was killed, is still active '
                'there. Wait for it or end it, or choose another --work-dir.'
            ) from error
        # Runs inherit it: the lock ends with the last process that has the file open.
        os.set_inheritable(file.fileno(), True)
        yield
