"""mmengine's runner, with human-readable console output and no silent failures."""

import logging
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.hooks import EMAHook
from mmengine.logging import MMLogger
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.visualization import BaseVisBackend, Visualizer
from torch import nn
from torch.utils.data import DataLoader

from mdvision.checkpoints.integrity import seal
from mdvision.checkpoints.preprocessing import check_preprocessing, preprocessing_of
from mdvision.checkpoints.reading import load_backbone, load_weights, read_checkpoint
from mdvision.checkpoints.resumable import check_resumable
from mdvision.config.learning_rate import effective_batch_size
from mdvision.config.our_parts import use_our_parts
from mdvision.console import ConsoleFilter, say
from mdvision.engine.hooks.accumulation import PendingGradientsHook
from mdvision.engine.hooks.bad_images import BadImagesHook
from mdvision.engine.hooks.checkpoint import write_atomically
from mdvision.engine.hooks.csv_log import CsvBackend, CsvLogHook
from mdvision.engine.hooks.divergence import DivergenceHook
from mdvision.engine.hooks.resumed_settings import SettingsHook, check_settings, follow_config
from mdvision.engine.hooks.shared_losses import SharedLossesHook
from mdvision.errors import UserError
from mdvision.processes.signals import DeafWorker
from mdvision.upstream import expect
from mdvision.work_dir.full_disk import note_failures_of_log_files

from .data_loader import PlacingSampler, SeededLoader
from .first_writing import PatientRunner
from .init_from import MIN_MATCH, initialize, refuse_other_starts
from .optim_wrappers import BFloat16OptimWrapper  # noqa: F401  older dumped configs have its bare name
from .train_loop import EpochLoop, IterLoop

__all__ = ['Runner']


class Runner(PatientRunner):
    """The OpenMMLab runner; only what happens around a step differs.

    * It leaves its folder alone until there is something to write.
    * The console shows mdvision's lines and warnings; environment, config and the rest go to the log file.
    * Checkpoints are read safely and must match: completely for testing and resuming, at least
      ``min_match`` of the tensors when training starts from one.
    * A loss or a gradient that is not finite stops the run before it reaches the weights.
    * Checkpoints are written atomically, and a run that was stopped within an epoch resumes there.
    * Scaling the learning rate takes gradient accumulation into account; metrics.csv has what is logged.
    * RoI extractors of MMDetection keep the corners of regions under mixed precision.
    * Without an interval of the LoggerHook in the config, each epoch logs at least four lines.

    Build it with :meth:`from_cfg`, which puts mdvision's hooks, loops and log processor into the config.
    """

    min_match = 1.0
    stop_because: Exception | None = None  # ends the training at a point where it can be resumed
    log_failure: OSError | None = None  # of the first log that could not be written
    seconds_before = 0.0  # that the run had taken before it was resumed
    settings: Mapping[str, dict] = MappingProxyType({})  # of optimizers and schedulers before the first step

    def __init__(self, *args, **kwargs):
        self._built = time.time()
        self._doing: str | None = None  # 'train', 'val' or 'test'
        super().__init__(*args, **kwargs)
        expect(self, '_has_loaded', '_resume')

    @property
    def resuming(self) -> bool:
        """Whether the training resumes from a checkpoint, or will when it begins."""
        return self._resume

    def train(self) -> nn.Module:
        self._doing = 'train'
        return super().train()

    def val(self) -> dict:
        self._doing = 'val'
        return super().val()

    def test(self) -> dict:
        self._doing = 'test'
        return super().test()

    @classmethod
    def from_cfg(cls, cfg: Config | dict) -> 'Runner':
        """Build from a copy of ``cfg`` changed by :func:`~mdvision.config.our_parts.use_our_parts`."""
        return super().from_cfg(use_our_parts(cfg))

    def build_model(self, model: nn.Module | dict) -> nn.Module:
        model = super().build_model(model)
        if 'mmdet.models' in sys.modules:  # otherwise the model has no part of it
            from mdvision.detectors import keep_regions_exact

            keep_regions_exact(model)
        return model

    def build_visualizer(self, visualizer: Visualizer | dict | None = None) -> Visualizer:
        """Build mmengine's visualizer, and pass what it is given to metrics.csv too."""
        if visualizer is None:
            visualizer = dict(type=Visualizer, vis_backends=[dict(type='LocalVisBackend')])
        if isinstance(visualizer, dict):
            backends = visualizer.get('vis_backends') or []
            backends = [backends] if isinstance(backends, dict | BaseVisBackend) else backends
            visualizer = dict(visualizer, vis_backends=[CsvBackend(), *backends])
        return super().build_visualizer(visualizer)

    def build_logger(self, *args, **kwargs) -> MMLogger:
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
                handler.addFilter(ConsoleFilter())
                handler.setFormatter(logging.Formatter('%(message)s'))
        note_failures_of_log_files(self, logger)
        return logger

    @staticmethod
    def build_dataloader(
        dataloader: DataLoader | dict, seed: int | None = None, diff_rank_seed: bool = False
    ) -> DataLoader:
        """Build mmengine's loader; the augmentation of an image depends only on seed, epoch and image."""
        placed = seed is not None and isinstance(dataloader, dict) and isinstance(dataloader['sampler'], dict)
        if placed:
            dataloader = dict(dataloader, sampler=dict(type=PlacingSampler, sampler=dataloader['sampler']))
        loader = PatientRunner.build_dataloader(dataloader, seed, diff_rank_seed)
        if placed:
            loader = SeededLoader(loader, seed)
        if loader.num_workers and not isinstance(loader.worker_init_fn, DeafWorker):
            loader.worker_init_fn = DeafWorker(loader.worker_init_fn)
        return loader

    def register_hooks(self, default_hooks=None, custom_hooks=None) -> None:
        super().register_hooks(default_hooks, custom_hooks)
        self.register_hook(CsvLogHook())
        self.register_hook(BadImagesHook())
        self.register_hook(PendingGradientsHook())
        self.register_hook(SharedLossesHook())
        self.register_hook(SettingsHook())
        self.register_hook(DivergenceHook())

    def scale_lr(self, optim_wrapper: OptimWrapper, auto_scale_lr: dict | None = None) -> None:
        """Apply mmengine's linear rule to the effective batch size, gradient accumulation included."""
        if auto_scale_lr and auto_scale_lr.get('enable'):
            # mmengine counts only the batch of one iteration.
            summed = (self.cfg.get('optim_wrapper') or {}).get('accumulative_counts') or 1
            auto_scale_lr = dict(auto_scale_lr, base_batch_size=auto_scale_lr['base_batch_size'] / summed)
        super().scale_lr(optim_wrapper, auto_scale_lr)

    def build_param_scheduler(self, scheduler) -> list | dict[str, list]:
        """Build mmengine's, without one-step warm-ups: these keep the initial learning rate forever."""
        if isinstance(scheduler, dict) and 'type' not in scheduler:  # keyed by optimizer name
            return super().build_param_scheduler({k: self._long_enough(one) for k, one in scheduler.items()})
        return super().build_param_scheduler(self._long_enough(scheduler))

    def _long_enough(self, scheduler) -> list:
        schedulers = scheduler if isinstance(scheduler, list | tuple) else [scheduler]
        return [one for one in schedulers if not self._is_too_short(one)]

    def _is_too_short(self, scheduler) -> bool:
        kind = scheduler.get('type') if isinstance(scheduler, dict) else None
        if kind not in ('LinearLR', 'mdvision.PolyWarmupLR') or 'end' not in scheduler:
            return False
        steps = scheduler['end'] - scheduler.get('begin', 0)
        unit = 'epoch' if scheduler.get('by_epoch', True) else 'iteration'
        if scheduler.get('convert_to_iter_based'):
            steps, unit = int(steps * len(self.train_dataloader)), 'iteration'
        if steps >= 2:
            return False
        say(f'note: the warm-up of {steps} {unit}{"s" * (steps != 1)} is left out: it needs two to rise')
        return True

    def save_checkpoint(self, out_dir: str, filename: str, *args, meta: dict | None = None, **kwargs) -> None:
        """Save atomically, and record the effective batch size of the training in the checkpoint."""
        if not is_main_process():
            return
        meta = {**getattr(self.train_loop, 'position', {}), **(meta or {})}
        meta['images_per_update'] = effective_batch_size(self.cfg, self.world_size)
        meta['seconds'] = self.seconds_before + time.time() - self._built
        model = self.model.module if is_model_wrapper(self.model) else self.model
        meta['preprocessing'] = preprocessing_of(model, self.cfg, 'train')
        save = super().save_checkpoint
        if '://' in str(out_dir):
            save(out_dir, filename, *args, meta=meta, **kwargs)
            return

        def write(path: Path) -> None:
            save(str(out_dir), path.name, *args, meta=meta, **kwargs)
            seal(path)

        write_atomically(Path(out_dir) / filename, write)

    def resume(
        self,
        filename: str,
        resume_optimizer: bool = True,
        resume_param_scheduler: bool = True,
        map_location='default',
    ) -> None:
        """Resume as mmengine does, but nothing may be missing, and changed settings take effect.

        Raises:
            UserError: if this training cannot resume from the file.
        """
        self._resume = True
        follow = resume_optimizer and resume_param_scheduler and bool(self.settings)
        super().resume(filename, resume_optimizer, resume_param_scheduler and not follow, map_location)
        meta, batch = self._loaded_meta, effective_batch_size(self.cfg, self.world_size)
        self.seconds_before = meta.get('seconds', 0.0)
        before = meta.get('images_per_update', batch)
        if before != batch:
            say(
                f'note: {filename} was trained with {before} images per update, this run has {batch}; the '
                f'learning rate is {"" if (self.auto_scale_lr or {}).get("enable") else "not "}scaled to it'
            )
        if isinstance(self.train_dataloader, SeededLoader):
            self.train_dataloader.reseed(self.seed)  # mmengine has taken the seed of the file
        if isinstance(self.train_loop, EpochLoop | IterLoop):
            self.train_loop.take_up(meta, filename)
        if follow:
            follow_config(self, self._loaded_schedulers, filename)
        self._loaded_schedulers = None

    def load_checkpoint(self, filename: str, map_location='cpu', strict: bool = True, **kwargs) -> dict:
        """Read ``filename`` safely, load it into the model and say how much matched.

        Raises:
            UserError: if the file is damaged or too little of it matches.
        """
        checkpoint = read_checkpoint(filename, map_location)
        if self.resuming:
            check_resumable(checkpoint, filename, self.cfg)
        if not isinstance(checkpoint.get('meta'), dict):
            checkpoint['meta'] = {}  # written by another program
        # mmengine would parse this text as a config when resuming; that is refused.
        checkpoint['meta'].pop('config', None)
        self._loaded_meta = checkpoint['meta']
        if self.resuming:
            check_settings(self, checkpoint, filename)
            self._loaded_schedulers = checkpoint.get('param_schedulers')
        self._check_average(checkpoint, filename)
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        model = self.model.module if is_model_wrapper(self.model) else self.model
        matched = load_weights(model, checkpoint, filename, self.min_match)
        self._check_classes(checkpoint, filename)
        if self.min_match == 1.0:
            split = 'train' if self._doing == 'train' else 'test'
            used = preprocessing_of(model, self.cfg, split)
            check_preprocessing(self._loaded_meta.get('preprocessing') or {}, used, filename)
        self._has_loaded = True
        say(f'{filename}: {matched}')
        return checkpoint

    def load_or_resume(self) -> None:
        if self._doing == 'train' and not self.resuming:  # the weights are at their initial values
            self._initialize()
        super().load_or_resume()

    def _initialize(self) -> None:
        """Take the backbone, or all that fits, from another model."""
        refuse_other_starts(self.cfg)
        model = self.model.module if is_model_wrapper(self.model) else self.model
        if start := self.cfg.get('backbone_from'):
            say(f'backbone from {start}: {load_backbone(model, start, min(self.min_match, 0.9))}')
        if start := self.cfg.get('init_from'):
            classes = _class_names(self.train_dataloader)
            for line in initialize(model, self.cfg, start, classes, min(self.min_match, MIN_MATCH)):
                say(line)

    def _check_average(self, checkpoint: dict, filename: str) -> None:
        """Refuse to resume an averaged run without averaging: it would continue from the averaged weights."""
        averaging = any(isinstance(hook, EMAHook) for hook in self.hooks)
        if self.resuming and 'ema_state_dict' in checkpoint and not averaging:
            raise UserError(f'{filename} is from a run that averages its weights: resume it with --ema too.')

    def _check_classes(self, checkpoint: dict, filename: str) -> None:
        """Check that the checkpoint has the class names of the data, in the same order."""
        trained = (checkpoint['meta'].get('dataset_meta') or {}).get('classes')
        if self._doing not in ('train', 'test'):
            return
        loader = self.train_dataloader if self._doing == 'train' else self.test_dataloader
        classes = _class_names(loader)
        if trained and classes and tuple(trained) != tuple(classes) and self.min_match == 1.0:
            raise UserError(
                f'Checkpoint {filename} was trained on the classes {tuple(trained)}, the data set of the '
                f'config has {tuple(classes)}: names and order must be the same, or every label is wrong.'
            )


def _class_names(loader: DataLoader) -> Sequence[str] | None:
    return (getattr(loader.dataset, 'metainfo', None) or {}).get('classes')
