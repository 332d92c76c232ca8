"""What ``tools/train.py`` and ``tools/test.py`` call: config, environment, run, report."""

import argparse
import functools
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.device import get_device, is_cuda_available

from mdvision.checkpoints.reading import read_checkpoint
from mdvision.checkpoints.resumable import check_resumable, nothing_left
from mdvision.checks.data import check_data, check_data_files, check_test_data
from mdvision.checks.dry_run import dry_run
from mdvision.checks.run import check_run
from mdvision.config.faults import find_config_faults
from mdvision.config.num_classes import fill_num_classes
from mdvision.config.overrides import apply_overrides
from mdvision.config.reading import load_config
from mdvision.config.switches import (
    averaging_lines,
    drop_missing_tensorboard,
    scale_learning_rate,
    use_amp,
    use_ema,
)
from mdvision.config.values import find_missing_sections
from mdvision.console import import_host, say
from mdvision.cpu import available_cores, keep_to_cpu, plan_cpu, set_workers
from mdvision.engine.hooks.interruption import train_until_told_to_stop
from mdvision.engine.runner import Runner
from mdvision.errors import UserError
from mdvision.findings import Finding, report
from mdvision.processes.distributed import launcher_of, local_processes, prepare_distributed
from mdvision.provenance import command_line
from mdvision.version import __version__
from mdvision.work_dir.folder import default_work_dir, find_resumable, make_room, refuse_to_move
from mdvision.work_dir.lock import lock_work_dir

from .report import write_report

__all__ = ['apply_switches', 'prepare', 'test', 'train']


def train(args: argparse.Namespace) -> None:
    """Train, evaluate on the way, and report."""
    started = time.time()
    cfg, hardware = prepare(args, ('train', 'val'))
    report(find_missing_sections(cfg))
    apply_switches(cfg, args)
    if args.dry_run:
        cfg.resume = False
        dry_run(cfg, 0.0 if args.allow_partial else 0.9, lambda runner: report(check_data(runner)))
        return
    with lock_work_dir(Path(cfg.work_dir)):
        runner = _start(cfg, args, hardware)
        if runner is not None:
            train_until_told_to_stop(runner)
            write_report(runner, started, command_line())


def apply_switches(cfg: Config, args: argparse.Namespace) -> None:
    """What the switches of a training change in its config."""
    if args.seed is not None:
        cfg.randomness = dict(cfg.get('randomness') or {}, seed=args.seed)
    if args.backbone_from:
        read_checkpoint(args.backbone_from)
        cfg.backbone_from = args.backbone_from
    use_amp(cfg, args.amp)
    use_ema(cfg, args.ema)
    scale_learning_rate(cfg, args.auto_scale_lr)


def _start(cfg: Config, args: argparse.Namespace, hardware: str) -> Runner | None:
    """The runner, with everything checked and said; None where nothing is left to train."""
    work_dir = Path(cfg.work_dir)
    resume = args.resume or (cfg.get('load_from') or 'auto' if cfg.get('resume') else None)
    if not _resume_or_start(cfg, resume, work_dir):
        return None
    if not cfg.resume:
        refuse_to_move(cfg, work_dir)
    runner = _build(cfg, args.config, hardware)
    runner.make_room = functools.partial(_make_room, runner)
    runner.min_match = 0.0 if args.allow_partial else 1.0 if cfg.resume else 0.9
    report(check_data(runner))
    report(check_run(runner, work_dir))
    _announce(runner, work_dir)
    return runner


def test(args: argparse.Namespace) -> None:
    """Evaluate a checkpoint and report."""
    started = time.time()
    if args.checkpoint.endswith('.py') and not args.config.endswith('.py'):
        raise UserError(
            'The config comes first, then the checkpoint: python tools/test.py '
            f'{args.checkpoint} {args.config}'
        )
    read_checkpoint(args.checkpoint)
    cfg, hardware = prepare(args, ('test',))
    cfg.load_from = args.checkpoint
    cfg.resume = False
    runner = _build(cfg, args.config, hardware)
    runner.min_match = 0.0 if args.allow_partial else 1.0
    report(check_test_data(runner))
    metrics = runner.test()
    write_report(runner, started, command_line(), metrics)


def prepare(
    args: argparse.Namespace, splits: tuple[str, ...], tell: Callable[[list[Finding]], None] = report
) -> tuple[Config, str]:
    """The config, ready to build, and one line about what it will run on.

    ``splits`` are those whose data will be read. ``tell`` gets what the checks find, and raises an error
    where it cannot go on.
    """
    # A module of the user's, named in custom_imports, lies in the folder that the command starts in.
    sys.path.append(os.getcwd())
    cfg = load_config(args.config)
    if cfg.get('default_scope') in ('mmdet', 'mmpretrain'):
        import_host(cfg.default_scope)
    apply_overrides(cfg, args.cfg_options)
    tell(find_config_faults(cfg, args.config))
    drop_missing_tensorboard(cfg)
    fill_num_classes(cfg)
    tell(check_data_files(cfg, splits))
    cfg.work_dir = str(args.work_dir or cfg.get('work_dir') or default_work_dir(args.config))
    if args.device == 'cpu':
        keep_to_cpu()
    on_gpu = is_cuda_available()
    if args.device not in ('auto', 'cpu') and not on_gpu:
        raise UserError(
            f'--device {args.device}: torch {torch.__version__} sees no CUDA device here. Use --device cpu, '
            'or look at `python -m mdvision.doctor`.'
        )
    launcher = launcher_of(args.launcher)
    loaders = [cfg[k] for k in ('train_dataloader', 'val_dataloader', 'test_dataloader') if cfg.get(k)]
    wanted = max((loader.get('num_workers', 0) for loader in loaders), default=0)
    processes = local_processes(launcher)
    threads = args.threads or (int(os.environ['OMP_NUM_THREADS']) if _user_set_threads(launcher) else None)
    plan = plan_cpu(wanted, on_gpu, processes, threads=threads, workers=args.workers)
    torch.set_num_threads(plan.threads)
    set_workers(loaders, plan)
    prepare_distributed(cfg, launcher, on_gpu)
    device = torch.cuda.get_device_name() if on_gpu else get_device().upper()
    return cfg, (
        f'{device}, {available_cores()} cores: {processes} process{"es" * (processes > 1)}, each with '
        f'{plan.threads} thread{"s" * (plan.threads > 1)} and {plan.workers} data workers'
    )


def _user_set_threads(launcher: str) -> bool:
    # torchrun sets OMP_NUM_THREADS=1 by itself when it is absent: then nobody chose it.
    return os.environ.get('OMP_NUM_THREADS', '').isdigit() and launcher == 'none'


def _resume_or_start(cfg: Config, resume: str | None, work_dir: Path) -> bool:
    """Set the checkpoint to continue from; False when that run is already at its end.

    ``resume`` is None (start anew), ``'auto'`` (the newest of the work dir) or a checkpoint.
    """
    cfg.resume = False
    if resume is None:
        return True
    checkpoint = find_resumable(work_dir) if resume == 'auto' else resume
    if checkpoint is None:
        say(f'--resume: {work_dir} holds no checkpoint, starting from the beginning.')
        return True
    file = read_checkpoint(str(checkpoint))
    check_resumable(file, checkpoint, cfg)
    done = nothing_left(file['meta'], checkpoint, cfg)
    if done:
        say(done)
        return False
    cfg.resume, cfg.load_from = True, str(checkpoint)
    return True


def _make_room(runner: Runner, own_log: str) -> None:
    """What the runner does before it writes for the first time."""
    cfg, meta = runner.cfg, getattr(runner, '_loaded_meta', {})
    resumed = Path(cfg.load_from) if cfg.resume else None
    done = dict(epoch=meta.get('epoch', 0), iter=meta.get('iter', 0))
    make_room(Path(runner.work_dir), {own_log}, resumed, done)


def _build(cfg: Config, config: str, hardware: str) -> Runner:
    runner = Runner.from_cfg(cfg)
    say(f'mdvision {__version__}: {config}')
    say(f'{hardware} (change with --threads, --workers, --device)')
    return runner


def _announce(runner: Runner, work_dir: Path) -> None:
    loader = runner.train_dataloader
    # Not loader.batch_size, which is None where a batch sampler makes the batches.
    batch = runner.cfg.train_dataloader.batch_size * runner.world_size
    if batch > len(loader.dataset):
        say(
            f'note: the batch of {batch} is larger than the training set, so every update has '
            f'{len(loader.dataset)} images and the rate of {batch}; lower train_dataloader.batch_size'
        )
    say(
        f'{len(loader.dataset)} training images, {len(loader)} iterations of {batch} images an epoch; log, '
        f'config and checkpoints: {work_dir}'
    )
    for text in averaging_lines(runner):
        say(text)
