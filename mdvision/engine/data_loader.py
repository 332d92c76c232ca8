"""The data loader of a run: the order of its images, their random numbers, and resuming in mid-epoch.

Random augmentation depends on the seed, the epoch and the image, and on nothing else. mmengine seeds a
process once, when it starts. The augmentation of an image then depends on everything that was drawn before
it: an interrupted run resumes with different numbers, workers that do not persist draw the same ones in every
epoch, and two models see different augmentations of the same image. Here, the generators are reseeded for
each image, from its place in the order of the epoch. That order depends only on the seed and the epoch, so
neither history nor the number of workers, processes or images per batch has an effect.

A sampler of your own needs nothing of this module: register it in mmengine's ``DATA_SAMPLERS`` and name it
in ``train_dataloader.sampler``. It gets ``dataset`` and ``seed`` and yields the indices of this process. Its
order must follow from ``self.seed`` and the epoch (``set_epoch``), as that of mmengine's own, or from the
generators of Python, NumPy and torch, which are seeded before each pass; then a resumed run has the same
order. :class:`PlacingSampler` wraps it.
"""

import copy
import inspect
import random
from collections.abc import Iterator, Sequence
from itertools import chain, islice

import numpy as np
import torch
from mmengine.dist import get_dist_info, get_rank
from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import BatchSampler, DataLoader, Dataset, Sampler

from mdvision.engine.hooks.bad_images import ImageGuard
from mdvision.errors import UserError

# So that an image and an iteration with the same numbers draw different ones.
_IMAGE, _ITERATION, _PASS = 1, 2, 3

__all__ = ['Place', 'PlacingSampler', 'SeededImages', 'SeededLoader', 'seed_iteration', 'seed_pass']


def seed_iteration(seed: int, iteration: int) -> None:
    """Make what this process draws from here on (dropout, mixup, proposals) depend on the iteration.

    Each process of a run draws different numbers.
    """
    _seed_generators(_ITERATION, seed, get_rank(), iteration)


def seed_pass(seed: int, number: int) -> None:
    """Do the same before a pass through the data, for samplers that draw from these generators."""
    _seed_generators(_PASS, seed, number)


def _seed_generators(*entropy: int) -> None:
    """Seed the generators of Python, NumPy and torch, including the GPUs'; it takes 30 microseconds."""
    words = np.random.SeedSequence(entropy).generate_state(3)
    random.seed(int(words[0]))
    np.random.seed(words[1])
    # Not torch.manual_seed: while no GPU is in use, it remembers each call until one is.
    torch.default_generator.manual_seed(int(words[2]))
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(int(words[2]))


class Place(int):
    """An image index that knows at which point of the training it was sampled.

    Attributes:
        epoch: counted from 0; always 0 for a sampler that never ends.
        place: position in the order of that epoch, over all processes.
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
    """The sampler of a config, except that its indices are of type :class:`Place`.

    Args:
        sampler: its config.
        dataset, seed: what mmengine passes to a sampler.
    """

    def __init__(self, sampler: dict, dataset: Dataset, seed: int | None = None):
        self.inner = DATA_SAMPLERS.build(sampler, default_args=dict(dataset=dataset, seed=seed))
        self.epoch = 0
        self._rank, self._processes = get_dist_info()
        self._rest: Iterator | None = None  # of the next pass, if only part of it is wanted
        self._trained = 0

    def __iter__(self) -> Iterator[int]:
        rest, self._rest = self._rest, None
        yield from self._places() if rest is None else rest

    def __len__(self) -> int:
        return max(len(self.inner) - self._trained, 0)  # an endless sampler returns the size of the data set

    def _places(self) -> Iterator[int]:
        for number, index in enumerate(self.inner):
            place = number * self._processes + self._rank
            yield Place(index, self.epoch, place) if isinstance(index, int) else index

    def skip(self, batch_sampler: Sampler, trained: Sequence) -> int:
        """Skip the part of the next pass that has been trained already.

        With the same batches as before, the pass resumes with the batch after the last one. With different
        batches, each remaining image comes once.

        Args:
            batch_sampler: makes the batches of these images.
            trained: (images per batch, batches, processes), one after the other.

        Returns:
            How many fewer batches there are than in a whole pass.

        Raises:
            UserError: if a different number of processes makes other batches than those that were trained.
        """
        whole = len(batch_sampler)
        if all(processes == self._processes for *_, processes in trained):
            self._rest, self._trained = self._replayed(batch_sampler, trained)
        elif type(batch_sampler) is BatchSampler:
            images = 0  # the first ones in the order of all processes
            for batch_size, batches, processes in trained:
                images += batch_size * batches * processes - images % processes
            # Every process needs the same number: a few images may come twice, none is left out.
            self._trained = images // self._processes
            self._rest = islice(self._places(), self._trained, None)
        else:
            raise UserError(
                f'The checkpoint was saved in the middle of an epoch by {trained[-1][2]} processes, this run '
                f'has {self._processes}, and with a {type(batch_sampler).__name__} the rest of the epoch '
                'depends on that. Resume with as many processes, or from a checkpoint saved at the end of an '
                'epoch.'
            )
        left, self._trained = len(batch_sampler), 0
        return whole - left

    def _replayed(self, batch_sampler: Sampler, trained: Sequence) -> tuple[Iterator, int]:
        """Return what remains after these batches have been made again, and how many images they had."""
        rest, done = self._places(), 0
        for batch_size, batches, _ in trained:
            # It may hold back images that wait for others of their kind: these remain too.
            past = copy.deepcopy(batch_sampler, {id(self): self, id(self.dataset): self.dataset})
            past.batch_size = batch_size
            drawn = {}
            self._rest = _recorded(rest, drawn)
            for batch in islice(iter(past), batches):
                done += len(batch)
                for one in batch:
                    del drawn[one.place]
            rest = chain(list(drawn.values()), rest)
        return rest, done

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch
        if hasattr(self.inner, 'set_epoch'):
            self.inner.set_epoch(epoch)

    def __getattr__(self, name: str) -> object:
        if name == 'inner':  # while it is copied or unpickled
            raise AttributeError(name)
        return getattr(self.inner, name)


def _recorded(places: Iterator[Place], drawn: dict[int, Place]) -> Iterator[Place]:
    for one in places:
        drawn[one.place] = one
        yield one


class SeededImages(Dataset):
    """The images of a data set, each augmented with its own random numbers.

    Indexed with a :class:`Place`, it seeds the generators first. That takes 30 microseconds per image,
    whereas decoding an image takes thousands. Indexed with a plain index, it behaves like the data set.
    """

    def __init__(self, dataset: Dataset, seed: int):
        self.dataset = dataset
        self.seed = seed
        self.guard = ImageGuard(dataset, seed)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> object:
        if not isinstance(index, Place):
            return self.guard.fetch(index)
        return self.guard.fetch(
            int(index), lambda: _seed_generators(_IMAGE, self.seed, index.epoch, index.place)
        )


class SeededLoader(DataLoader):
    """mmengine's loader, which takes its images from :class:`SeededImages`.

    ``dataset`` remains the data set of the config: hooks inspect it, check its type and change it.

    Args:
        loader: what mmengine has built; its data set, sampler and workers are adopted.
        seed: seed of the run.
    """

    def __init__(self, loader: DataLoader, seed: int):
        self._fetching = False  # True while the workers receive the data set to fetch from
        super().__init__(**_arguments(loader))
        self.images = SeededImages(loader.dataset, seed)

    @property
    def dataset(self) -> Dataset:
        return self.images if self._fetching else self._own

    @dataset.setter
    def dataset(self, dataset: Dataset) -> None:
        self._own = dataset

    def __iter__(self) -> Iterator:
        self._fetching = True
        try:
            return super().__iter__()
        finally:
            self._fetching = False

    def skip(self, trained: Sequence) -> int:
        """Skip what has been trained of the next pass; see :meth:`PlacingSampler.skip`."""
        return self.batch_sampler.sampler.skip(self.batch_sampler, trained)

    def reseed(self, seed: int) -> None:
        """Use the order and the augmentation of another seed, such as that of a resumed run."""
        self.images.seed = self.batch_sampler.sampler.inner.seed = seed


def _arguments(loader: DataLoader) -> dict[str, object]:
    """Return the arguments that make another loader like this one."""
    names = set(inspect.signature(DataLoader.__init__).parameters) - {'self', 'shuffle'}  # it has its sampler
    # A loader with an external batch sampler has none of the first; any other makes its own batch sampler.
    of_outside = loader.batch_sampler is not None and loader.batch_size is None
    names -= {'batch_size', 'sampler', 'drop_last'} if of_outside else {'batch_sampler'}
    return {name: getattr(loader, name) for name in names}
