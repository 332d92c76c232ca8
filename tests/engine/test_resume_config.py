"""A resumed run and its config: nothing may be missing, and a changed setting takes effect."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import ConstantLR, OptimWrapper, OptimWrapperDict
from mmengine.registry import HOOKS, PARAM_SCHEDULERS

from mdvision import UserError
from mdvision.checkpoints.reading import read_checkpoint
from mdvision.checkpoints.resumable import nothing_left
from mdvision.commands import train as command
from mdvision.engine import runner as runner_module
from mdvision.engine.hooks import resumed_settings as settings
from mdvision.engine.hooks.interruption import Interrupted, train_interruptibly
from tests.engine.toy import last, make_runner, same_training


@HOOKS.register_module(force=True)
class RatesOfEpochs(Hook):
    """The learning rate of the first iteration of every epoch, by its number."""

    seen: dict[int, float] = {}

    def before_train_epoch(self, runner):
        self.seen[runner.epoch + 1] = runner.optim_wrapper.get_lr()['lr'][0]


def train(work_dir, **settings):
    """The rates of the epochs that were trained."""
    RatesOfEpochs.seen.clear()
    validations = dict(type='ToyMetric', values=tuple(range(1, 30)))
    make_runner(work_dir, hooks=(dict(type='RatesOfEpochs'),), val_evaluator=validations, **settings).train()
    return dict(RatesOfEpochs.seen)


@pytest.fixture
def said(monkeypatch):
    lines = []
    for module in (command, runner_module, settings):
        monkeypatch.setattr(module, 'say', lines.append)
    return lines


def cosine(epochs):
    return [dict(type='CosineAnnealingLR', T_max=epochs, end=epochs, eta_min=1e-5)]


@pytest.mark.fault('D4', '4.21')
def test_a_raised_length_gives_the_rates_of_a_run_of_that_length(tmp_path, said):
    """20 epochs of cosine, resumed with 24: what an uninterrupted run of 24 has, to the last bit."""
    whole = train(tmp_path / 'whole', epochs=24, param_scheduler=cosine(24))
    train(tmp_path / 'run', epochs=20, param_scheduler=cosine(20))
    resume = str(tmp_path / 'run' / 'epoch_20.pth')
    rates = train(tmp_path / 'run', epochs=24, param_scheduler=cosine(24), resume=resume)
    assert rates == {epoch: whole[epoch] for epoch in (21, 22, 23, 24)}
    (line,) = [line for line in said if line.startswith('resume')]
    assert 'CosineAnnealingLR.T_max 20 -> 24' in line
    assert 'CosineAnnealingLR.end 20 -> 24' in line


@pytest.mark.fault('D4', '4.21')
@pytest.mark.parametrize(
    ('before', 'after', 'named'),
    [
        (
            dict(optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9))),
            dict(optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.001, momentum=0.9))),
            ['optim_wrapper.optimizer.lr 0.01 -> 0.001'],
        ),
        (
            dict(param_scheduler=[dict(type='MultiStepLR', milestones=[1, 3])]),
            dict(param_scheduler=[dict(type='MultiStepLR', milestones=[2, 5], gamma=0.5)]),
            ['MultiStepLR.milestones [1, 3] -> [2, 5]', 'MultiStepLR.gamma 0.1 -> 0.5'],
        ),
        (
            dict(param_scheduler=cosine(4)),
            dict(param_scheduler=[dict(type='ExponentialLR', gamma=0.5)]),
            ['param_scheduler CosineAnnealingLR -> ExponentialLR'],
        ),
        (dict(param_scheduler=cosine(4)), dict(param_scheduler=None), ['CosineAnnealingLR -> none']),
        (dict(param_scheduler=None), dict(param_scheduler=cosine(6)), ['param_scheduler none -> Cosine']),
        (
            dict(param_scheduler=[dict(type='LinearLR', end=3, convert_to_iter_based=True)]),
            dict(param_scheduler=[dict(type='LinearLR', end=4, convert_to_iter_based=True)]),
            ['LinearLR.end 12 -> 16'],
        ),
        (
            dict(optim_wrapper=dict(paramwise_cfg=dict(bias_lr_mult=2.0))),
            dict(optim_wrapper=dict(paramwise_cfg=dict(bias_lr_mult=3.0))),
            ['lr 0.02 -> 0.03 in 1 of 2 groups'],
        ),
        (
            dict(param_scheduler=[dict(type='OneCycleLR', eta_max=0.1, total_steps=6, end=6)]),
            dict(param_scheduler=[dict(type='OneCycleLR', eta_max=0.1, total_steps=6, end=6, pct_start=0.6)]),
            ['other arguments of OneCycleLR'],
        ),
        (
            dict(param_scheduler=[dict(type='OneCycleLR', eta_max=0.1, total_steps=6, end=6)]),
            dict(param_scheduler=[dict(type='OneCycleLR', eta_max=0.2, total_steps=6, end=6)]),
            ['lr 0.004 -> 0.008'],
        ),
    ],
    ids=['lr', 'milestones', 'another', 'none', 'first', 'iterations', 'group', 'unnamed', 'peak'],
)  # fmt: skip
def test_a_changed_schedule_takes_effect_and_is_named(before, after, named, tmp_path, said):
    whole = train(tmp_path / 'whole', epochs=6, **after)
    train(tmp_path / 'run', epochs=2, **before)
    rates = train(tmp_path / 'run', epochs=6, resume=str(tmp_path / 'run' / 'epoch_2.pth'), **after)
    assert rates == {epoch: whole[epoch] for epoch in (3, 4, 5, 6)}
    (line,) = [line for line in said if line.startswith('resume')]
    assert all(text in line for text in named)
    assert '(from the config)' in line


@pytest.mark.fault('D4')
def test_other_settings_of_the_optimizer_take_effect_and_its_state_stays(tmp_path, said):
    adam = dict(type='AdamW', lr=0.01, weight_decay=0.1)
    train(tmp_path, epochs=1, optim_wrapper=dict(optimizer=adam))
    resume = str(tmp_path / 'epoch_1.pth')
    changed = dict(adam, weight_decay=0.2, betas=(0.8, 0.99))
    runner = make_runner(tmp_path, epochs=2, resume=resume, optim_wrapper=dict(optimizer=changed))
    seen = []

    class Look(Hook):
        def before_train_epoch(self, runner):
            state = runner.optim_wrapper.state_dict()
            seen.append((state['param_groups'][0], state['state'][0]['exp_avg'].clone()))

    runner.register_hook(Look())
    runner.train()
    group, average = seen[0]
    assert (group['weight_decay'], group['betas']) == (0.2, (0.8, 0.99))
    written = last(tmp_path, 1)['optimizer']
    assert group['lr'] == written['param_groups'][0]['lr']
    assert torch.equal(average, written['state'][0]['exp_avg'])
    (line,) = [line for line in said if line.startswith('resume')]
    assert 'weight_decay 0.1 -> 0.2' in line
    assert 'betas (0.9, 0.999) -> (0.8, 0.99)' in line


@pytest.mark.fault('D4')
def test_a_changed_schedule_of_the_first_beta_takes_effect(tmp_path):
    def settings(epochs):
        schedule = dict(type='CosineAnnealingMomentum', T_max=epochs, end=epochs, eta_min=0.5)
        adam = dict(optimizer=dict(type='AdamW', lr=0.01))
        return dict(epochs=epochs, param_scheduler=[schedule], optim_wrapper=adam)

    train(tmp_path / 'whole', **settings(6))
    train(tmp_path / 'run', **settings(4))
    train(tmp_path / 'run', resume=str(tmp_path / 'run' / 'epoch_4.pth'), **settings(6))
    whole, resumed = (last(tmp_path / name, 5)['optimizer']['param_groups'][0] for name in ('whole', 'run'))
    assert 0.5 < whole['betas'][0] < 0.6
    assert resumed['betas'] == whole['betas']


def test_of_many_changes_eight_are_named(tmp_path, said):
    def settings(**optimizer):
        return dict(optim_wrapper=dict(optimizer=dict(type='AdamW', **optimizer)))

    train(tmp_path, epochs=1, param_scheduler=cosine(1), **settings(lr=0.01))
    changed = settings(lr=0.02, betas=(0.8, 0.99), eps=1e-6, weight_decay=0.2, foreach=False, maximize=True)
    resume = str(tmp_path / 'epoch_1.pth')
    train(tmp_path, epochs=3, param_scheduler=[dict(cosine(3)[0], eta_min=0)], resume=resume, **changed)
    (line,) = [line for line in said if line.startswith('resume')]
    assert line.count(' -> ') == 8
    assert line.endswith(' and 1 more (from the config)')


def test_of_two_optimizers_one_may_have_no_schedule():
    wrappers = OptimWrapperDict(
        **{name: OptimWrapper(torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=0.1)) for name in 'ab'}
    )
    schedulers = dict(a=[ConstantLR(wrappers['a'], end=3)])
    runner = SimpleNamespace(optim_wrapper=wrappers, param_schedulers=schedulers)
    settings.SettingsHook().before_run(runner)
    types = {name: [one['type'] for one in made['schedulers']] for name, made in runner.settings.items()}
    assert types == dict(a=['ConstantLR'], b=[])


@PARAM_SCHEDULERS.register_module(force=True)
class UnreadableLR(ConstantLR):
    def __init__(self, *args, **kwargs):
        self.helper = object()
        super().__init__(*args, **kwargs)


def test_what_a_scheduler_may_keep_is_said(tmp_path):
    with pytest.raises(UserError) as error:
        make_runner(tmp_path, param_scheduler=[dict(type='UnreadableLR')]).train()
    assert str(error.value) == (
        "param_scheduler UnreadableLR: its state 'helper' (object) could not be read back from a checkpoint, "
        'since reading one executes no code. Its state_dict() may hold numbers, text, lists, dicts and '
        'tensors; leave out the rest, or express it in such values.'
    )


def test_an_unchanged_config_says_nothing_and_changes_no_bit(tmp_path, said):
    settings = dict(epochs=4, param_scheduler=cosine(4))
    train(tmp_path / 'whole', **settings)
    train(tmp_path / 'run', **settings)
    train(tmp_path / 'run', resume=str(tmp_path / 'run' / 'epoch_2.pth'), **settings)
    assert same_training(last(tmp_path / 'whole', 4), last(tmp_path / 'run', 4))
    assert not [line for line in said if line.startswith(('resume', 'note'))]


@pytest.mark.fault('D4')
def test_a_schedule_that_follows_the_validations_goes_on_and_says_what_has_no_effect(tmp_path, said):
    """The losses of the validations, after epochs 2 and 4, are 10 and 20: the rate falls once."""
    plateau = dict(type='ReduceOnPlateauLR', monitor='loss', patience=0)
    settings = dict(param_scheduler=[plateau], train_cfg=dict(val_interval=2))
    train(tmp_path, epochs=6, **settings)
    resume = str(tmp_path / 'epoch_5.pth')
    assert train(tmp_path, epochs=6, resume=resume, **settings) == {6: pytest.approx(0.001)}
    assert not [line for line in said if line.startswith('resume')]
    settings['optim_wrapper'] = dict(optimizer=dict(type='SGD', lr=0.5, momentum=0.8))
    rates = train(tmp_path, epochs=6, resume=resume, **settings)
    assert rates == {6: pytest.approx(0.001)}
    ignored, followed = (line for line in said if line.startswith('resume'))
    assert 'ReduceOnPlateauLR depends on past validations' in ignored
    assert 'without effect: optim_wrapper.optimizer.lr 0.01 -> 0.5' in ignored
    assert followed == 'resume: optim_wrapper.optimizer.momentum 0.9 -> 0.8 (from the config)'


@pytest.mark.fault('D4')
@pytest.mark.parametrize('enable', [True, False])
def test_the_rate_follows_another_batch_where_it_is_scaled(enable, tmp_path, said):
    """The rule for a resumed run is that of a new one: what the config says holds."""
    settings = dict(auto_scale_lr=dict(base_batch_size=2, enable=enable), param_scheduler=None)
    train(tmp_path, epochs=1, **settings)
    settings['train_dataloader'] = dict(batch_size=4)
    rates = train(tmp_path, epochs=2, resume=str(tmp_path / 'epoch_1.pth'), **settings)
    assert rates[2] == pytest.approx(0.02 if enable else 0.01)
    notes = ' '.join(said)
    assert ('optim_wrapper.optimizer.lr 0.01 -> 0.02' in notes) == enable
    assert (
        f'2 images per update, this run has 4; the learning rate is {"" if enable else "not "}scaled' in notes
    )


@pytest.mark.fault('D4')
def test_a_schedule_in_iterations_goes_on_at_its_epoch_with_another_batch(tmp_path):
    """Batches twice as large make half the iterations; stopped at the end of epoch 2."""
    schedule = [dict(type='CosineAnnealingLR', T_max=6, end=6, convert_to_iter_based=True)]
    large = dict(epochs=6, param_scheduler=schedule, train_dataloader=dict(batch_size=4))
    whole = train(tmp_path / 'whole', **large)
    every = dict(checkpoint=dict(by_epoch=False, interval=2))
    train(tmp_path / 'run', epochs=6, param_scheduler=schedule, **every)
    # Written before the end of epoch 2, which is made up for.
    rates = train(tmp_path / 'a', resume=str(tmp_path / 'run' / 'iter_8.pth'), **large)
    assert {epoch: rates[epoch] for epoch in (3, 4, 5, 6)} == {epoch: whole[epoch] for epoch in (3, 4, 5, 6)}


@HOOKS.register_module(force=True)
class RatesOfIterations(Hook):
    seen: list[float] = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.seen.append(runner.optim_wrapper.get_lr()['lr'][0])


@pytest.mark.fault('D4')
@pytest.mark.parametrize(('stopped', 'rest'), [(5, 10), (6, 9), (7, 9)])
def test_a_schedule_in_iterations_goes_on_in_its_epoch_with_another_batch(tmp_path, stopped, rest):
    """Stopped in epoch 2 after so many batches of two; the rest is in batches of four, of the same epochs."""
    schedule = [dict(type='CosineAnnealingLR', T_max=6, end=6, convert_to_iter_based=True)]
    settings = dict(epochs=6, param_scheduler=schedule)
    settings['val_evaluator'] = dict(type='ToyMetric', values=tuple(range(1, 30)))
    large = settings | dict(train_dataloader=dict(batch_size=4))
    rates = dict(type='RatesOfIterations')

    def rates_of(folder, *hooks, **settings):
        RatesOfIterations.seen.clear()
        train_interruptibly(make_runner(tmp_path / folder, hooks=(rates, *hooks), **settings))
        return list(RatesOfIterations.seen)

    whole = rates_of('whole', **large)
    assert len(whole) == 12
    with pytest.raises(Interrupted):
        rates_of('run', dict(type='SignalAt', iteration=stopped - 1), **settings)
    resumed = rates_of('run', resume=str(tmp_path / 'run' / 'interrupted.pth'), **large)
    assert len(resumed) == rest
    assert resumed == whole[-rest:]


def test_a_file_without_settings_is_followed_and_named(tmp_path, said):
    """Of an earlier version, or of mmengine itself."""
    whole = train(tmp_path, epochs=4, param_scheduler=cosine(4))
    path = tmp_path / 'epoch_2.pth'
    file = last(tmp_path, 2)
    del file['meta']['settings']
    torch.save(file, path)
    rates = train(tmp_path, epochs=4, param_scheduler=cosine(4), resume=str(path))
    assert rates == {3: whole[3], 4: whole[4]}
    assert sum('does not say which settings' in line for line in said) == 1


def start(path, tmp_path, **more):
    """What ``tools/train.py --resume path`` does before it builds anything."""
    cfg = Config(dict(train_cfg=dict(max_epochs=3), param_scheduler=cosine(3)) | more)
    return command._resume_or_start(cfg, str(path), tmp_path)


def change(path, tmp_path, edit):
    file = read_checkpoint(str(path))
    edit(file)
    torch.save(file, tmp_path / 'changed.pth')
    return tmp_path / 'changed.pth'


@pytest.mark.fault('D1', 'j')
def test_a_best_checkpoint_cannot_be_resumed(tmp_path):
    train(tmp_path, epochs=2, checkpoint=dict(save_best='score', rule='greater'))
    best = tmp_path / 'best_score_epoch_2.pth'
    (tmp_path / 'interrupted.pth').touch()
    with pytest.raises(
        UserError, match=r'weights only.*Expected an epoch_N.pth.* epoch_2\.pth, interrupted.*load_from='
    ):
        start(best, tmp_path)
    with pytest.raises(UserError, match='weights only'):
        make_runner(tmp_path, epochs=3, resume=str(best)).train()


@pytest.mark.fault('6.11')
def test_bare_weights_cannot_be_resumed(tmp_path):
    torch.save(dict(weight=torch.ones(3)), tmp_path / 'bare.pth')
    with pytest.raises(UserError, match=r'weights only.*load_from='):
        start(tmp_path / 'bare.pth', tmp_path)


@pytest.mark.fault('j')
@pytest.mark.parametrize(
    ('edit', 'message'),
    [
        (lambda file: file.pop('message_hub'), "no 'message_hub'"),
        (lambda file: (file.pop('param_schedulers'), file['meta'].pop('settings')), "no 'param_schedulers'"),
        (lambda file: file.update(meta='epoch 1'), r'meta\.epoch.*got str'),
        (lambda file: file.update(meta=None), r'meta\.epoch.*got NoneType'),
        (lambda file: file.update(meta=dict(epoch='1', iter=4)), r"meta\.epoch.*got \['epoch', 'iter'\]"),
        (lambda file: file.update(optimizer=3), 'weights only'),
        (lambda file: file.pop('optimizer'), 'weights only'),
    ],
    ids=['message_hub', 'schedulers', 'text', 'none', 'epoch as text', 'optimizer', 'no optimizer'],
)
def test_a_missing_part_is_one_clear_error(edit, message, tmp_path):
    train(tmp_path, epochs=1)
    with pytest.raises(UserError, match=message):
        start(change(tmp_path / 'epoch_1.pth', tmp_path, edit), tmp_path)


@pytest.mark.fault('j')
def test_the_state_of_another_optimizer_is_refused(tmp_path):
    adam = dict(type='AdamW', lr=0.01)
    train(tmp_path, epochs=1, optim_wrapper=dict(optimizer=adam))
    path = tmp_path / 'epoch_1.pth'
    with pytest.raises(UserError, match=r"state of AdamW, the config has .*type='SGD'"):
        train(tmp_path, epochs=2, resume=str(path))
    old = change(path, tmp_path, lambda file: file['meta'].pop('settings'))
    with pytest.raises(UserError, match=r'an optimizer with amsgrad, betas.*SGD does not have'):
        train(tmp_path, epochs=2, resume=str(old))
    other = change(path, tmp_path, lambda file: file.update(optimizer=dict(state={})))
    with pytest.raises(UserError, match='the form of torch'):
        train(tmp_path, epochs=2, optim_wrapper=dict(optimizer=adam), resume=str(other))
    groups = dict(optimizer=adam, paramwise_cfg=dict(bias_lr_mult=2.0))
    with pytest.raises(UserError, match='2 tensors in 1 group, that of the config 2 tensors in 2 groups'):
        train(tmp_path, epochs=2, optim_wrapper=groups, resume=str(path))


@pytest.mark.fault('4.22', 'D4')
def test_the_advice_at_the_end_of_a_run_is_true(tmp_path, said):
    train(tmp_path, epochs=3, param_scheduler=cosine(3))
    path = tmp_path / 'epoch_3.pth'
    assert not start(path, tmp_path)
    assert 'already at epoch 3 of 3: nothing left to train' in said[-1]
    assert (
        'raise train_cfg.max_epochs together with param_scheduler.0.T_max, param_scheduler.0.end' in said[-1]
    )
    assert start(path, tmp_path, train_cfg=dict(max_epochs=5), param_scheduler=cosine(5))
    rates = train(tmp_path, epochs=5, param_scheduler=cosine(5), resume=str(path))
    whole = train(tmp_path / 'whole', epochs=5, param_scheduler=cosine(5))
    assert rates == {4: whole[4], 5: whole[5]}


@pytest.mark.parametrize(
    ('schedule', 'also'),
    [
        (None, ''),
        (dict(type='CosineAnnealingLR', T_max=4), ' together with param_scheduler.T_max'),
        (
            [
                dict(type='LinearLR', end=1),
                dict(type='LinearLR', by_epoch=False, end=4),
                dict(type='CosineAnnealingLR', begin=1, T_max=3, end=4),
            ],
            ' together with param_scheduler.2.T_max, param_scheduler.2.end',
        ),
    ],
    ids=['none', 'one', 'list'],
)
def test_the_advice_names_what_ends_with_the_run(schedule, also):
    cfg = Config(dict(train_cfg=dict(max_epochs=4), param_scheduler=schedule))
    said = nothing_left(dict(epoch=4, iter=16), 'epoch_4.pth', cfg)
    assert f'To train longer, raise train_cfg.max_epochs{also}: the learning rates' in said


def test_the_end_of_a_run_that_counts_iterations(tmp_path, said):
    train(tmp_path, epochs=1)
    assert not start(tmp_path / 'epoch_1.pth', tmp_path, train_cfg=dict(max_iters=4))
    assert 'already at iteration 4 of 4' in said[-1]
