"""Random augmentation that follows from the seed, the epoch and the image, and from nothing else.

mmengine seeds a process once, when it starts. What an image is augmented with then depends on all that was
drawn before it: a run that was interrupted goes on with other numbers, workers that do not persist draw the
same ones in every epoch, and two models see other augmentations of the same image. Here the generators are
seeded anew for each image, from its place in the order of the epoch. That order depends on the seed and the
epoch only, so neither history nor the number of workers, of processes or of images in a batch has an effect.
"""

import random
from collections.abc import Iterator

import numpy as np
import torch
from mmengine.dist import get_dist_info, get_rank
from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import DataLoader, Dataset, Sampler

# So that an image and an iteration of the same numbers draw different ones.
_IMAGE, _ITERATION = 1, 2

__all__ = ['FetchingLoader', 'Place', 'PlacingSampler', 'SeededImages', 'seed_iteration']


def seed_iteration(seed: int, iteration: int) -> None:
    """Make what this process draws from here on (dropout, mixup, proposals) follow from the iteration.

    Each process of a training draws other numbers.
    """
    _seed_generators(_ITERATION, seed, get_rank(), iteration)


def _seed_generators(*entropy: int) -> None:
    """Seed those of Python, NumPy and torch, the GPUs' included; it takes 30 microseconds."""
    words = np.random.SeedSequence(entropy).generate_state(3)
    random.seed(int(words[0]))
    np.random.seed(words[1])
    # Not torch.manual_seed: without a GPU in use it remembers each call until there is one.
    torch.default_generator.manual_seed(int(words[2]))
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(int(words[2]))


class Place(int):
    """The index of an image, which knows where in the training it was drawn.

    Attributes:
        epoch: from 0; always 0 for a sampler that never ends.
        place: in the order of that epoch, over all processes.
    """

    epoch: int
    place: int

    def __new__(cls, index: int, epoch: int, place: int):
        self = super().__new__(cls, index)
        self.epoch, self.place = epoch, place
        return self

    def __reduce__(self) -> tuple:
        return Place, (int(self), self.epoch, self.place)


class PlacingSampler(Sampler):
    """The sampler of a config, whose indices are of type :class:`Place`; otherwise it behaves as that one.

    Args:
        sampler: its config.
        dataset, seed: what mmengine gives a sampler.
    """

    def __init__(self, sampler: dict, dataset: Dataset, seed: int | None = None):
        self.inner = DATA_SAMPLERS.build(sampler, default_args=dict(dataset=dataset, seed=seed))
        self.epoch = 0
        self._rank, self._processes = get_dist_info()

    def __iter__(self) -> Iterator[int]:
        for count, index in enumerate(self.inner):
            place = count * self._processes + self._rank
            yield Place(index, self.epoch, place) if isinstance(index, int) else index

    def __len__(self) -> int:
        return len(self.inner)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch
        if hasattr(self.inner, 'set_epoch'):
            self.inner.set_epoch(epoch)

    def __getattr__(self, name: str) -> object:
        if name == 'inner':  # while it is copied or unpickled
            raise AttributeError(name)
        return getattr(self.inner, name)


class SeededImages(Dataset):
    """The images of a data set, each augmented with random numbers of its own.

    Asked with a :class:`Place`, it seeds the generators first; that is 30 microseconds an image, where
    decoding one takes thousands. Asked with a plain index it is the data set.
    """

    def __init__(self, dataset: Dataset, seed: int):
        self.dataset = dataset
        self.seed = seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> object:
        if not isinstance(index, Place):
            return self.dataset[index]
        _seed_generators(_IMAGE, self.seed, index.epoch, index.place)
        return self.dataset[int(index)]


class FetchingLoader(DataLoader):
    """mmengine's loader, which takes its images from :class:`SeededImages`.

    ``dataset`` stays the data set of the config: hooks look into it, ask for its type and change it.
    """

    images: SeededImages

    @classmethod
    def convert(cls, loader: DataLoader, seed: int) -> None:
        """Make a loader that mmengine has built one of these."""
        loader.__class__ = cls
        loader.images = SeededImages(loader.dataset, seed)

    def __iter__(self) -> Iterator:
        own = self.dataset
        # DataLoader forbids the assignment because a running iterator would not see it.
        vars(self)['dataset'] = self.images
        try:
            return super().__iter__()
        finally:
            vars(self)['dataset'] = own
