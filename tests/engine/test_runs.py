"""What a run writes and keeps: metrics.csv, whole checkpoints, an end on a signal, where it goes on."""

import csv
import signal

import pytest
import torch

from mdvision import UserError
from mdvision.commands import faults
from mdvision.commands.switches import ema_notes
from mdvision.engine import log_processor
from mdvision.engine import runner as runner_module
from mdvision.engine.hooks import checkpoint as saving
from mdvision.engine.hooks.csv_log import read_rows
from mdvision.engine.hooks.interruption import Interrupted, train_interruptibly
from mdvision.work_dir.folder import find_resumable
from tests.engine.toy import ToyData, make_runner


def weights(path):
    return torch.load(path, weights_only=False)['state_dict']


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_metrics_csv_has_every_number_once(tmp_path):
    make_runner(tmp_path, epochs=1).train()
    # A killed run: an iteration after its checkpoint, and half a row.
    with (tmp_path / 'metrics.csv').open('a') as file:
        file.write('train,2,5,0.1,0.2,0.3,0.4,,\ntrain,2,6,0.')
    make_runner(tmp_path, epochs=2, resume=str(tmp_path / 'epoch_1.pth')).train()
    with (tmp_path / 'metrics.csv').open() as file:
        rows = list(csv.DictReader(file))
    at = [(row['phase'], int(row['epoch']), int(row['iter'])) for row in rows]
    epochs = [[('train', e, 4 * e - 3 + i) for i in range(4)] + [('val', e, 4 * e)] for e in (1, 2)]
    assert at == epochs[0] + epochs[1]
    assert [float(row['score']) for row in rows if row['phase'] == 'val'] == [1.0, 1.0]
    assert all(float(row['loss']) > 0 and not row['val/loss'] for row in rows if row['phase'] == 'train')


def test_a_validation_loss_is_that_of_its_own_validation(tmp_path):
    make_runner(tmp_path, epochs=3).train()
    losses = [row['val/loss'] for row in read_rows(tmp_path / 'metrics.csv') if row['phase'] == 'val']
    assert [float(loss) for loss in losses] == [10, 20, 30]


def test_gradients_that_are_summed_count_in_the_learning_rate(tmp_path):
    auto = dict(base_batch_size=2, enable=True)
    runner = make_runner(
        tmp_path,
        epochs=1,
        auto_scale_lr=auto,
        optim_wrapper=dict(accumulative_counts=2),
        param_scheduler=None,
    )
    runner.train()
    assert runner.optim_wrapper.get_lr()['lr'] == [pytest.approx(0.02)]


@pytest.mark.fault('4.5', '4.6')
def test_old_checkpoints_go_when_the_new_one_is_there(tmp_path, monkeypatch):
    """Before each file appears, the ones it succeeds are still there."""
    before = {}
    write = saving.write_atomically

    def spy(path, writer):
        before.setdefault(path.name, {p.name for p in tmp_path.glob('*.pth')})
        write(path, writer)

    monkeypatch.setattr(runner_module, 'write_atomically', spy)
    make_runner(
        tmp_path, epochs=3, checkpoint=dict(max_keep_ckpts=1, save_best='score', rule='greater')
    ).train()
    assert 'epoch_1.pth' in before['epoch_2.pth']
    assert 'best_score_epoch_1.pth' in before['best_score_epoch_2.pth']
    assert {p.name for p in tmp_path.glob('*.pth')} == {'epoch_3.pth', 'best_score_epoch_3.pth'}


def test_the_best_checkpoint_stays_when_the_next_is_worse(tmp_path):
    make_runner(
        tmp_path,
        epochs=3,
        val_evaluator=dict(type='ToyMetric', values=(1.0, 3.0, 2.0)),
        checkpoint=dict(save_best='score', rule='greater'),
    ).train()
    assert [p.name for p in tmp_path.glob('best*.pth')] == ['best_score_epoch_2.pth']


def test_a_write_that_fails_leaves_the_checkpoint_before_it(tmp_path):
    target = tmp_path / 'epoch_1.pth'
    target.write_bytes(b'whole')

    def write(path):
        path.write_bytes(b'ha')
        raise OSError(28, 'No space left on device')

    with pytest.raises(UserError, match=r'No space left.* free some space and continue with --resume\.$'):
        saving.write_atomically(target, write)
    assert target.read_bytes() == b'whole'
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.fault('3.3', '3.4')
def test_arguments_of_the_checkpoint_hook_are_checked_at_the_start(tmp_path):
    with pytest.raises(UserError, match=r"'max_keep_ckpt'\. Did you mean 'max_keep_ckpts'"):
        make_runner(tmp_path, checkpoint=dict(max_keep_ckpt=1))
    with pytest.raises(UserError, match=r"'scor'.* Did you mean 'score'"):
        make_runner(tmp_path, checkpoint=dict(save_best='scor', rule='greater')).train()


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_told_to_stop_goes_on_as_if_it_had_not(tmp_path, number):
    """Two and a half epochs, a stop, the rest: each image as often, and the same weights to the last bit."""
    make_runner(tmp_path / 'whole', epochs=4).train()
    whole = list(ToyData.seen)

    stop = dict(type='SignalAt', iteration=9, number=int(number))
    with pytest.raises(Interrupted) as stopped:
        train_interruptibly(make_runner(tmp_path / 'run', epochs=4, hooks=(stop,)))
    assert stopped.value.signal == number
    seen = list(ToyData.seen)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    checkpoint = find_resumable(tmp_path / 'run')
    assert checkpoint.name == 'interrupted.pth'

    train_interruptibly(make_runner(tmp_path / 'run', epochs=4, resume=str(checkpoint)))
    assert seen + ToyData.seen == whole
    assert same(weights(tmp_path / 'whole' / 'epoch_4.pth'), weights(tmp_path / 'run' / 'epoch_4.pth'))
    assert not checkpoint.exists()
    steps = [row['iter'] for row in read_rows(tmp_path / 'run' / 'metrics.csv') if row['phase'] == 'train']
    assert steps == [str(i) for i in range(1, 17)]


@pytest.mark.parametrize('where', [dict(iteration=7), dict(validation_batch=1)])
def test_a_validation_that_was_cut_short_is_made_up_for(tmp_path, where):
    """Stopped in the last iteration of the last epoch, or in its validation; with averaged weights."""
    average = dict(type='EMAHook', momentum=0.5)
    make_runner(tmp_path / 'whole', epochs=2, hooks=(average,)).train()
    stop = dict(type='SignalAt', **where)
    runner = make_runner(tmp_path / 'run', epochs=2, hooks=(average, stop), train_cfg=dict(val_interval=2))
    with pytest.raises(Interrupted):
        train_interruptibly(runner)
    interrupted = tmp_path / 'run' / 'interrupted.pth'
    assert same(weights(interrupted), weights(tmp_path / 'whole' / 'epoch_2.pth'))
    assert not [row for row in read_rows(tmp_path / 'run' / 'metrics.csv') if row['phase'] == 'val']
    train_interruptibly(
        make_runner(
            tmp_path / 'run',
            epochs=2,
            hooks=(average,),
            train_cfg=dict(val_interval=2),
            resume=str(interrupted),
        )
    )
    assert ToyData.seen == []
    assert [row['iter'] for row in read_rows(tmp_path / 'run' / 'metrics.csv') if row['phase'] == 'val'] == [
        '8'
    ]


@pytest.mark.fault('D40')
@pytest.mark.parametrize('prefix', ['', 'mmengine.', 'mmdet.'])
def test_what_is_ours_is_ours_under_every_name(tmp_path, prefix):
    import mmengine.hooks
    import mmengine.runner

    for name in ('EpochBasedTrainLoop', 'IterBasedTrainLoop'):
        length = dict(max_epochs=1) if name.startswith('Epoch') else dict(max_iters=4)
        for kind in (prefix + name, getattr(mmengine.runner, name)):
            checkpoint = prefix + 'CheckpointHook' if isinstance(kind, str) else mmengine.hooks.CheckpointHook
            runner = make_runner(
                tmp_path,
                train_cfg=dict(type=kind, **length),
                checkpoint=dict(type=checkpoint),
                log_processor=dict(type=prefix + 'LogProcessor'),
            )
            assert (
                type(runner.build_train_loop(runner._train_loop)).__module__ == 'mdvision.engine.train_loop'
            )
            assert any(type(hook) is saving.CheckpointHook for hook in runner.hooks)
            assert not any(type(hook) is mmengine.hooks.CheckpointHook for hook in runner.hooks)
            assert type(runner.log_processor) is log_processor.ProgressLog


def test_averaged_weights_are_not_resumed_without_the_average(tmp_path):
    make_runner(tmp_path, epochs=1, hooks=(dict(type='EMAHook', momentum=0.5),)).train()
    with pytest.raises(UserError, match='resume it with --ema too'):
        make_runner(tmp_path, epochs=2, resume=str(tmp_path / 'epoch_1.pth')).train()


def test_the_exit_status_is_that_of_the_signal():
    def stopped(args):
        raise Interrupted(signal.SIGTERM)

    assert faults.run(stopped, None) == 143


def test_a_run_that_is_too_short_for_its_average_is_told(tmp_path):
    for momentum, lines in ((0.01, 2), (0.5, 1)):
        runner = make_runner(tmp_path, hooks=(dict(type='EMAHook', momentum=momentum),))
        assert len(runner.train_dataloader) == 4  # builds the loop, as the checks before a training do
        said = ema_notes(runner)
        assert len(said) == lines
        assert f'momentum {momentum}' in said[0]
        assert lines == 1 or ('8 iterations, too few' in said[1] and '--ema 0.5' in said[1])


def test_a_training_that_counts_iterations_stops_and_goes_on_too(tmp_path):
    settings = dict(
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=10, val_interval=10),
        train_dataloader=dict(sampler=dict(type='InfiniteSampler', shuffle=True)),
        checkpoint=dict(by_epoch=False, interval=5),
        log_processor=dict(by_epoch=False),
    )
    make_runner(tmp_path / 'whole', **settings).train()
    stop = dict(type='SignalAt', iteration=4)
    with pytest.raises(Interrupted):
        train_interruptibly(make_runner(tmp_path / 'run', hooks=(stop,), **settings))
    checkpoint = str(tmp_path / 'run' / 'interrupted.pth')
    train_interruptibly(make_runner(tmp_path / 'run', resume=checkpoint, **settings))
    assert same(weights(tmp_path / 'whole' / 'iter_10.pth'), weights(tmp_path / 'run' / 'iter_10.pth'))
    steps = [row['iter'] for row in read_rows(tmp_path / 'run' / 'metrics.csv') if row['phase'] == 'train']
    assert steps == [str(i) for i in range(1, 11)]
