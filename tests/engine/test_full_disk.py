"""A disk that fills up at any moment: one error with the file, whole checkpoints, nothing lost."""

import builtins
import errno
import io
import os
import resource
import signal
from argparse import Namespace
from pathlib import Path

import pytest
import torch

from mdvision import UserError
from mdvision.engine import faults, saving
from mdvision.engine.csv_log import read_rows
from mdvision.engine.interruption import train_until_told_to_stop
from mdvision.engine.lock import lock_work_dir
from mdvision.engine.work_dir import find_resumable
from tests.engine.toy import make_runner

ARGS = Namespace(debug=False, resume=None)


class Disk:
    """Counts what is written below a folder, and fails from the write number ``full`` on.

    Making and writing a file count; renaming and deleting need no room.
    """

    def __init__(self, monkeypatch, folder: Path, full: int | None, lasts: bool = True):
        self.folder, self.full, self.lasts, self.count = str(folder), full, lasts, 0
        real = io.open

        def opened(file, mode='r', *args, **kwargs):
            name = os.fsdecode(file) if not isinstance(file, int) else ''
            if not name.startswith(self.folder) or mode.strip('bt') == 'r':
                return real(file, mode, *args, **kwargs)
            if not os.path.exists(name):
                self.write()
            return _File(real(file, mode, *args, **kwargs), self)

        monkeypatch.setattr(builtins, 'open', opened)
        monkeypatch.setattr(io, 'open', opened)

    def write(self) -> None:
        self.count += 1
        if self.full is not None and (self.count == self.full or (self.lasts and self.count > self.full)):
            raise OSError(errno.ENOSPC, 'No space left on device')


class _File:
    def __init__(self, file, disk: Disk):
        self._file, self._disk = file, disk

    def write(self, data):
        self._disk.write()
        return self._file.write(data)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self._file.close()

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


def train(work_dir: Path) -> int:
    def command(args) -> None:
        with lock_work_dir(work_dir):
            checkpoint = find_resumable(work_dir)
            resume = str(checkpoint) if checkpoint else None
            train_until_told_to_stop(make_runner(work_dir, resume=resume, **settings()))

    return faults.run(command, ARGS)


def weights(path: Path) -> dict:
    return torch.load(path, weights_only=False)['state_dict']


def check_a_full_disk(work_dir: Path, whole: Path, full: int, lasts: bool, monkeypatch, capsys) -> None:
    """What holds after any write that fails."""
    with monkeypatch.context() as patched:
        Disk(patched, work_dir, full, lasts)
        status = train(work_dir)
    shown = capsys.readouterr()
    assert 'Traceback' not in shown.out + shown.err, (full, shown.err)
    if status:
        assert status == 1
        assert 'No space left on device' in shown.err, (full, shown.err)
        assert str(work_dir) in shown.err, (full, shown.err)
        assert 'ake room' in shown.err or 'another --work-dir' in shown.err, (full, shown.err)
        assert shown.err.count('Error') == 1 + shown.err.count('OSError'), (full, shown.err)
    else:
        assert not lasts
        assert 'No space left on device' in shown.out, (full, shown.out)
    for checkpoint in work_dir.glob('*.pth'):
        weights(checkpoint)
    assert not [*work_dir.rglob('*.pth.*tmp'), *work_dir.rglob('*.csv.tmp')], full
    assert train(work_dir) == 0
    ours, theirs = weights(work_dir / 'epoch_2.pth'), weights(whole / 'epoch_2.pth')
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs), full
    if status:
        steps = [(row['phase'], row['iter']) for row in read_rows(work_dir / 'metrics.csv')]
        assert len(set(steps)) == len(steps)


def writes_of_a_run(work_dir: Path, monkeypatch) -> int:
    with monkeypatch.context() as patched:
        disk = Disk(patched, work_dir, None)
        assert train(work_dir) == 0
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


@pytest.mark.fault('4.11')
def test_a_limit_of_the_size_of_files(tmp_path):
    """The system's own refusal, in the writing of a checkpoint."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(UserError, match=r'epoch_1\.pth could not be written.*File too large'):
            saving.write_whole(tmp_path / 'epoch_1.pth', lambda path: path.write_bytes(bytes(2000)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert list(tmp_path.iterdir()) == []
