"""What is not finite never reaches the weights, and the message says what it was and where."""

import contextlib
import csv

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import DATASETS, HOOKS, MODELS, OPTIM_WRAPPERS
from mmengine.structures import BaseDataElement
from torch import nn
from torch.utils.data import Dataset

from mdvision.engine.hooks import divergence
from mdvision.engine.hooks.divergence import MOST_SKIPPED, DivergedError
from tests.engine.toy import make_runner


@DATASETS.register_module(force=True)
class NamedPictures(Dataset):
    metainfo = dict(classes=('a', 'b'))

    def __init__(self, size: int = 8):
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict:
        sample = BaseDataElement(metainfo=dict(img_path=f'pictures/{index}.jpg'))
        return dict(inputs=torch.full((3,), 1.0 + index), data_samples=sample)


@MODELS.register_module(force=True)
class Spoilt(BaseModel):
    """Two layers and two losses; iterations ``at`` to ``until`` have ``what`` times ``value``."""

    def __init__(self, at=3, what='gradient', value=float('nan'), until=None):
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Linear(2, 1)
        self.span, self.what, self.value = range(at, (at if until is None else until) + 1), what, value
        self.iteration = 0

    def forward(self, inputs, data_samples=None, mode='tensor'):
        inputs = torch.stack(list(inputs))
        if mode != 'loss':
            return [self.last(self.norm(self.first(inputs)))]
        self.iteration += 1
        now = self.iteration in self.span
        hidden = self.first(inputs)
        if now and self.what == 'statistics':
            hidden = hidden * self.value
        hidden = self.norm(hidden)
        if now and self.what == 'gradient':  # of the first layer and the norm, not of the last one
            hidden.register_hook(lambda gradient: gradient * self.value)
        value = self.last(hidden)
        box = value.abs().mean()
        return dict(
            loss_cls=(value - 1).square().mean(),
            loss_box=box * self.value if now and self.what == 'loss' else box,
        )


@HOOKS.register_module(force=True)
class Copies(Hook):
    """The weights and the files before each iteration."""

    weights: dict[int, dict] = {}

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        state = runner.model.state_dict().items()
        self.weights[runner.iter + 1] = {name: value.clone() for name, value in state}


def diverge(work_dir, model=None, **more):
    """The error, and the model that it leaves."""
    Copies.weights.clear()
    more.setdefault('train_dataloader', dict(dataset=dict(type='NamedPictures')))
    model = dict(type='Spoilt', **(model or {}))
    runner = make_runner(work_dir, epochs=2, hooks=(dict(type='Copies'),), model=model, **more)
    with pytest.raises(DivergedError) as caught:
        runner.train()
    return str(caught.value), runner.model


def same_parameters(model, iteration):
    return all(torch.equal(p, Copies.weights[iteration][name]) for name, p in model.named_parameters())


@pytest.mark.fault('D23', '4.1')
@pytest.mark.parametrize('value', [float('nan'), float('inf')])
@pytest.mark.parametrize('clip', [None, dict(max_norm=1.0), dict(type='value', clip_value=1.0)])
def test_a_gradient_that_is_not_finite_does_not_reach_the_weights(value, clip, tmp_path):
    text, model = diverge(tmp_path, dict(value=value), optim_wrapper=dict(clip_grad=clip))
    assert 'The gradient of a finite loss became NaN or infinite at iteration 3' in text
    # Behind a batch norm a bias has no effect, but its gradient is spoilt too.
    assert 'in 4 of 6 parameters, the first first.weight, the last norm.bias' in text
    assert 'The weights are still those of the last good iteration; nothing was saved' in text
    assert same_parameters(model, 3)
    assert not same_parameters(model, 2)
    assert not list(tmp_path.glob('*.pth'))


@pytest.mark.fault('4.1', '4.2')
def test_the_message_names_the_terms_the_iteration_and_the_images(tmp_path):
    sampler = dict(type='DefaultSampler', shuffle=False)
    loader = dict(dataset=dict(type='NamedPictures'), sampler=sampler)
    text, model = diverge(tmp_path, dict(what='loss'), train_dataloader=loader)
    assert 'The loss became nan at iteration 3: loss_box is nan (finite: loss_cls ' in text
    assert 'Images since the last update: pictures/4.jpg, pictures/5.jpg.' in text
    assert 'optim_wrapper.optimizer.lr' in text
    assert same_parameters(model, 3)


@pytest.mark.fault('4.2')
def test_a_long_list_of_images_is_cut_on_the_console_and_whole_in_the_log(tmp_path):
    loader = dict(dataset=dict(type='NamedPictures', size=40), batch_size=20)
    text, _ = diverge(tmp_path, dict(what='loss', at=2), train_dataloader=loader)
    assert text.count('.jpg') == divergence.SHOWN
    assert 'and 4 more (all of them in the log file)' in text
    (log,) = tmp_path.glob('*/*.log')
    (line,) = [line for line in log.read_text().splitlines() if 'images since the last update' in line]
    assert line.count('.jpg') == 20


@pytest.mark.fault('4.2')
def test_in_the_first_iteration_which_leaves_no_log_all_images_are_shown(tmp_path):
    loader = dict(dataset=dict(type='NamedPictures', size=40), batch_size=20)
    text, _ = diverge(tmp_path, dict(what='loss', at=1), train_dataloader=loader)
    assert text.count('.jpg') == 20
    assert 'log file' not in text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault('D23')
def test_what_is_said_about_the_weights_is_true(tmp_path):
    """After an update that overflowed, and after a batch that spoilt the running statistics."""
    huge = dict(type='SGD', lr=1e38)
    text, model = diverge(
        tmp_path / 'a', dict(at=99), optim_wrapper=dict(optimizer=huge), param_scheduler=None
    )
    spoilt = [name for name, p in model.named_parameters() if not p.isfinite().all()]
    assert spoilt
    assert f'{len(spoilt)} weight tensors already contain NaN or infinity, the first {spoilt[0]}' in text
    text, model = diverge(tmp_path / 'b', dict(what='statistics'))
    assert not model.norm.running_mean.isfinite().all()
    assert 'but 2 running statistics include the batch (the first norm.running_mean)' in text
    assert same_parameters(model, 3)


@pytest.mark.fault('D23')
def test_summed_gradients_are_looked_at_before_the_update(tmp_path):
    """Four iterations an update: the third spoils the sum, all their images are named."""
    sampler = dict(type='DefaultSampler', shuffle=False)
    loader = dict(dataset=dict(type='NamedPictures'), sampler=sampler)
    text, model = diverge(tmp_path, optim_wrapper=dict(accumulative_counts=4), train_dataloader=loader)
    assert 'at iteration 4' in text
    assert 'pictures/0.jpg, pictures/1.jpg, pictures/2.jpg' in text
    assert text.count('.jpg') == 8
    assert same_parameters(model, 1)


@OPTIM_WRAPPERS.register_module(force=True)
class ScaledOptimWrapper(AmpOptimWrapper):
    """mmengine's with a loss scaler, which it builds for GPUs only."""

    def __init__(self, **kwargs):
        OptimWrapper.__init__(self, **kwargs)
        self.loss_scaler, self._scale_update_param = torch.amp.GradScaler('cpu'), None

    def optim_context(self, model):
        return contextlib.nullcontext()


@pytest.mark.fault('D23')
def test_what_the_loss_scaler_skips_does_not_stop_a_run(tmp_path):
    wrapper = dict(type='ScaledOptimWrapper', optimizer=dict(type='SGD', lr=0.01))
    loader = dict(dataset=dict(type='NamedPictures'))
    settings = dict(optim_wrapper=wrapper, train_dataloader=loader)
    runner = make_runner(tmp_path / 'a', epochs=2, model=dict(type='Spoilt', at=3, until=5), **settings)
    runner.train()
    assert runner.optim_wrapper.loss_scaler.get_scale() == 65536 / 2**3
    assert all(p.isfinite().all() for p in runner.model.parameters())


@pytest.mark.fault('D23')
def test_a_loss_scaler_that_skips_every_update_ends_the_run(tmp_path):
    wrapper = dict(type='ScaledOptimWrapper', optimizer=dict(type='SGD', lr=0.01))
    loader = dict(dataset=dict(type='NamedPictures', size=8 * MOST_SKIPPED))
    text, _ = diverge(tmp_path, dict(at=3, until=999), optim_wrapper=wrapper, train_dataloader=loader)
    assert f'at iteration {3 + MOST_SKIPPED}' in text
    assert f'as in the {MOST_SKIPPED} updates before it' in text


@pytest.mark.fault('D23')
def test_all_processes_stop_after_the_same_iteration(tmp_path, monkeypatch):
    """The loss of the other process is spoilt in the third iteration; the exchange is faked."""
    exchanged = []

    def all_reduce(flags, op):
        assert op == 'max'
        exchanged.append(flags.tolist())
        flags[1] = max(flags[1], int(len(exchanged) == 3))

    monkeypatch.setattr(divergence, 'get_world_size', lambda: 2)
    monkeypatch.setattr(divergence, 'all_reduce', all_reduce)
    text, model = diverge(tmp_path / 'other', dict(at=99))
    assert 'The loss of another process is not finite, at or before iteration 3' in text
    assert same_parameters(model, 3)
    exchanged.clear()
    text, model = diverge(tmp_path / 'own', dict(at=2, what='loss'))
    assert 'The loss became nan at iteration 2: loss_box is nan' in text
    assert exchanged[1] == [1, 1]  # the other one has been told
    assert same_parameters(model, 2)


def test_a_sound_run_is_as_without_a_look(tmp_path, monkeypatch):
    """The same weights to the last bit, and the loss terms in the log."""
    loader = dict(dataset=dict(type='NamedPictures'))
    settings = dict(model=dict(type='Spoilt', at=99), train_dataloader=loader)
    make_runner(tmp_path / 'a', **settings).train()
    monkeypatch.setattr(divergence.DivergenceHook, 'before_run', lambda *args: None)
    make_runner(tmp_path / 'b', **settings).train()
    one, other = (torch.load(tmp_path / x / 'epoch_2.pth', weights_only=False) for x in 'ab')
    assert all(torch.equal(value, other['state_dict'][name]) for name, value in one['state_dict'].items())
    with (tmp_path / 'a' / 'metrics.csv').open() as file:
        assert all(float(row['loss_box']) > 0 for row in csv.DictReader(file) if row['phase'] == 'train')
