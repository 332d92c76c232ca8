"""A probability that reaches the loader's workers, of every kind, while they live."""

import copy
import pickle

import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmengine.dataset import BaseDataset
from mmengine.registry import TRANSFORMS
from torch.utils.data import DataLoader, Dataset

import mdvision
from mdvision.datasets.scheduled_transform import ScheduledProbability
from mdvision.errors import UserError


def mark(results: dict) -> dict:
    return dict(results, applied=True)


class Samples(Dataset):
    """What a worker sees: the probability, and whether each of two transforms was applied."""

    def __init__(self, length: int, start: float = 0.6):
        self.length = length
        self.transforms = [ScheduledProbability(mark, start) for _ in range(2)]

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        applied = ['applied' in transform({}) for transform in self.transforms]
        return self.transforms[0].probability, applied[0], applied[1]


def epoch_of(loader) -> np.ndarray:
    """(samples, 3): probability, first applied, second applied."""
    return np.concatenate([torch.stack(batch, 1).double().numpy() for batch in loader])


def seed_worker(index):
    np.random.seed(100 + index)


WORKERS = [
    pytest.param(dict(num_workers=0), id='no workers'),
    pytest.param(dict(num_workers=2, multiprocessing_context='fork'), id='fork'),
    pytest.param(
        dict(num_workers=2, multiprocessing_context='fork', persistent_workers=True), id='fork, persistent'
    ),
    pytest.param(dict(num_workers=2, multiprocessing_context='spawn'), id='spawn', marks=pytest.mark.slow),
    pytest.param(
        dict(num_workers=2, multiprocessing_context='spawn', persistent_workers=True),
        id='spawn, persistent',
        marks=pytest.mark.slow,
    ),
]


@pytest.mark.parametrize('workers', WORKERS)
def test_every_worker_follows_each_change(workers):
    np.random.seed(0)
    samples = Samples(4000)
    loader = DataLoader(samples, batch_size=500, worker_init_fn=seed_worker, **workers)
    for probability in (0.6, 0.3, 0.0, 1.0)[: 2 if 'spawn' in workers.values() else 4]:
        for transform in samples.transforms:
            transform.probability = probability
        seen = epoch_of(loader)
        assert (seen[:, 0] == probability).all()
        # Four standard deviations of the mean of 4000 draws; the two transforms are independent.
        spread = 4 * (probability * (1 - probability) / 4000) ** 0.5
        assert abs(seen[:, 1].mean() - probability) <= spread
        assert abs(seen[:, 2].mean() - probability) <= spread
        assert abs((seen[:, 1] * seen[:, 2]).mean() - probability**2) <= spread


def test_an_attribute_would_not_have_reached_persistent_workers():
    """Why the number is in shared memory: this is what the authors' code did."""
    samples = Samples(8)
    for transform in samples.transforms:
        transform._shared = torch.tensor(0.6, dtype=torch.float64)
    loader = DataLoader(samples, num_workers=2, persistent_workers=True, multiprocessing_context='fork')
    epoch_of(loader)
    samples.transforms[0].probability = 0.1
    assert (epoch_of(loader)[:, 0] == 0.6).all()


def test_it_starts_with_start():
    transform = ScheduledProbability(mark, start=0.25)
    assert transform.start == transform.probability == 0.25
    transform.probability = 0.5
    assert transform.start == 0.25


def test_the_inner_transform_is_applied_or_the_sample_stays():
    transform, sample = ScheduledProbability(mark, start=1), dict(img=0)
    assert transform(sample) == dict(img=0, applied=True)
    transform.probability = 0
    assert transform(sample) is sample


@pytest.mark.parametrize('duplicate', [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_has_a_number_of_its_own_that_is_shared_too(duplicate):
    transform = ScheduledProbability(mark, start=0.5)
    other = duplicate(transform)
    other.probability = 0.1
    assert transform.probability == 0.5
    assert other._shared.is_shared()


def test_a_subset_of_a_data_set_still_reaches_its_workers():
    dataset = BaseDataset(metainfo=dict(), lazy_init=True, pipeline=[ScheduledProbability(mark, 1.0)])
    dataset.data_list, dataset._fully_initialized, dataset.serialize_data = (
        [{} for _ in range(6)],
        True,
        False,
    )
    subset = dataset.get_subset([0, 1, 2, 3])
    loader = DataLoader(
        subset, num_workers=1, collate_fn=list, persistent_workers=True, multiprocessing_context='fork'
    )
    assert all('applied' in sample for batch in loader for sample in batch)
    subset.pipeline.transforms[0].probability = 0.0
    assert not any('applied' in sample for batch in loader for sample in batch)


def test_a_config_builds_it_with_a_transform_of_either_host():
    for name in ('ScheduledProbability', 'mdvision.ScheduledProbability'):
        config = dict(type=name, start=0.6, transform=dict(type='RandomFlip', prob=1.0))
        built = Compose([config]).transforms[0]
        assert isinstance(built, mdvision.ScheduledProbability)
        image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
        built.probability = 1.0
        assert (built(dict(img=image))['img'] == image[:, ::-1]).all()


def test_no_host_has_a_transform_of_this_name():
    import mmdet.registry
    import mmpretrain.registry

    for registry in (mmdet.registry.TRANSFORMS, mmpretrain.registry.TRANSFORMS):
        registry.import_from_location()
        assert 'ScheduledProbability' not in registry._module_dict
    assert TRANSFORMS._module_dict['ScheduledProbability'] is ScheduledProbability


@pytest.mark.parametrize('start', [-0.1, 1.1, '0.6', None])
def test_a_probability_is_from_0_to_1(start):
    with pytest.raises(UserError, match='from 0 to 1'):
        ScheduledProbability(mark, start)
    with pytest.raises(UserError, match='from 0 to 1'):
        ScheduledProbability(mark, 0.5).probability = start
