"""Several processes: they stop together, and one that is gone, or hangs, is named."""

import os
import signal
import socket
import time
from argparse import Namespace
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.registry import HOOKS, MODELS
from torch import nn

from mdvision import UserError
from mdvision.commands import faults
from mdvision.engine.hooks.csv_log import read_rows
from mdvision.engine.hooks.interruption import Interrupted, train_interruptibly
from mdvision.processes import distributed
from tests.engine.resumed import Killed, assert_same, state
from tests.engine.toy import ToyModel, make_runner
from tests.forking import run_forked
from tests.processes.launched import Launched

# The main process has then recorded iterations that no line of the log has shown.
LOGGED_SELDOM = dict(default_hooks=dict(logger=dict(type='LoggerHook', interval=5)))


@HOOKS.register_module(force=True)
class SlowRank(Hook):
    """Makes the second process slow, so that the first is ahead."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        time.sleep(0.02 * int(os.environ['RANK']))


@HOOKS.register_module(force=True)
class SignalInRank(Hook):
    """Sends a process of several a signal in a training iteration or a validation batch."""

    def __init__(self, rank: int, iteration: int | None = None, validation_batch: int | None = None):
        self.rank, self.iteration, self.validation_batch = rank, iteration, validation_batch

    def _send(self, here: bool) -> None:
        if here and int(os.environ['RANK']) == self.rank:
            os.kill(os.getpid(), signal.SIGTERM)

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self._send(runner.iter == self.iteration)

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        self._send(batch_idx == self.validation_batch)


def train(work_dir: Path, *hooks: dict, **more) -> None:
    """In each of the processes; 24 iterations of one point an epoch, two epochs."""
    cfg = Config(dict(custom_hooks=None))
    distributed.prepare_distributed(cfg, distributed.launcher_of('none'), on_gpu=False)
    train_interruptibly(
        make_runner(
            work_dir, hooks=(dict(type='SlowRank'), *hooks, *cfg.custom_hooks), launcher=cfg.launcher,
            model_wrapper_cfg=cfg.model_wrapper_cfg,
            train_dataloader=dict(batch_size=1, dataset=dict(type='ToyData', size=48)), **more,
        )
    )  # fmt: skip


@pytest.mark.fault('D7', 'D39', '4.18')
@pytest.mark.parametrize(('counts', 'rank'), [(1, 1), (8, 0), (8, 1)])
def test_all_stop_after_the_same_update_and_go_on_as_if_they_had_not(tmp_path, counts, rank):
    summed = dict(optim_wrapper=dict(accumulative_counts=counts), **LOGGED_SELDOM)

    def stop(process: int) -> None:
        with pytest.raises(Interrupted) as stopped:
            train(tmp_path / 'run', dict(type='SignalInRank', rank=rank, iteration=5), **summed)
        assert stopped.value.signal == signal.SIGTERM
        (tmp_path / f'stopped_{process}').touch()

    run = tmp_path / 'run' / 'interrupted.pth'
    assert run_forked(lambda process: train(tmp_path / 'whole', **summed)) == [0, 0]
    assert run_forked(stop) == [0, 0]
    assert torch.load(run, weights_only=False)['meta']['iter'] == {1: 8, 8: 16}[counts]
    assert run_forked(lambda process: train(tmp_path / 'run', resume=str(run), **summed)) == [0, 0]
    assert_same(state(tmp_path / 'run'), state(tmp_path / 'whole'))


@pytest.mark.fault('4.18')
@pytest.mark.parametrize('end', [dict(iteration=30), dict(validation=1)], ids=str)
def test_two_that_were_killed_go_on_as_if_they_had_not(tmp_path, end):
    """The first line of the log after that is the mean of iterations before and after it, of both."""

    settings = dict(val_evaluator=dict(type='ScoreByWeights'), **LOGGED_SELDOM)

    def killed(process: int) -> None:
        with pytest.raises(Killed):
            train(tmp_path / 'run', dict(type='EndAt', **end), **settings)

    resume = str(tmp_path / 'run' / 'epoch_1.pth')
    assert run_forked(lambda process: train(tmp_path / 'whole', **settings)) == [0, 0]
    assert run_forked(killed) == [0, 0]
    assert run_forked(lambda process: train(tmp_path / 'run', resume=resume, **settings)) == [0, 0]
    assert_same(state(tmp_path / 'run'), state(tmp_path / 'whole'))


@MODELS.register_module(force=True)
class OddLosses(ToyModel):
    """Losses that are known; the second process has a part of them in every other iteration only."""

    calls = 0

    def forward(self, inputs, mode='tensor'):
        out = super().forward(inputs, mode)
        if mode == 'loss':
            rank, self.calls = int(os.environ['RANK']), self.calls + 1
            out['loss'] = out['loss'] * 0 + 1 + 2 * rank
            if rank == 0 or self.calls % 2 == 0:
                out['loss_part'] = out['loss'].detach() * 10
        return out


@pytest.mark.fault('5.3')
def test_the_logged_loss_is_the_mean_of_all_processes(tmp_path):
    """Also of a part that not every process has: 10 and, in every other iteration, 30."""
    more = dict(model=dict(type='OddLosses'), train_cfg=dict(max_epochs=1), **LOGGED_SELDOM)
    assert run_forked(lambda process: train(tmp_path, **more)) == [0, 0]
    rows = [row for row in read_rows(tmp_path / 'metrics.csv') if row['phase'] == 'train']
    assert [int(row['iter']) for row in rows] == [5, 10, 15, 20]
    parts = [14, 15, 15, 15]  # the mean of the last ten iterations at most
    assert [float(row['loss_part']) for row in rows] == parts
    assert [float(row['loss']) for row in rows] == [2] * 4


@pytest.mark.fault('D7')
@pytest.mark.parametrize('rank', [0, 1])
def test_a_stop_in_the_validation_of_two_processes(tmp_path, rank):
    """The other one may be waiting for the results of this one already."""

    def command(args) -> None:
        train(tmp_path, dict(type='SignalInRank', rank=rank, validation_batch=0))

    statuses = run_forked(lambda process: faults.run(command, Namespace(debug=False)), seconds=30)
    assert statuses[rank] == 143
    meta = torch.load(tmp_path / 'interrupted.pth', weights_only=False)['meta']
    assert (meta['epoch'], meta['iter']) == (1, 24)


@MODELS.register_module(force=True)
class NormedToy(ToyModel):
    """With statistics that differ from process to process."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(3)

    def forward(self, inputs, mode='tensor'):
        return super().forward(list(self.norm(torch.stack(list(inputs)))), mode)


@HOOKS.register_module(force=True)
class NoteStatistics(Hook):
    def before_val_epoch(self, runner):
        mean = runner.model.module.norm.running_mean
        (Path(runner.work_dir) / f'mean_{os.environ["RANK"]}').write_text(repr(mean.tolist()))


@pytest.mark.fault('5.4')
def test_both_evaluate_with_the_same_running_statistics(tmp_path):
    settings = dict(model=dict(type='NormedToy'), train_cfg=dict(max_epochs=1))
    settings['train_dataloader'] = dict(batch_size=4, dataset=dict(type='ToyData', size=16))

    def run(process: int) -> None:
        cfg = Config()
        distributed.prepare_distributed(cfg, 'pytorch', on_gpu=False)
        hooks = (*cfg.custom_hooks, dict(type='NoteStatistics', priority='LOWEST'))
        make_runner(tmp_path, hooks=hooks, launcher=cfg.launcher, model_wrapper_cfg=cfg.model_wrapper_cfg,
                    **settings).train()  # fmt: skip

    assert run_forked(run) == [0, 0]
    means = [(tmp_path / f'mean_{rank}').read_text() for rank in (0, 1)]
    assert means[0] == means[1]
    assert 'nan' not in means[0]


@MODELS.register_module(force=True)
class PartlyUsedToy(ToyModel):
    def __init__(self):
        super().__init__()
        self.forgotten = nn.Linear(3, 2)


@pytest.mark.fault('5.11')
def test_parameters_that_the_loss_does_not_reach_are_named(tmp_path, capfd):
    def command(args) -> None:
        train(tmp_path, model=dict(type='PartlyUsedToy'))

    assert run_forked(lambda process: faults.run(command, Namespace(debug=False))) == [1, 1]
    error = capfd.readouterr().err
    assert 'forgotten.weight, forgotten.bias' in error
    assert 'find_unused_parameters = True' in error
    assert error.count('Error in process') == 1


@MODELS.register_module(force=True)
class SpoiltInSecond(ToyModel):
    """In the sixth iteration of the second process the loss, or only its gradient, is not finite."""

    def __init__(self, what: str):
        super().__init__()
        self.what, self.iteration = what, 0

    def forward(self, inputs, mode='tensor'):
        outputs = super().forward(inputs, mode)
        self.iteration += mode == 'loss'
        if mode == 'loss' and self.iteration == 6 and os.environ['RANK'] == '1':
            loss = outputs['loss']
            if self.what == 'loss':
                return dict(loss=loss * float('nan'))
            loss.register_hook(lambda gradient: gradient * float('nan'))
        return outputs


@pytest.mark.fault('D23', '4.1')
@pytest.mark.parametrize('counts', [1, 4])
@pytest.mark.parametrize('what', ['loss', 'gradient'])
def test_all_stop_when_one_diverges(tmp_path, capfd, what, counts):
    """Before the update, which is that of iteration 6, or of 8 with the gradients of four summed."""
    summed = dict(optim_wrapper=dict(accumulative_counts=counts))

    def command(args) -> None:
        train(tmp_path, model=dict(type='SpoiltInSecond', what=what), **summed)

    assert run_forked(lambda process: faults.run(command, Namespace(debug=False)), seconds=40) == [1, 1]
    error = capfd.readouterr().err
    update = {1: 6, 4: 8}[counts]
    assert 'Traceback' not in error
    assert not list(tmp_path.glob('*.pth'))
    if what == 'loss':
        assert 'Error in process 1: The loss became nan at iteration 6' in error
        assert (
            'Error in process 0: The loss of another process is not finite, at or before iteration '
            f'{update}' in error
        )
    else:
        # The gradients are those of all processes.
        message = f'The gradient of a finite loss became NaN or infinite at iteration {update}'
        assert error.count(message) == error.count('Error in process') >= 1


@pytest.mark.fault('g')
def test_a_process_without_a_log_file_yet_shows_no_traceback(monkeypatch, capfd):
    """As the second one, where the first does not get the work dir; mmengine has a logger by then."""
    monkeypatch.setattr(MMLogger, '_instance_dict', OrderedDict())
    MMLogger.get_current_instance()

    def lose_the_others(args) -> None:
        raise RuntimeError('Connection closed by peer')

    assert faults.run(lose_the_others, Namespace(debug=False)) == 1
    shown = ''.join(capfd.readouterr())
    assert 'Connection closed by peer' in shown
    assert 'Traceback' not in shown


@pytest.mark.fault('5.10')
def test_a_busy_port_is_named(monkeypatch):
    with socket.socket() as taken:
        taken.bind(('0.0.0.0', 0))
        taken.listen()
        port = taken.getsockname()[1]
        for name, value in dict(RANK=0, WORLD_SIZE=2, MASTER_ADDR='127.0.0.1', MASTER_PORT=port).items():
            monkeypatch.setenv(name, str(value))
        with pytest.raises(UserError, match=f'port {port}.* is in use.*PORT'):
            distributed.prepare_distributed(Config(), 'pytorch', on_gpu=False)


@pytest.mark.fault('5.12', '5.13')
def test_the_launcher_is_recognised_or_missed(monkeypatch):
    monkeypatch.setenv('RANK', '0')
    monkeypatch.setenv('WORLD_SIZE', '2')
    assert distributed.launcher_of('none') == 'pytorch'
    monkeypatch.delenv('RANK')
    with pytest.raises(UserError, match=r'expects to be started by torchrun.*tools/dist_train\.sh'):
        distributed.launcher_of('pytorch')


@pytest.mark.fault('5.8')
@pytest.mark.parametrize('timeout', ['20', 0, True, -1])
def test_a_timeout_that_is_none_is_named(monkeypatch, timeout):
    cfg = Config(dict(env_cfg=dict(dist_cfg=dict(timeout=timeout))))
    with pytest.raises(UserError, match=r'env_cfg\.dist_cfg\.timeout: expected seconds'):
        distributed.prepare_distributed(cfg, 'pytorch', on_gpu=False)


needs_proc = pytest.mark.skipif(not Path('/proc/self/task').is_dir(), reason='finds the processes in /proc')


@pytest.mark.slow
@needs_proc
@pytest.mark.fault('g', '5.6')
def test_a_killed_process_is_named(tmp_path):
    launched = Launched(tmp_path)
    launched.wait_until_it_trains()
    os.kill(launched.child(1), signal.SIGKILL)
    error = launched.error()
    assert launched.process.returncode == 1
    assert 'Error: process 1 was ended by SIGKILL' in error
    assert 'Error in process 0: process 1 does not respond' in error


@pytest.mark.slow
@pytest.mark.fault('g', '5.7')
def test_a_process_that_fails_is_named_by_the_others(tmp_path):
    launched = Launched(tmp_path, '--fail', '4')
    error = launched.error()
    assert launched.process.returncode == 1
    assert 'Error in process 1: FileNotFoundError: the picture 000123.jpg' in error
    assert 'Error in process 0: process 1 failed with an error that it printed itself' in error
    assert 'Error: process 1 ended with status 1' in error


@pytest.mark.slow
@needs_proc
@pytest.mark.fault('5.8')
@pytest.mark.parametrize('rank', [0, 1])
def test_a_process_that_stands_still_is_named_after_the_timeout(tmp_path, rank):
    launched = Launched(tmp_path, '--timeout', '4')
    launched.wait_until_it_trains()
    started = time.monotonic()
    os.kill(launched.child(rank), signal.SIGSTOP)
    error = launched.error()
    assert time.monotonic() - started < 60
    assert launched.process.returncode == 1
    assert f'Error in process {1 - rank}: process {rank} ' in error
    assert rank == 0 or 'does not respond' in error
    assert rank == 0 or 'within 4 s (env_cfg.dist_cfg.timeout)' in error


@pytest.mark.slow
@pytest.mark.fault('5.9')
@pytest.mark.parametrize('name', ['SIGTERM', 'SIGKILL'])
def test_a_launcher_that_is_ended_leaves_no_process_and_loses_no_work(tmp_path, name):
    launched = Launched(tmp_path, forked=name == 'SIGTERM')
    launched.wait_until_it_trains()
    launched.process.send_signal(getattr(signal, name))
    launched.process.communicate(timeout=60)  # the pipe is closed when all have ended
    assert launched.process.returncode == (143 if name == 'SIGTERM' else -9)
    assert (tmp_path / 'interrupted.pth').is_file()
    assert not (tmp_path / 'run.lock').exists()
