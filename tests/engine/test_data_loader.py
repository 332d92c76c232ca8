"""Random numbers: of an image from seed, epoch and image; of the model from seed, process and iteration."""

import random

import numpy as np
import pytest
import torch
from mmengine.registry import DATASETS

from mdvision.engine.data_loader import Place, seed_iteration, seed_pass
from tests.engine.toy import ToyData, make_runner


@DATASETS.register_module(force=True)
class DrawingData(ToyData):
    """Each point has its number and what three generators draw for it."""

    def __getitem__(self, index: int) -> dict:
        assert type(index) is int
        drawn = random.random(), np.random.rand(), torch.rand(()).item()
        return dict(inputs=torch.tensor([float(index), *drawn], dtype=torch.float64))


def loader_of(folder, size=8, kind='DefaultSampler', seed=0, **more):
    sampler = dict(type=kind, shuffle=True)
    more = dict(num_workers=0, batch_size=2, sampler=sampler) | more
    runner = make_runner(
        folder,
        randomness=dict(seed=seed),
        train_dataloader=more | dict(dataset=dict(type='DrawingData', size=size)),
    )
    return runner.train_dataloader


def draws(loader, epoch: int, images: int = 8) -> dict[int, tuple]:
    """What is drawn for each point in an epoch."""
    loader.sampler.set_epoch(epoch)
    points = []
    for batch in loader:
        points += batch['inputs']
        if len(points) >= images:
            break
    assert len(points) == images
    return {int(point[0]): tuple(point[1:].tolist()) for point in points}


WAYS = (
    dict(num_workers=2),
    dict(num_workers=1, persistent_workers=True),
    dict(num_workers=2, persistent_workers=True),
    dict(batch_size=4),
)


@pytest.mark.fault('4.19', 'D32')
@pytest.mark.parametrize('way', WAYS, ids=str)
def test_an_image_draws_the_same_in_the_same_epoch_however_it_is_loaded(tmp_path, way):
    plain, other = loader_of(tmp_path), loader_of(tmp_path, **way)
    expected = [draws(plain, epoch) for epoch in range(3)]
    torch.rand(5), np.random.rand(5), random.random()  # another history
    assert [draws(other, epoch) for epoch in range(3)] == expected
    assert draws(loader_of(tmp_path), 2) == expected[2]  # as after a resumption
    every = [value for epoch in expected for values in epoch.values() for value in values]
    assert len(set(every)) == 3 * 8 * 3  # each epoch, image and generator has numbers of its own


@pytest.mark.fault('4.19')
def test_a_sampler_without_end_draws_anew_in_each_pass(tmp_path):
    loader = loader_of(tmp_path, kind='InfiniteSampler', num_workers=2)
    batches = iter(loader)
    points = [point for _ in range(12) for point in next(batches)['inputs']]
    assert sorted(int(point[0]) for point in points) == sorted([*range(8)] * 3)
    assert len({point[1].item() for point in points}) == 24
    again = iter(loader_of(tmp_path, kind='InfiniteSampler', batch_size=4))
    assert torch.equal(torch.stack(points), torch.stack([p for _ in range(6) for p in next(again)['inputs']]))


def test_another_seed_is_another_augmentation(tmp_path):
    one, other = (draws(loader_of(tmp_path, seed=seed), 0) for seed in (0, 1))
    assert not set(one.values()) & set(other.values())


def test_an_epoch_does_not_depend_on_the_number_of_processes(tmp_path, monkeypatch):
    whole = draws(loader_of(tmp_path), 1)
    parts = {}
    for rank in (0, 1):
        for module in ('mmengine.dataset.sampler', 'mdvision.engine.data_loader'):
            monkeypatch.setattr(f'{module}.get_dist_info', lambda rank=rank: (rank, 2))
        parts |= draws(loader_of(tmp_path), 1, images=4)
    assert parts == whole


def test_the_data_set_of_the_loader_is_that_of_the_config(tmp_path):
    loader = loader_of(tmp_path)
    assert type(loader.dataset) is DrawingData
    next(iter(loader))
    assert type(loader.dataset) is DrawingData
    assert loader.dataset[3]['inputs'][0] == 3  # without a place it draws as it always did
    assert loader.sampler.shuffle is True


@pytest.mark.fault('D32')
def test_the_model_draws_by_the_iteration(monkeypatch):
    def drawn(iteration, rank=0):
        monkeypatch.setattr('mdvision.engine.data_loader.get_rank', lambda: rank)
        seed_iteration(0, iteration)
        return random.random(), np.random.rand(), torch.rand(()).item()

    assert drawn(5) == drawn(5)
    assert len({drawn(5), drawn(6), drawn(5, rank=1), drawn(6, rank=1)}) == 4


def test_a_pass_draws_by_its_number_and_the_seed():
    def drawn(seed_generators, *numbers):
        seed_generators(*numbers)
        return random.random(), np.random.rand(), torch.rand(()).item()

    ways = [(seed_pass, 0, 1), (seed_pass, 1, 1), (seed_pass, 0, 2), (seed_iteration, 0, 1)]
    assert drawn(seed_pass, 0, 1) == drawn(seed_pass, 0, 1)
    assert len({drawn(*way) for way in ways}) == 4


def test_a_place_is_an_index_in_other_processes_too():
    import pickle

    place = pickle.loads(pickle.dumps(Place(7, epoch=2, place=3)))
    assert (place, place.epoch, place.place) == (7, 2, 3)
