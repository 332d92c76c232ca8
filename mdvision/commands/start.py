"""How train, test and check begin: config, environment, runner."""

import argparse
import os
from collections.abc import Callable

import torch
from mmengine.config import Config
from mmengine.device import get_device, is_cuda_available

from mdvision.checkpoints.reading import read_checkpoint
from mdvision.checks.data import check_data_files
from mdvision.config.prepare import prepare
from mdvision.config.switches import scale_learning_rate, use_amp, use_ema
from mdvision.console import say
from mdvision.cpu import available_cores, keep_to_cpu, plan_cpu, set_workers
from mdvision.engine.runner import Runner
from mdvision.errors import UserError
from mdvision.findings import Finding, report
from mdvision.processes.distributed import launcher_of, local_processes, prepare_distributed
from mdvision.version import __version__
from mdvision.work_dir.folder import default_work_dir

__all__ = ['apply_switches', 'build_runner', 'start_up']


def start_up(
    args: argparse.Namespace, splits: tuple[str, ...], tell: Callable[[list[Finding]], None] = report
) -> tuple[Config, str]:
    """The config, ready to build, in the environment that it will run in; and one line about that.

    ``splits`` are those whose data will be read. ``tell`` gets what the checks find, and raises an error
    where it cannot go on.
    """
    cfg = prepare(args.config, args.cfg_options, tell)
    tell(check_data_files(cfg, splits))
    cfg.work_dir = str(args.work_dir or cfg.get('work_dir') or default_work_dir(args.config))
    return cfg, _set_up_environment(cfg, args)


def _set_up_environment(cfg: Config, args: argparse.Namespace) -> str:
    """Device, threads, data workers and process group; as one line for the console."""
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
    return (
        f'{device}, {available_cores()} cores: {processes} process{"es" * (processes > 1)}, each with '
        f'{plan.threads} thread{"s" * (plan.threads > 1)} and {plan.workers} data workers'
    )


def _user_set_threads(launcher: str) -> bool:
    # torchrun sets OMP_NUM_THREADS=1 by itself when it is absent: then nobody chose it.
    return os.environ.get('OMP_NUM_THREADS', '').isdigit() and launcher == 'none'


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


def build_runner(cfg: Config, config: str, hardware: str) -> Runner:
    """The runner, with a word on what runs and on what."""
    runner = Runner.from_cfg(cfg)
    say(f'mdvision {__version__}: {config}')
    say(f'{hardware} (change with --threads, --workers, --device)')
    return runner
