"""Every scheduler and optimizer that a config can name is saved, read and resumed to the last bit."""

import mmdet.engine  # noqa: F401
import mmpretrain.engine  # noqa: F401
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.optim import ConstantLR
from mmengine.registry import HOOKS, MODELS, OPTIMIZERS, PARAM_SCHEDULERS
from torch import nn

import mdvision.commands.train  # noqa: F401
from mdvision import UserError
from tests.engine.toy import ToyData, last, make_runner, same_training

PACKAGES = ('torch', 'mmengine', 'mmdet', 'mmpretrain', 'mdvision')


def registered(registry):
    """Names in a registry and those below it, of the packages that a config of ours or theirs can use."""
    found = {
        f'{registry.scope}.{name}'
        for name, kind in registry.module_dict.items()
        if kind.__module__.split('.')[0] in PACKAGES
    }
    return found.union(*map(registered, registry.children.values()))


# Arguments by the name without what it is applied to (LR, Momentum, ParamScheduler).
SCHEDULERS = {
    'Constant': dict(factor=0.5, end=3),
    'CosineAnnealing': dict(T_max=4),
    'CosineAnnealingWeightDecay': dict(T_max=4),
    'CosineAnnealingCooldown': dict(T_max=4, eta_min=1e-3, cool_down_ratio=0.1, cool_down_time=1),
    'CosineRestart': dict(periods=[2, 2], restart_weights=[1, 0.5], eta_min=0.001),
    'Exponential': dict(gamma=0.5),
    'Linear': dict(start_factor=0.1, end=4),
    'MultiStep': dict(milestones=[1, 3]),
    'OneCycle': dict(eta_max=0.1, total_steps=5),
    'Poly': dict(power=2.0),
    'PolyWarmup': dict(start_factor=0.1, end=4),
    'QuadraticWarmup': dict(end=4),
    'ReduceOnPlateau': dict(monitor='loss', patience=0),
    'Step': dict(step_size=2),
}
APPLIED_TO = ('ParamScheduler', 'Momentum', 'LR')

# Arguments of each optimizer.
OPTIMIZER_ARGUMENTS = {
    'ASGD': dict(lr=0.01),
    'Adadelta': dict(lr=0.1),
    'Adagrad': dict(lr=0.01),
    'Adam': dict(lr=0.01, amsgrad=True),
    'AdamW': dict(lr=0.01),
    'Adamax': dict(lr=0.01),
    'Adan': dict(lr=0.01),
    'LARS': dict(lr=0.01, momentum=0.9),
    'Lamb': dict(lr=0.01),
    'Muon': dict(lr=0.01),
    'NAdam': dict(lr=0.01),
    'RAdam': dict(lr=0.01),
    'RMSprop': dict(lr=0.01, momentum=0.9, centered=True),
    'Rprop': dict(lr=0.01),
    'SGD': dict(lr=0.01, momentum=0.9, nesterov=True),
    'SparseAdam': dict(lr=0.01),
    'TorchAdafactor': dict(lr=0.01),
}
# What mmengine registers but cannot train with as it stands.
WITHOUT_TRAINING = {
    'LBFGS': 'its step wants a function that computes the loss anew',
    'Optimizer': 'the base class',
    'ZeroRedundancyOptimizer': 'wants a process group',
}


@HOOKS.register_module(force=True)
class EveryRate(Hook):
    """Rate, momentum and weight decay of every iteration, by its number."""

    seen: dict[int, tuple] = {}

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        groups = runner.optim_wrapper.param_groups
        keys = ('lr', 'momentum', 'weight_decay')
        self.seen[runner.iter] = tuple(group.get(key) for group in groups for key in keys)


@MODELS.register_module(force=True)
class MatrixModel(BaseModel):
    """A matrix without a bias, which may have sparse gradients."""

    def __init__(self, sparse: bool = False):
        super().__init__()
        self.rows = nn.Embedding(8, 2, sparse=sparse)

    def forward(self, inputs, mode='tensor'):
        value = self.rows(torch.stack(list(inputs))[:, 0].long()).sum()
        return dict(loss=(value - 1).square()) if mode == 'loss' else [value]


def train_and_resume(folder, **settings):
    """The rates of four epochs, and of the last two when they are trained again from a checkpoint."""
    settings |= dict(train_cfg=dict(val_interval=4), hooks=(dict(type='EveryRate'),))
    rates = []
    for name, resume in (('whole', None), ('resumed', str(folder / 'whole' / 'epoch_2.pth'))):
        EveryRate.seen.clear()
        make_runner(folder / name, epochs=4, resume=resume, **settings).train()
        rates.append(dict(EveryRate.seen))
    return rates


@pytest.mark.fault('D5', 'j')
@pytest.mark.parametrize('name', sorted(registered(PARAM_SCHEDULERS)))
def test_every_scheduler_can_be_resumed(name, tmp_path):
    kind, suffix = name, ''
    for ending in APPLIED_TO:
        if name.endswith(ending):
            kind, suffix = name.removesuffix(ending), ending
    kind = kind.rpartition('.')[2]
    assert kind in SCHEDULERS, f'{name} is not tested: give arguments for it'
    scheduler = dict(type=name, **SCHEDULERS[kind])
    if suffix == 'ParamScheduler':
        scheduler['param_name'] = 'lr'
    optimizer = dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=0.1)
    settings = dict(param_scheduler=[scheduler], optim_wrapper=dict(optimizer=optimizer))
    whole, rest = train_and_resume(tmp_path, **settings)
    assert rest == {number: whole[number] for number in range(8, 16)}
    assert len(set(whole.values())) > 1 or kind == 'ReduceOnPlateau'
    assert same_training(last(tmp_path / 'whole', 4), last(tmp_path / 'resumed', 4))


@pytest.mark.fault('D5', 'j')
@pytest.mark.parametrize('name', sorted(registered(OPTIMIZERS) - {f'mmengine.{n}' for n in WITHOUT_TRAINING}))
def test_every_optimizer_can_be_resumed(name, tmp_path):
    kind = name.rpartition('.')[2]
    assert kind in OPTIMIZER_ARGUMENTS, f'{name} is not tested: give arguments for it'
    settings = dict(optim_wrapper=dict(optimizer=dict(type=name, **OPTIMIZER_ARGUMENTS[kind])))
    if kind in ('Muon', 'SparseAdam'):
        settings['model'] = dict(type='MatrixModel', sparse=kind == 'SparseAdam')
    train_and_resume(tmp_path, **settings)
    whole, resumed = last(tmp_path / 'whole', 4), last(tmp_path / 'resumed', 4)
    assert whole['optimizer']['state']
    assert same_training(whole, resumed)


class Helper:
    """Something that no safe reader makes."""


@PARAM_SCHEDULERS.register_module(force=True)
class HelpedLR(ConstantLR):
    """Keeps an object, from its start or from a step on."""

    def __init__(self, *args, after: int = 0, **kwargs):
        self.after, self.helper = after, None
        super().__init__(*args, **kwargs)

    def step(self):
        super().step()
        if self.last_step >= self.after:
            self.helper = [Helper()]


@pytest.mark.fault('D4')
@pytest.mark.parametrize(('after', 'trained'), [(0, 0), (2, 2)])
def test_a_scheduler_whose_state_cannot_be_read_again_is_refused(after, trained, tmp_path):
    """At the start where it is known then; else no checkpoint is written that is worth nothing."""
    ToyData.seen.clear()
    scheduler = dict(type='HelpedLR', after=after)
    runner = make_runner(tmp_path, epochs=3, param_scheduler=[scheduler])
    with pytest.raises(UserError, match=r"param_scheduler HelpedLR: its state 'helper' \(list\)"):
        runner.train()
    assert len(ToyData.seen) == 8 * trained
    assert len(list(tmp_path.glob('*.pth'))) == max(trained - 1, 0)
