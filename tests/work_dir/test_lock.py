"""One training a folder, however many start at once and however they end."""

import errno
import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from mdvision import UserError
from mdvision.work_dir import lock as module
from mdvision.work_dir.lock import LOCK, lock_work_dir

fork = multiprocessing.get_context('fork')


def test_a_second_training_is_refused_while_the_first_runs(tmp_path):
    with lock_work_dir(tmp_path):
        with pytest.raises(UserError, match=f'process {os.getpid()} on .* since 2'), lock_work_dir(tmp_path):
            pass
        assert json.loads((tmp_path / LOCK).read_text())['pid'] == os.getpid()
    assert list(tmp_path.iterdir()) == []
    with lock_work_dir(tmp_path):
        pass


def start(folder: Path, rounds: int, together, owners) -> None:
    """Begin ``rounds`` times at the same moment as the others; say when the folder was ours."""
    for number in range(rounds):
        together.wait(timeout=60)
        try:
            with lock_work_dir(folder):
                owners.put((number, os.getpid()))
                together.wait(timeout=60)  # until all have tried
        except UserError:
            together.wait(timeout=60)


@pytest.mark.fault('D10', '4.23')
@pytest.mark.parametrize('stale', [None, '', '{"pid": 1, "host": "elsewhere", "since": 0}'])
def test_of_those_that_start_at_once_one_gets_the_folder(tmp_path, stale):
    """Four processes, forty times; also where a killed one has left its lock, in whatever state."""
    if stale is not None:
        (tmp_path / LOCK).write_text(stale)
    together, owners = fork.Barrier(4), fork.SimpleQueue()
    processes = [fork.Process(target=start, args=(tmp_path, 40, together, owners)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
        assert process.exitcode == 0
    rounds = []
    while not owners.empty():
        rounds.append(owners.get()[0])
    assert rounds == list(range(40))


def hold(folder: Path, ready, with_worker: bool) -> None:
    with lock_work_dir(folder):
        if with_worker and os.fork() == 0:  # as a data worker, which lives on for some seconds
            time.sleep(20)
            os._exit(0)
        ready.send(True)
        time.sleep(60)


@pytest.mark.fault('D37', 'D38')
@pytest.mark.parametrize('with_worker', [False, True])
def test_the_lock_of_a_killed_process_is_free_at_once(tmp_path, with_worker):
    """Whatever its host is called; and without asking whether the process lives."""
    ready, told = fork.Pipe(duplex=False)
    process = fork.Process(target=hold, args=(tmp_path, told, with_worker))
    process.start()
    assert ready.recv()
    torn = tmp_path / f'.epoch_3.pth.{process.pid}.tmp'
    torn.write_bytes(b'half')
    with pytest.raises(UserError, match=f'process {process.pid} on'), lock_work_dir(tmp_path):
        pass
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with lock_work_dir(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())['pid'] == os.getpid()
        assert not torn.exists()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_made_for_the_lock_goes_with_it(tmp_path):
    with lock_work_dir(tmp_path / 'new'):
        assert (tmp_path / 'new' / LOCK).is_file()
    assert not (tmp_path / 'new').exists()
    with lock_work_dir(tmp_path / 'new'):
        (tmp_path / 'new' / 'epoch_1.pth').touch()
    assert (tmp_path / 'new' / 'epoch_1.pth').is_file()


@pytest.mark.fault('c2')
@pytest.mark.parametrize('new', [True, False])
@pytest.mark.parametrize('call', ['write', 'ftruncate', 'open'])
def test_a_lock_that_cannot_be_written_is_not_left(tmp_path, monkeypatch, call, new):
    def fail(*args):
        raise OSError(errno.ENOSPC, 'No space left on device')

    folder = tmp_path / 'new' if new else tmp_path
    with monkeypatch.context() as patched:
        patched.setattr(os, call, fail)
        with pytest.raises(UserError, match=r'is not writable: .*No space left'), lock_work_dir(folder):
            pass
    assert list(tmp_path.iterdir()) == []
    with lock_work_dir(folder):  # nor held
        pass


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch):
    said = []

    def refuse(held, how):
        raise OSError(errno.ENOLCK, 'No locks available')

    monkeypatch.setattr(module.fcntl, 'flock', refuse)
    monkeypatch.setattr(module, 'say', said.append)
    with lock_work_dir(tmp_path):
        pass
    assert 'nothing keeps a second run out' in said[0]
