"""The schedule of the augmentation in mmengine's own training loop, with real workers and after resuming."""

import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset, Compose, ConcatDataset, RepeatDataset
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch.utils.data import DataLoader, Subset

import mdvision
from mdvision.datasets.augmentation_schedule import augmentation_probability
from mdvision.datasets.scheduled_transform import ScheduledProbability
from mdvision.engine.hooks.augmentation_schedule import AugmentationScheduleHook, scheduled_transforms
from mdvision.errors import UserError

EPOCHS, START = 6, 0.8
CURVE = [augmentation_probability(epoch, EPOCHS, START) for epoch in range(EPOCHS)]


class Probe:
    """An inner transform that leaves a trace."""

    def __call__(self, results):
        results['inputs'][0] += 1
        return results


class Samples(BaseDataset):
    """Each sample is (times applied, probability), as the worker has it."""

    def __init__(self, *first, transforms=(), length=1200):
        self.length = length
        super().__init__(pipeline=[*first, *transforms])

    def load_data_list(self):
        return [{} for _ in range(self.length)]

    def prepare_data(self, index):
        transforms = scheduled_transforms(self.pipeline)
        probability = transforms[0].probability if transforms else 0.0
        return self.pipeline(dict(inputs=torch.tensor([0.0, probability], dtype=torch.float64)))


def wrapped(*pipelines):
    """Data sets with these pipelines, each repeated, in one; mmengine's wrappers nest as configs only."""
    datasets = (dict(type=Samples, transforms=pipeline, length=300) for pipeline in pipelines)
    return ConcatDataset([dict(type=RepeatDataset, dataset=dataset, times=2) for dataset in datasets])


class Toy(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, inputs, mode='tensor'):
        return dict(loss=self.weight.sum())


class Recorder(Hook):
    """Per epoch the mean of (applied, probability) over all samples, and the logged probability."""

    def __init__(self):
        self.epochs, self.logged = {}, {}

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.epochs.setdefault(runner.epoch, []).append(data_batch['inputs'])

    def after_train_epoch(self, runner):
        scalar = runner.message_hub.get_scalar('train/augmentation_probability')
        self.logged[runner.epoch] = scalar.current()

    def means(self):
        return {epoch: torch.cat(batches).mean(0).numpy() for epoch, batches in self.epochs.items()}

    def probabilities(self):
        """Of each epoch; all samples must have the same."""
        values = {epoch: torch.cat(batches)[:, 1].unique() for epoch, batches in self.epochs.items()}
        return {epoch: value.item() for epoch, value in values.items()}


def seed_worker(index):
    np.random.seed(7 + index)


@pytest.fixture
def train(tmp_path):
    def train(schedule, dataset, epochs=EPOCHS, checkpoint=None, train_cfg=None, stop=None, **workers):
        recorder = Recorder()
        loader = DataLoader(dataset, batch_size=300, worker_init_fn=seed_worker, **workers)
        hooks = [AugmentationScheduleHook(schedule), recorder]
        if stop is not None:
            hooks.append(StopAfter(stop))
        quiet = dict.fromkeys(('logger', 'timer', 'sampler_seed', 'runtime_info', 'param_scheduler'))
        runner = Runner(
            model=Toy(),
            work_dir=str(tmp_path),
            experiment_name=f'{tmp_path.name}-{len(list(tmp_path.iterdir()))}',
            train_dataloader=loader,
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
            train_cfg=train_cfg or dict(by_epoch=True, max_epochs=epochs),
            default_hooks=dict(quiet, checkpoint=dict(type='CheckpointHook', interval=1)),
            custom_hooks=hooks,
            load_from=checkpoint,
            resume=checkpoint is not None,
            log_level='ERROR',
        )
        runner.train()
        # Ends persistent workers here; in a later collection of garbage they are waited for in vain.
        loader._iterator = None
        return recorder

    return train


class StopAfter(Hook):
    def __init__(self, epochs):
        self.epochs = epochs

    def after_train_epoch(self, runner):
        if runner.epoch + 1 == self.epochs:
            runner.train_loop.stop_training = True


WORKERS = [
    pytest.param(dict(num_workers=0), id='no workers'),
    pytest.param(dict(num_workers=2, multiprocessing_context='fork'), id='fork'),
    pytest.param(
        dict(num_workers=2, multiprocessing_context='fork', persistent_workers=True), id='fork, persistent'
    ),
    pytest.param(
        dict(num_workers=2, multiprocessing_context='spawn', persistent_workers=True),
        id='spawn, persistent',
        marks=pytest.mark.slow,
    ),
]


@pytest.mark.parametrize('workers', WORKERS)
def test_the_applications_follow_the_cosine(train, workers):
    np.random.seed(0)
    recorder = train('cosine', Samples(ScheduledProbability(Probe(), START)), **workers)
    assert recorder.probabilities() == dict(enumerate(CURVE))
    assert recorder.logged == dict(enumerate(CURVE))
    for epoch, (applied, probability) in recorder.means().items():
        # Four standard deviations of the mean of 1200 draws.
        assert abs(applied - CURVE[epoch]) < 4 * (probability * (1 - probability) / 1200) ** 0.5


@pytest.mark.parametrize('workers', WORKERS[:3])
def test_constant_stays_at_the_start(train, workers):
    np.random.seed(0)
    recorder = train('constant', Samples(ScheduledProbability(Probe(), START)), epochs=3, **workers)
    assert recorder.probabilities() == dict.fromkeys(range(3), START)
    for applied, _ in recorder.means().values():
        assert abs(applied - START) < 4 * (START * (1 - START) / 1200) ** 0.5


@pytest.mark.parametrize('workers', WORKERS[:3])
@pytest.mark.parametrize('schedule', ['cosine', 'constant'])
def test_a_resumed_training_continues_the_curve(train, tmp_path, schedule, workers):
    def dataset():
        return Samples(ScheduledProbability(Probe(), START), length=300)

    want = CURVE if schedule == 'cosine' else [START] * EPOCHS
    first = train(schedule, dataset(), stop=3, **workers)
    assert first.probabilities() == {epoch: want[epoch] for epoch in range(3)}
    second = train(schedule, dataset(), checkpoint=str(tmp_path / 'epoch_3.pth'), **workers)
    assert second.probabilities() == {epoch: want[epoch] for epoch in range(3, EPOCHS)}


def test_each_transform_has_its_own_start(train):
    low, high = (ScheduledProbability(Probe(), start) for start in (0.2, 0.6))
    recorder = train('cosine', Samples(low, high, length=300), num_workers=0)
    last = EPOCHS - 1
    assert low.probability == augmentation_probability(last, EPOCHS, 0.2)
    assert high.probability == augmentation_probability(last, EPOCHS, 0.6)
    assert recorder.logged[0] == 0.6


def test_transforms_are_found_through_all_wrappers():
    inner = ScheduledProbability(Probe(), 0.1)
    outer = ScheduledProbability(Compose([inner]), 0.2)
    other = ScheduledProbability(Probe(), 0.3)
    shared = Samples(outer)
    found = scheduled_transforms(wrapped([outer], [outer], [Compose([other])]))
    assert len(found) == 3
    assert {id(transform) for transform in found} == {id(outer), id(inner), id(other)}
    assert scheduled_transforms(Subset(shared, [0])) == [outer, inner]
    assert scheduled_transforms(Samples()) == []


def test_wrapped_data_reaches_persistent_workers(train):
    one, two = (ScheduledProbability(Probe(), START) for _ in range(2))
    workers = dict(num_workers=2, persistent_workers=True, multiprocessing_context='fork')
    assert train('cosine', wrapped([one], [two]), **workers).probabilities() == dict(enumerate(CURVE))


def test_data_without_a_scheduled_transform_is_an_error(train):
    with pytest.raises(UserError, match=r'no scheduled transform.*pipeline'):
        train('constant', Samples(Probe()), num_workers=0)


def test_a_cosine_needs_epochs(train):
    dataset = Samples(ScheduledProbability(Probe(), START))
    with pytest.raises(UserError, match='counts iterations'):
        train('cosine', dataset, train_cfg=dict(by_epoch=False, max_iters=4), num_workers=0)


def test_an_unknown_schedule_is_named():
    with pytest.raises(UserError, match=r"'cosin'.*Did you mean 'cosine'"):
        AugmentationScheduleHook('cosin')


@pytest.mark.parametrize('name', ['AugmentationScheduleHook', 'mdvision.AugmentationScheduleHook'])
def test_a_config_builds_it(name):
    assert isinstance(HOOKS.build(dict(type=name)), mdvision.AugmentationScheduleHook)


def test_no_host_has_a_hook_of_this_name():
    import mmdet.registry
    import mmpretrain.registry

    for registry in (mmdet.registry.HOOKS, mmpretrain.registry.HOOKS):
        registry.import_from_location()
        assert 'AugmentationScheduleHook' not in registry._module_dict
