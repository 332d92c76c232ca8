"""Where a resumed run goes on: the next batch, whatever the loop, the batch size and the processes are."""

import contextlib
import math
from collections import Counter

import pytest
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop
from torch.utils.data import DataLoader

from mdvision import UserError
from mdvision.checkpoints.reading import read_checkpoint
from mdvision.commands.report import _last_validation
from mdvision.engine.data_loader import PlacingSampler
from mdvision.engine.hooks.checkpoint import CheckpointHook
from mdvision.engine.hooks.interruption import Interrupted, train_interruptibly
from mdvision.work_dir.folder import find_resumable
from tests.engine.resumed import Killed, assert_same, settings_of, state, train
from tests.engine.toy import ToyData, make_runner


def by_iterations(sampler='InfiniteSampler', workers=0):
    return settings_of(
        workers,
        loader=dict(sampler=dict(type=sampler, shuffle=True)),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=9, val_interval=4),
        checkpoint=dict(by_epoch=False, interval=2, save_best='score', rule='greater'),
        log_processor=dict(by_epoch=False),
    )


@pytest.mark.fault('D6', '4.18')
@pytest.mark.parametrize('signal', [None, 15], ids=['kill -9', 'SIGTERM'])
@pytest.mark.parametrize('sampler', ['InfiniteSampler', 'DefaultSampler'])
def test_a_training_that_counts_iterations(tmp_path, sampler, signal):
    """Killed in an iteration, in the middle validation, and twice in the last one."""
    settings = by_iterations(sampler, workers=2 * (signal == 15))
    train(tmp_path / 'whole', **settings)
    ends = [dict(iteration=3), dict(iteration=6), dict(validation=2), dict(validation=1, batch=2)]
    ends[1:1] = [dict(validation=1, batch=2)]
    if signal is None:  # goes back to iteration 6 and validates once more
        ends[3]['validation'] = 1
    train(tmp_path / 'run', [dict(end, signal=signal) for end in ends], **settings)
    assert_same(state(tmp_path / 'run'), state(tmp_path / 'whole'))
    rows = state(tmp_path / 'run')[1]
    assert [row['iter'] for row in rows if row['phase'] == 'val'] == ['4', '8', '9']


def test_a_training_by_iterations_sees_the_images_in_the_order_of_the_epochs(tmp_path):
    train(tmp_path / 'epochs', **settings_of(epochs=2))
    by_epochs = list(ToyData.seen)
    train(tmp_path / 'iterations', **by_iterations('DefaultSampler'))
    assert ToyData.seen == by_epochs[:18]
    assert by_epochs[:10] != by_epochs[10:]


def test_a_training_by_iterations_is_one_long_epoch_to_the_hooks(tmp_path):
    calls = []

    class Calls(Hook):
        def before_train_epoch(self, runner):
            calls.append('before')

        def after_train_epoch(self, runner):
            calls.append('after')

    runner = make_runner(tmp_path, **by_iterations())
    runner.register_hook(Calls())
    runner.train()
    assert calls == ['before', 'after']


def test_the_middle_of_an_epoch_wants_a_loader_with_a_sampler(tmp_path):
    with pytest.raises(Interrupted):
        end = dict(type='EndAt', iteration=7, signal=15)
        train_interruptibly(make_runner(tmp_path, hooks=(end,), **settings_of()))
    checkpoint = str(tmp_path / 'interrupted.pth')
    runner = make_runner(tmp_path, resume=checkpoint, **settings_of())
    runner._train_dataloader = DataLoader(ToyData(10), batch_size=2)
    message = r'interrupted\.pth was saved in the middle of an epoch\. To resume there, train_dataloader must'
    with pytest.raises(UserError, match=message):
        runner.train()


@pytest.mark.fault('4.20')
@pytest.mark.parametrize('interval', [3, 5])
def test_a_checkpoint_by_iterations_in_a_training_by_epochs(tmp_path, interval):
    settings = settings_of(
        checkpoint=dict(by_epoch=False, interval=interval, save_best='score', rule='greater')
    )
    train(tmp_path / 'whole', **settings)
    train(tmp_path / 'run', [dict(iteration=i) for i in (4, 7, 12)], **settings)
    assert_same(state(tmp_path / 'run'), state(tmp_path / 'whole'))


@pytest.mark.fault('D6', '4.18')
@pytest.mark.parametrize(
    ('hook', 'left'),
    [
        (dict(interval=3, save_begin=1), {'epoch_1.pth': (1, 5), 'epoch_3.pth': (3, 15)}),
        (dict(interval=0), {'epoch_3.pth': (3, 15)}),
        (dict(interval=2, save_last=False), {'epoch_2.pth': (2, 10)}),
        (dict(by_epoch=False, interval=5, save_begin=10), {'iter_10.pth': (2, 10), 'iter_15.pth': (3, 15)}),
    ],
    ids=['begin', 'last', 'not last', 'iterations'],
)
def test_after_a_validation_that_was_made_up_for_the_due_checkpoint_knows_of_it(tmp_path, hook, left):
    """Each of the three validations is stopped once."""
    settings = settings_of(checkpoint=hook)
    train(tmp_path, [dict(validation=number, signal=15) for number in (1, 2, 2)], **settings)
    metas = {path.name: read_checkpoint(str(path))['meta'] for path in tmp_path.glob('*_*.pth')}
    assert {name: (meta['epoch'], meta['iter']) for name, meta in metas.items()} == left
    for meta in metas.values():
        assert (meta['validate_first'], meta['validated']) == (False, meta['iter'])


class OtherLoop(EpochBasedTrainLoop):
    """A loop of the user's own."""


def test_a_loop_of_the_users_own_keeps_checkpoints_as_with_mmengine(tmp_path):
    best = dict(save_best='score', rule='greater', max_keep_ckpts=1)
    for epochs, resume in ((2, None), (3, 'epoch_2.pth')):
        settings = dict(train_cfg=dict(type=OtherLoop, max_epochs=epochs), checkpoint=best)
        make_runner(tmp_path, resume=resume and str(tmp_path / resume), **settings).train()
        best_one = 'best_score_epoch_2.pth'  # the values begin anew
        assert {path.name for path in tmp_path.glob('*.pth')} == {f'epoch_{epochs}.pth', best_one}


@pytest.mark.fault('D8')
@pytest.mark.parametrize(
    'end', [dict(iteration=7, signal=15), dict(iteration=6), dict(validation=1, signal=15)], ids=str
)
def test_summed_gradients_are_not_lost(tmp_path, end):
    """Five iterations an epoch, an update every two: one reaches into the next epoch."""
    settings = settings_of(optim_wrapper=dict(accumulative_counts=2))
    train(tmp_path / 'whole', **settings)
    train(tmp_path / 'run', [end], **settings)
    assert_same(state(tmp_path / 'run'), state(tmp_path / 'whole'))
    assert 'gradients' in read_checkpoint(str(tmp_path / 'run' / 'epoch_1.pth'))
    assert 'gradients' not in read_checkpoint(str(tmp_path / 'run' / 'epoch_2.pth'))


@pytest.mark.fault('D8')
@pytest.mark.parametrize('sizes', [(1, 4), (4, 1), (3, 2, 1)])
def test_another_batch_size_repeats_and_skips_no_image(tmp_path, sizes):
    """Stopped in the second epoch of ten images after each batch size."""
    seen = []
    for number, size in enumerate(sizes):
        checkpoint = find_resumable(tmp_path) if number else None
        done = read_checkpoint(str(checkpoint))['meta']['iter'] if checkpoint else math.ceil(10 / size)
        last = number + 1 == len(sizes)
        hooks = () if last else (dict(type='EndAt', iteration=done + 1, signal=15),)
        settings = settings_of(loader=dict(batch_size=size), epochs=2)
        runner = make_runner(tmp_path, hooks=hooks, resume=checkpoint and str(checkpoint), **settings)
        with contextlib.nullcontext() if last else pytest.raises(Interrupted):
            train_interruptibly(runner)
        seen += ToyData.seen
    assert Counter(seen) == Counter(dict.fromkeys(range(10), 2))
    assert runner.iter == runner.max_iters


def batches_left(rank, processes, trained, monkeypatch, kind='BatchSampler', size=2):
    from mmdet.datasets.samplers import AspectRatioBatchSampler
    from torch.utils.data import BatchSampler

    for module in ('mmengine.dataset.sampler', 'mdvision.engine.data_loader'):
        monkeypatch.setattr(f'{module}.get_dist_info', lambda: (rank, processes))

    class Data(ToyData):
        def get_data_info(self, index):
            return dict(width=1 + index % 3, height=2)

    sampler = PlacingSampler(dict(type='DefaultSampler', shuffle=True), Data(23), seed=0)
    made = dict(BatchSampler=BatchSampler, AspectRatioBatchSampler=AspectRatioBatchSampler)[kind]
    batch_sampler = made(sampler, size, False)
    first = sampler.skip(batch_sampler, trained) if trained else 0
    return first, [[int(one) for one in batch] for batch in batch_sampler]


@pytest.mark.parametrize('kind', ['BatchSampler', 'AspectRatioBatchSampler'])
def test_what_is_left_of_an_epoch(monkeypatch, kind):
    _, whole = batches_left(0, 1, [], monkeypatch, kind)
    first, left = batches_left(0, 1, [[2, 5, 1]], monkeypatch, kind)
    assert (first, left) == (5, whole[5:])
    first, left = batches_left(0, 1, [[2, 3, 1], [4, 2, 1]], monkeypatch, kind, size=3)
    done = [one for batch in whole[:3] for one in batch]
    assert len(done) + 8 + sum(map(len, left)) == 23
    assert first + len(left) == 8  # as many as the epoch has of that size
    assert len(set(done) | {one for batch in left for one in batch}) == 23 - 8


def test_another_number_of_processes(monkeypatch):
    """The first images of the common order are trained; the others come once, or a few of them twice."""
    _, whole = batches_left(0, 1, [], monkeypatch)
    order = [one for batch in whole for one in batch]
    left = [batches_left(rank, 2, [[2, 3, 1]], monkeypatch)[1] for rank in (0, 1)]
    images = Counter(one for batches in left for batch in batches for one in batch)
    assert set(images) >= set(order[6:])
    assert sum(images.values()) == 18  # 17, and one more to make two equal parts
    with pytest.raises(UserError, match='by 1 processes, this run has 2'):
        batches_left(0, 2, [[2, 3, 1]], monkeypatch, 'AspectRatioBatchSampler')
    # Of three images two processes have trained one each and one of them begins anew.
    _, left = batches_left(0, 1, [[3, 1, 1], [2, 1, 2]], monkeypatch)
    assert [one for batch in left for one in batch] == order[6:]


def test_a_run_without_a_seed_goes_on_in_its_order(tmp_path):
    train(tmp_path / 'run', **settings_of(epochs=2, randomness=dict(seed=5)))
    whole = state(tmp_path / 'run')[0]['epoch_2.pth']
    with pytest.raises(Killed):
        make_runner(
            tmp_path / 'two',
            hooks=(dict(type='EndAt', iteration=7),),
            **settings_of(epochs=2, randomness=dict(seed=5)),
        ).train()
    resumed = str(tmp_path / 'two' / 'epoch_1.pth')
    make_runner(tmp_path / 'two', resume=resumed, **settings_of(epochs=2, randomness=dict(seed=None))).train()
    assert_same(state(tmp_path / 'two')[0]['epoch_2.pth'], whole)


@pytest.mark.fault('D6')
def test_an_earlier_validation_is_not_the_result(tmp_path):
    runner = train(tmp_path, **settings_of(epochs=2))
    assert _last_validation(runner)['score'] == pytest.approx(float(state(tmp_path)[1][-1]['score']))
    runner.train_loop.position['validated'] = 5
    assert _last_validation(runner) == {}


@pytest.mark.fault('4.12', '4.18')
def test_killed_before_an_outdated_checkpoint_is_deleted(tmp_path, monkeypatch):
    """It is deleted when the run is resumed."""
    settings = settings_of(epochs=4, checkpoint=dict(max_keep_ckpts=2))

    def killed(hook, path):
        if path.endswith('epoch_1.pth'):
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(CheckpointHook, '_delete', killed)
        train_interruptibly(make_runner(tmp_path, **settings))
    assert (tmp_path / 'epoch_3.pth').is_file()
    train(tmp_path, **settings)
    assert {path.name for path in tmp_path.glob('*.pth')} == {'epoch_3.pth', 'epoch_4.pth'}
