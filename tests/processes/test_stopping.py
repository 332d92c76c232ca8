"""A training that is told to stop saves and says so, however it was started and whoever tells it."""

import multiprocessing
import os
import pty
import signal
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import DATASETS
from yapf.yapflib import yapf_api

from mdvision.commands import faults
from mdvision.engine.hooks import interruption
from mdvision.engine.hooks.interruption import Interrupted, train_interruptibly
from mdvision.processes import signals
from mdvision.processes.signals import handling
from mdvision.work_dir.lock import lock_work_dir
from tests.engine.toy import ToyData, make_runner
from tests.forking import run_forked
from tests.running import ENVIRONMENT, ROOT, run_script

COMMAND = [sys.executable, str(ROOT / 'tests/engine/toy_process.py')]


def weights(path: Path) -> dict:
    return torch.load(path, weights_only=False)['state_dict']


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def log_of(work_dir: Path) -> str:
    return '\n'.join(path.read_text() for path in sorted(work_dir.glob('*/*.log')))


def wait_until_it_trains(work_dir: Path) -> None:
    """Until the first lines of the log are there."""
    end = time.monotonic() + 120
    while 'iter  3' not in log_of(work_dir):
        assert time.monotonic() < end, log_of(work_dir)
        time.sleep(0.05)


@pytest.mark.fault('N4')
def test_ctrl_c_where_the_program_behind_the_pipe_is_gone_first(tmp_path):
    """As ``python tools/train.py CONFIG 2>&1 | tee log``, whose tee gets the Ctrl-C too."""
    process = subprocess.Popen(
        [*COMMAND, str(tmp_path), '--seconds', '0.05'], cwd=ROOT, env=ENVIRONMENT,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    wait_until_it_trains(tmp_path)
    process.stdout.close()
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) == 130
    assert (tmp_path / 'interrupted.pth').is_file()
    assert not (tmp_path / 'run.lock').exists()
    assert 'SIGINT: stopped after iteration' in log_of(tmp_path)


@pytest.mark.fault('N4')
def test_a_closed_terminal(tmp_path):
    """The kernel sends SIGHUP, and whatever is written to the terminal fails."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.execve(sys.executable, [*COMMAND, str(tmp_path), '--seconds', '0.05'], ENVIRONMENT)
    wait_until_it_trains(tmp_path)
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGHUP
    assert (tmp_path / 'interrupted.pth').is_file()
    assert 'SIGHUP: stopped after iteration' in log_of(tmp_path)


@pytest.mark.fault('N4', '4.14', 'D8')
def test_a_signal_to_the_whole_group_with_workers_and_summed_gradients(tmp_path):
    """The workers, which a scheduler's SIGTERM reaches too, last until the gradients are in the weights."""
    make_runner_arguments = ['--counts', '8', '--workers', '2']
    process = subprocess.Popen(
        [*COMMAND, str(tmp_path / 'run'), *make_runner_arguments, '--seconds', '0.1'],
        cwd=ROOT, env=ENVIRONMENT, start_new_session=True, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_until_it_trains(tmp_path / 'run')
    os.killpg(process.pid, signal.SIGTERM)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 143, error
    assert 'Traceback' not in error
    assert torch.load(tmp_path / 'run' / 'interrupted.pth', weights_only=False)['meta']['iter'] % 8 == 0
    for name, more in (('run', ['--resume']), ('whole', [])):
        ended = run_script(Path(COMMAND[1]), tmp_path / name, *make_runner_arguments, *more)
        assert ended.returncode == 0, ended.stderr
    assert same(weights(tmp_path / 'run' / 'epoch_2.pth'), weights(tmp_path / 'whole' / 'epoch_2.pth'))


@pytest.mark.fault('N4', '4.13', '4.14')
@pytest.mark.parametrize('name', ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1'])
def test_each_signal_stops_with_its_status(tmp_path, capsys, name):
    number = getattr(signal, name)

    def command(args):
        stop = dict(type='SignalAt', iteration=2, number=int(number))
        train_interruptibly(make_runner(tmp_path, hooks=(stop,)))

    assert faults.run(command, None) == 128 + number
    saved = tmp_path / 'interrupted.pth'
    assert saved.is_file()
    said = capsys.readouterr().out
    assert f'{name}: stopped after iteration 3 and saved {saved}; continue with --resume' in said


@pytest.mark.fault('N4', '4.14')
@pytest.mark.parametrize('name', ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1'])
def test_a_signal_before_the_training_leaves_no_lock(tmp_path, capsys, name):
    """While the data is read, say."""
    number = getattr(signal, name)
    before = [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]

    def command(args):
        with lock_work_dir(tmp_path):
            os.kill(os.getpid(), number)
            time.sleep(10)

    assert faults.run(command, None) == 128 + number
    assert list(tmp_path.iterdir()) == []
    assert f'{name}: stopped at once' in capsys.readouterr().err
    assert [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)] == before


def test_a_signal_where_there_is_nothing_to_save_is_raised_by_its_name():
    with pytest.raises(signals.ToldToStop, match='SIGUSR1'), signals.ending_at_once():
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(10)


def test_nohup_is_respected(monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with handling(lambda number: None):
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.fault('D8')
@pytest.mark.parametrize('iteration', [0, 2, 3, 5, 9])
def test_a_run_stops_between_two_updates(tmp_path, iteration):
    """Gradients that wait for the others of their update are in no checkpoint. Epochs of 4, updates of 4."""
    summed = dict(optim_wrapper=dict(accumulative_counts=4))
    make_runner(tmp_path / 'whole', epochs=3, **summed).train()
    whole = list(ToyData.seen)
    stop = dict(type='SignalAt', iteration=iteration)
    with pytest.raises(Interrupted, match='SIGTERM'):
        train_interruptibly(make_runner(tmp_path / 'run', epochs=3, hooks=(stop,), **summed))
    seen = list(ToyData.seen)
    checkpoint = tmp_path / 'run' / 'interrupted.pth'
    meta, epoch = torch.load(checkpoint, weights_only=False)['meta'], iteration // 4 + 1
    assert (meta['epoch'], meta['iter']) == (epoch, 4 * epoch)
    train_interruptibly(make_runner(tmp_path / 'run', epochs=3, resume=str(checkpoint), **summed))
    assert seen + ToyData.seen == whole
    assert same(weights(tmp_path / 'run' / 'epoch_3.pth'), weights(tmp_path / 'whole' / 'epoch_3.pth'))


def test_stopped_again_in_the_validation_that_is_made_up_for(tmp_path):
    checkpoint, resume = tmp_path / 'interrupted.pth', None
    for _ in range(2):
        stop = dict(type='SignalAt', validation_batch=0)
        with pytest.raises(Interrupted):
            train_interruptibly(make_runner(tmp_path, hooks=(stop,), resume=resume))
        meta = torch.load(checkpoint, weights_only=False)['meta']
        assert (meta['epoch'], meta['iter'], meta['validate_first']) == (1, 4, True)
        resume = str(checkpoint)


class FailWhenTold(Hook):
    """In the second iteration a signal comes, and the iteration fails."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter == 1:
            os.kill(os.getpid(), signal.SIGTERM)
            raise ValueError('of the iteration')


def test_an_iteration_that_fails_is_not_taken_for_a_stop(tmp_path):
    runner = make_runner(tmp_path)
    runner.register_hook(FailWhenTold())
    with pytest.raises(ValueError, match='of the iteration'):
        train_interruptibly(runner)
    assert not (tmp_path / 'interrupted.pth').exists()


@pytest.fixture
def store(monkeypatch):
    """That of two processes, both of which are this one."""
    store = torch.distributed.HashStore()
    monkeypatch.setattr(interruption, 'get_world_size', lambda: 2)
    monkeypatch.setattr(interruption, 'ask_store', lambda question: question(store))
    return store


def runner_of(work_dir, **more):
    summed = SimpleNamespace(_accumulative_counts=2)
    return SimpleNamespace(
        work_dir=work_dir, optim_wrapper=summed, max_iters=100, iter=4, hooks=[], log_failure=None,
        save_checkpoint=lambda *args, **kwargs: None, **more,
    )  # fmt: skip


@pytest.mark.usefixtures('store')
def test_two_processes_agree_on_the_update_after_which_they_stop(tmp_path):
    runner = runner_of(tmp_path)
    told, other = interruption._StopHook(), interruption._StopHook()
    assert not told._may_stop(runner, 4) and not other._may_stop(runner, 4)
    told.signal = signal.SIGUSR1
    for done in (5, 6, 7):  # the other may be one update ahead
        assert not told._may_stop(runner, done) and not other._may_stop(runner, done)
    assert told._may_stop(runner, 8) and other._may_stop(runner, 8)
    assert other.signal == signal.SIGUSR1


@pytest.mark.parametrize('validating', [False, True])
def test_in_a_validation_no_process_waits_for_another(tmp_path, store, validating):
    told, other = interruption._StopHook(), interruption._StopHook()
    for hook in (told, other):
        hook._validating, hook._position = validating, dict(epoch=1, iter=4)
    told.signal = signal.SIGTERM
    for hook in (told, other):
        with pytest.raises(Interrupted, match='SIGTERM'):
            hook.after_val_iter(runner_of(tmp_path), 0)
    assert store.check([interruption._SAVED_KEY]) is not validating


def test_a_data_worker_leaves_signals_to_the_training(monkeypatch):
    handlers, masked, threads, called = {}, [], [], []
    monkeypatch.setattr(signal, 'signal', lambda number, handler: handlers.update({number: handler}))
    monkeypatch.setattr(signal, 'pthread_sigmask', lambda *args: masked.append(args))
    monkeypatch.setattr(signals.threading, 'Thread', lambda **kwargs: threads.append(kwargs) or Mock())
    signals.DeafWorker(called.append)(3)
    signals.DeafWorker(None)(4)
    monkeypatch.undo()
    assert called == [3]
    assert handlers == dict.fromkeys((signal.SIGINT, signal.SIGHUP, signal.SIGUSR1), signal.SIG_IGN)
    assert masked == [(signal.SIG_BLOCK, [signal.SIGTERM])] * 2
    assert threads == [dict(target=signals._end_for_the_parent, daemon=True)] * 2


def test_a_data_worker_ends_for_its_parent_only(monkeypatch):
    senders, waited, ended = iter((1, os.getppid())), [], []

    def wait(numbers):
        waited.append(list(numbers))
        return SimpleNamespace(si_pid=next(senders))

    monkeypatch.setattr(signal, 'sigwaitinfo', wait)
    monkeypatch.setattr(os, '_exit', ended.append)
    signals._end_for_the_parent()
    assert (waited, ended) == ([[signal.SIGTERM]] * 2, [0])


@DATASETS.register_module(force=True)
class BrokenData(ToyData):
    def __getitem__(self, index: int) -> dict:
        if index == 5:
            raise FileNotFoundError('the picture 5.jpg')
        return super().__getitem__(index)


@pytest.mark.fault('4.16')
@pytest.mark.parametrize('workers', [0, 1])
def test_an_error_in_a_data_worker_is_one_line_and_in_the_log_whole(tmp_path, capsys, workers):
    loader = dict(num_workers=workers, dataset=dict(type='BrokenData', size=8))
    arguments = Namespace(debug=False)
    runner = make_runner(tmp_path, train_dataloader=loader)
    assert faults.run(lambda args: train_interruptibly(runner), arguments) == 1
    error = capsys.readouterr().err
    assert 'FileNotFoundError: the picture 5.jpg' in error
    assert 'Traceback' not in error
    assert len(error.strip().splitlines()) <= 3
    assert 'Traceback' in log_of(tmp_path)


@DATASETS.register_module(force=True)
class DeadlyData(ToyData):
    """Its worker dies at an image: the seventh, which it is asked for in the second iteration."""

    read, deadly = 0, 7

    def __getitem__(self, index: int) -> dict:
        self.read += 1
        if self.read == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


def errors_of_a_forked_run(work_dir: Path, capfd) -> str:
    """Of a training with DeadlyData; torch goes on raising for a dead worker in the process that had it."""

    def run(process: int) -> int:
        loader = dict(num_workers=1, dataset=dict(type='DeadlyData', size=8))
        runner = make_runner(work_dir, train_dataloader=loader)
        return faults.run(lambda args: runner.train(), Namespace(debug=False))

    assert run_forked(run, count=1) == [1]
    return capfd.readouterr().err


@pytest.mark.fault('4.15')
def test_a_data_worker_that_is_killed_is_said(tmp_path, capfd):
    assert names_the_worker(errors_of_a_forked_run(tmp_path, capfd))


def names_the_worker(error):
    # torch says so, or misses the worker, or finds the connection to it closed.
    texts = (
        'is killed by signal: Killed',
        'exited unexpectedly',
        'a data worker has ended; perhaps it was killed',
    )
    return any(text in error for text in texts)


@pytest.mark.fault('4.15')
def test_a_data_worker_that_is_killed_while_the_config_is_written_is_said(tmp_path, capfd, monkeypatch):
    """mmengine makes a syntax error of the config of whatever is raised there."""

    def lose_the_worker(text: str, *args, **kwargs):
        # Not those of the process that this one was forked from.
        workers = [one for one in multiprocessing.active_children() if one._parent_pid == os.getpid()]
        for worker in workers:
            worker.kill()
        end = time.monotonic() + 10 * bool(workers)  # torch raises when the system tells of the death
        while time.monotonic() < end:
            time.sleep(0.05)
        return text, True

    monkeypatch.setattr(DeadlyData, 'deadly', None)
    monkeypatch.setattr(yapf_api, 'FormatCode', lose_the_worker)
    error = errors_of_a_forked_run(tmp_path, capfd)
    assert names_the_worker(error)
    assert 'Failed to format' not in error


@pytest.mark.fault('N4', '4.14')
def test_a_signal_while_the_config_is_written_is_said(tmp_path, capsys, monkeypatch):
    def be_told(*args, **kwargs):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)

    monkeypatch.setattr(yapf_api, 'FormatCode', be_told)
    assert faults.run(lambda args: make_runner(tmp_path).train(), Namespace(debug=False)) == 143
    error = capsys.readouterr().err
    assert 'SIGTERM: stopped at once' in error
    assert 'Failed to format' not in error
