"""A miniature training run: what would fail after hours fails in the first minute."""

import copy
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import torch
from mmengine.config import Config
from mmengine.dist import (
    all_gather_object,
    barrier,
    broadcast_object_list,
    get_world_size,
    is_main_process,
)
from mmengine.registry import DATASETS
from torch.utils.data import DataLoader, Dataset

from mdvision.console import say
from mdvision.engine.runner import Runner
from mdvision.errors import UserError
from mdvision.work_dir.folder import find_resumable

__all__ = ['TrialRunner', 'dry_run', 'shortened']


def dry_run(cfg: Config, min_match: float, check: Callable[[Runner], None]) -> None:
    """Run two iterations, a validation batch, a checkpoint, and one iteration resumed from it.

    Everything happens in a temporary folder; the work directory is not touched. The data sets are built
    completely, so that all of their checks run.

    Args:
        cfg: the config of the run, with everything from the command line; not changed.
        min_match: how much of a checkpoint to start from must match.
        check: called with the runner before training.

    Raises:
        UserError: what is wrong, and in which part it occurred; other errors pass through unchanged.
    """
    with tempfile.TemporaryDirectory(prefix='mdvision_dry_run_', ignore_cleanup_errors=True) as own:
        shared = [own]
        broadcast_object_list(shared)
        # Another machine does not see the main process's folder, and uses its own.
        folder = Path(shared[0] if Path(shared[0]).is_dir() else own)
        part = 'two iterations, a validation batch, a checkpoint'
        try:
            runner = _build(shortened(cfg, folder, batches=2, until=1), part)
            runner.min_match = min_match
            check(runner)
            runner.train()
            checkpoint = _written_by_the_main_process(folder)
            if checkpoint is None:
                raise UserError('no checkpoint was written. Is there a CheckpointHook in default_hooks?')
            part = f'one more iteration, from {checkpoint.name}'
            short = shortened(cfg, folder, batches=1, until=2)
            short.load_from, short.resume = str(checkpoint), True
            runner = _build(short, part)
            runner.train()
        except UserError as error:
            raise UserError(f'dry run failed ({part}): {error}') from error
        seconds = runner.message_hub.get_scalar('train/time').current()
        memory = f', {torch.cuda.max_memory_allocated() // 2**20:,} MiB' if torch.cuda.is_available() else ''
        say(f'dry run passed: three iterations, two validations, a resumption; the last iteration took '
            f'{seconds:.2f} s{memory}')  # fmt: skip
        barrier()  # the folder belongs to the main process


def _written_by_the_main_process(folder: Path) -> Path | None:
    """Return the checkpoint to resume from, in ``folder`` on each machine; None if there is none."""
    written = find_resumable(folder) if is_main_process() else None
    name = [written and written.name]
    broadcast_object_list(name)
    if name[0] is None:
        return None
    checkpoint = folder / name[0]
    if not all(all_gather_object(checkpoint.is_file())):
        content = [checkpoint.read_bytes() if is_main_process() else None]
        broadcast_object_list(content)
        if not checkpoint.is_file():
            checkpoint.write_bytes(content[0])
    return checkpoint


def _build(cfg: Config, part: str) -> Runner:
    runner = TrialRunner.from_cfg(cfg)
    say(f'dry run: {part}')
    return runner


def shortened(cfg: Config, folder: Path, batches: int, until: int) -> Config:
    """Return the config of a run of few iterations, with the same parts.

    Args:
        cfg: not changed.
        folder: the run's folder.
        batches: number of batches per epoch.
        until: number of epochs; in a run that counts iterations, the end of this part.
    """
    cfg = copy.deepcopy(cfg)
    cfg.work_dir, cfg.experiment_name = str(folder), f'{folder.name}_{until}'
    cfg.train_dataloader.num_batch_per_epoch = batches
    if cfg.get('val_dataloader'):
        cfg.val_dataloader.num_batch_per_epoch = 1
    by_epoch = not (cfg.train_cfg.get('max_iters') or cfg.train_cfg.get('by_epoch') is False)
    if by_epoch:
        cfg.train_cfg.max_epochs, interval = until, 1
    else:
        cfg.train_cfg.max_iters, interval = until + 1, until + 1
    cfg.train_cfg.val_begin = 1
    cfg.train_cfg.val_interval = interval
    cfg.train_cfg.pop('dynamic_intervals', None)
    hooks = cfg.setdefault('default_hooks', {})
    hooks.checkpoint = {**dict(hooks.get('checkpoint') or dict(type='CheckpointHook')), 'interval': interval}
    hooks.checkpoint.pop('save_begin', None)
    hooks.logger = {**dict(hooks.get('logger') or dict(type='LoggerHook')), 'interval': 1}
    # No charts, least of all on someone's server.
    if cfg.get('visualizer'):
        cfg.visualizer.vis_backends = [dict(type='LocalVisBackend')]
    return cfg


class TrialRunner(Runner):
    """A runner that can be built several times from one config: each data set is built and checked once."""

    data_sets: ClassVar[dict[str, Dataset]] = {}

    @staticmethod
    def build_dataloader(dataloader: DataLoader | dict, *args, **kwargs) -> DataLoader:
        """Return a loader of the first batches; ``num_batch_per_epoch`` fails on a smaller data set."""
        if isinstance(dataloader, dict) and 'num_batch_per_epoch' in dataloader:
            dataloader = dict(dataloader)
            batches, dataset = dataloader.pop('num_batch_per_epoch'), _build_once(dataloader['dataset'])
            images = batches * dataloader.get('batch_size', 1) * get_world_size()
            dataloader['dataset'] = _FirstImages(dataset, images)
        elif isinstance(dataloader, dict):
            dataloader = dict(dataloader, dataset=_build_once(dataloader['dataset']))
        return Runner.build_dataloader(dataloader, *args, **kwargs)


def _build_once(dataset: Dataset | dict) -> Dataset:
    if not isinstance(dataset, dict):
        return dataset
    key = repr(dataset)
    if key not in TrialRunner.data_sets:
        built = DATASETS.build(dataset)
        if hasattr(built, 'full_init'):
            built.full_init()
        TrialRunner.data_sets[key] = built
    return TrialRunner.data_sets[key]


class _FirstImages(Dataset):
    def __init__(self, dataset: Dataset, count: int):
        self._dataset = dataset
        self._count = min(count, len(dataset))

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> object:
        return self._dataset[index]

    def __getattr__(self, name: str) -> object:
        if name.startswith('__') or '_dataset' not in vars(self):  # while it is copied or unpickled
            raise AttributeError(name)
        return getattr(self._dataset, name)
