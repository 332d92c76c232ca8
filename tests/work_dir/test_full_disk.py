"""A disk that fills up at any moment: one error with the file, whole checkpoints, nothing lost."""

import builtins
import errno
import functools
import io
import os
import re
import resource
import signal
import threading
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from mdvision import UserError
from mdvision.commands import faults
from mdvision.commands import train as train_command
from mdvision.engine.hooks import checkpoint as saving
from mdvision.engine.hooks.csv_log import read_rows
from mdvision.engine.hooks.interruption import train_interruptibly
from mdvision.work_dir.folder import find_resumable
from mdvision.work_dir.full_disk import quiet_chart_threads
from mdvision.work_dir.lock import LOCK, lock_work_dir
from tests.engine.toy import make_runner

ARGS = Namespace(debug=False, resume=None)
EARLIER = ('results.json', 'curves.png', '20200101_000000/20200101_000000.log')


class Disk:
    """Counts what is done to files below a folder, and fails from the operation number ``full`` on.

    Making a file or a folder counts, writing, forcing to the disk (``fsync``) and renaming; deleting does
    not.
    """

    def __init__(self, monkeypatch, folder: Path, full: int | None, lasts: bool = True):
        self.folder, self.full, self.lasts, self.count = str(folder), full, lasts, 0
        self.kinds: set[str] = set()
        self.names: dict[int, str] = {}  # of descriptors
        real_open, low_open, mkdir = io.open, os.open, os.mkdir

        def opened(file, mode='r', *args, **kwargs):
            name = os.fsdecode(file) if not isinstance(file, int) else ''
            if not self._is_below(name) or mode.strip('bt') == 'r':
                return real_open(file, mode, *args, **kwargs)
            if not os.path.exists(name):
                self.touch('open', name)
            return _File(real_open(file, mode, *args, **kwargs), self)

        def opened_low(name, flags, *args, **kwargs):
            if self._is_below(name) and flags & os.O_CREAT and not os.path.exists(name):
                self.touch('os.open', name)
            descriptor = low_open(name, flags, *args, **kwargs)
            self.names[descriptor] = os.fsdecode(name)
            return descriptor

        def of_descriptor(function):
            def called(descriptor, *args):
                if self._is_below(self.names.get(descriptor, '')):
                    self.touch(function.__name__)
                return function(descriptor, *args)

            return called

        def of_name(function):
            def called(name, *args, **kwargs):
                if self._is_below(name) and not (function is mkdir and os.path.isdir(name)):
                    self.touch(function.__name__, name)
                return function(name, *args, **kwargs)

            return called

        monkeypatch.setattr(builtins, 'open', opened)
        monkeypatch.setattr(io, 'open', opened)
        monkeypatch.setattr(os, 'open', opened_low)
        for names, failing in (
            (('write', 'fsync'), of_descriptor),
            (('mkdir', 'rename', 'replace'), of_name),
        ):
            for name in names:
                monkeypatch.setattr(os, name, failing(getattr(os, name)))

    def _is_below(self, name) -> bool:
        return os.fsdecode(name).startswith(self.folder)

    def touch(self, kind: str, name=None) -> None:
        self.count += 1
        self.kinds.add(kind)
        if self.full is not None and (self.count == self.full or (self.lasts and self.count > self.full)):
            # As the system: who opens is told the name, who writes is not.
            raise OSError(errno.ENOSPC, 'No space left on device', *((name and [os.fsdecode(name)]) or ()))


class _File:
    """What is written reaches the disk when it is flushed, or the file is closed."""

    def __init__(self, file, disk: Disk):
        self._file, self._disk, self._pending = file, disk, []

    def write(self, data) -> int:
        self._pending.append(data)
        return len(data)

    def flush(self) -> None:
        if self._pending:
            self._disk.touch('write')
            for data in self._pending:
                self._file.write(data)
            self._pending = []
        self._file.flush()

    def close(self) -> None:
        try:
            self.flush()
        finally:
            self._file.close()

    def seek(self, *args) -> int:
        self.flush()
        return self._file.seek(*args)

    def fileno(self) -> int:
        self._disk.names[self._file.fileno()] = self._file.name
        return self._file.fileno()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def __iter__(self):
        return iter(self._file)

    def __getattr__(self, name: str):
        return getattr(self._file, name)


def settings(**more) -> dict:
    charts = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
    return dict(
        train_dataloader=dict(batch_size=4, dataset=dict(type='ToyData', size=8)),
        visualizer=dict(type='Visualizer', vis_backends=charts),
        checkpoint=dict(max_keep_ckpts=1, save_best='score', rule='greater'),
    ) | more  # fmt: skip


@HOOKS.register_module(force=True)
class FullAndTold(Hook):
    """In the third iteration the disk is full, and SIGTERM comes."""

    disk: Disk

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 2:
            self.disk.full = self.disk.count + 1
            os.kill(os.getpid(), signal.SIGTERM)


def train(work_dir: Path, hooks: tuple = ()) -> int:
    def command(args) -> None:
        with lock_work_dir(work_dir):
            checkpoint = find_resumable(work_dir)
            runner = make_runner(
                work_dir, 2, hooks, resume=str(checkpoint) if checkpoint else None, **settings()
            )
            runner.make_room = functools.partial(train_command._make_room, runner)
            train_interruptibly(runner)

    return faults.run(command, ARGS)


def weights(path: Path) -> dict:
    return torch.load(path, weights_only=False)['state_dict']


def check_a_full_disk(work_dir: Path, whole: Path, full: int, lasts: bool, monkeypatch, capsys) -> None:
    """What holds after anything that fails."""
    leave_earlier_run(work_dir)
    with monkeypatch.context() as patched:
        Disk(patched, work_dir, full, lasts)
        status = train(work_dir)
    shown = capsys.readouterr()
    assert 'Traceback' not in shown.out + shown.err, (full, shown.err)
    if status:
        assert status == 1
        assert 'No space left on device' in shown.err, (full, shown.err)
        assert str(work_dir) in shown.err, (full, shown.err)
        advice = ('free some space', 'Make room', 'another --work-dir')
        assert any(text in shown.err for text in advice), (full, shown.err)
        assert shown.err.count('Error') == 1 + shown.err.count('OSError'), (full, shown.err)
    else:
        assert not lasts
        assert 'No space left on device' in shown.out, (full, shown.out)
    for checkpoint in work_dir.glob('*.pth'):
        weights(checkpoint)
    for name in EARLIER:
        assert len(list(work_dir.rglob(Path(name).name))) == 1, full
    assert not [*work_dir.rglob('*.pth.*tmp'), *work_dir.rglob('*.csv.tmp'), *work_dir.glob(LOCK)], full
    assert train(work_dir) == 0
    ours, theirs = weights(work_dir / 'epoch_2.pth'), weights(whole / 'epoch_2.pth')
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs), full
    if status:
        steps = [(row['phase'], row['iter']) for row in read_rows(work_dir / 'metrics.csv')]
        assert len(set(steps)) == len(steps)


def leave_earlier_run(work_dir: Path) -> None:
    """What a run without a checkpoint left."""
    for name in EARLIER:
        (work_dir / name).parent.mkdir(parents=True, exist_ok=True)
        (work_dir / name).touch()


def writes_of_a_run(work_dir: Path, monkeypatch) -> int:
    leave_earlier_run(work_dir)
    with monkeypatch.context() as patched:
        disk = Disk(patched, work_dir, None)
        assert train(work_dir) == 0
    assert disk.kinds == {'open', 'os.open', 'write', 'fsync', 'mkdir', 'rename', 'replace'}
    return disk.count


@pytest.mark.fault('c2', 'c', '4.10')
@pytest.mark.parametrize('lasts', [True, False])
def test_a_full_disk_at_some_writes_of_a_run(tmp_path, monkeypatch, capsys, lasts):
    count = writes_of_a_run(tmp_path / 'whole', monkeypatch)
    assert count > 40
    for full in range(1 + lasts, count - 2, count // 7):
        check_a_full_disk(tmp_path / f'at_{full}', tmp_path / 'whole', full, lasts, monkeypatch, capsys)


@pytest.mark.kills
@pytest.mark.fault('c2')
@pytest.mark.parametrize('lasts', [True, False])
def test_a_full_disk_at_every_write_of_a_run(tmp_path, monkeypatch, capsys, lasts):
    count = writes_of_a_run(tmp_path / 'whole', monkeypatch)
    for full in range(1, count + 1):
        check_a_full_disk(tmp_path / f'at_{full}', tmp_path / 'whole', full, lasts, monkeypatch, capsys)


@pytest.mark.fault('c2', 'c', '4.10', '4.13')
def test_a_signal_while_the_disk_is_full(tmp_path, monkeypatch, capsys):
    """The run ends at once, in no other state than it had saved, and says what is to be done."""
    assert train(tmp_path / 'whole') == 0
    work_dir = tmp_path / 'run'
    with monkeypatch.context() as patched:
        FullAndTold.disk = Disk(patched, work_dir, None)
        assert train(work_dir, (dict(type='FullAndTold'),)) == 1
    error = capsys.readouterr().err
    assert 'Traceback' not in error
    assert re.search(r'Error: .*could not be written: .*No space left on device', error), error
    assert 'free some space and continue with --resume' in error
    assert {path.name for path in work_dir.glob('*.pth')} == {'epoch_1.pth', 'best_score_epoch_1.pth'}
    assert not (work_dir / LOCK).exists()
    assert train(work_dir) == 0
    ours, theirs = (weights(tmp_path / name / 'epoch_2.pth') for name in ('run', 'whole'))
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


@pytest.mark.fault('4.11')
def test_a_limit_of_the_size_of_files(tmp_path):
    """The system's own refusal, in the writing of a checkpoint."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(UserError, match=r'epoch_1\.pth could not be written.*File too large'):
            saving.write_atomically(tmp_path / 'epoch_1.pth', lambda path: path.write_bytes(bytes(2000)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert list(tmp_path.iterdir()) == []


def test_what_a_thread_of_tensorboard_raises_is_said_once(monkeypatch):
    shown = []
    monkeypatch.setattr(threading, 'excepthook', shown.append)
    quiet_chart_threads()
    charts = type('Writer', (threading.Thread,), dict(__module__='tensorboard.writer'))()
    full, other = OSError(errno.ENOSPC, 'No space left'), ValueError()
    thrown = [
        SimpleNamespace(thread=thread, exc_value=error)
        for thread, error in ((charts, full), (charts, other), (threading.Thread(), full))
    ]
    for args in thrown:
        threading.excepthook(args)
    assert shown == thrown[1:]
