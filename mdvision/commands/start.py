"""From the arguments of train, test and check to a config ready to build, and the environment of the run.

Device, threads, data workers and process group are set here.
"""

import argparse
import os
from collections.abc import Callable

import torch
from mmengine.config import Config
from mmengine.device import get_device, is_cuda_available

from mdvision.checks.data import check_data_files
from mdvision.config.prepare import prepare
from mdvision.config.values import find_missing_sections
from mdvision.cpu import available_cores, keep_to_cpu, plan_cpu, set_workers
from mdvision.errors import UserError
from mdvision.findings import Finding, report
from mdvision.processes.distributed import launcher_of, local_processes, prepare_distributed
from mdvision.version import __version__
from mdvision.work_dir.folder import default_work_dir

from .switches import apply_switches

__all__ = ['start_up']


def start_up(
    args: argparse.Namespace, splits: tuple[str, ...], tell: Callable[[list[Finding]], None] = report
) -> tuple[Config, list[str]]:
    """Return the config, ready to build, in the environment that it will run in; and what to say of that.

    Args:
        args: of the command, with the switches if it trains.
        splits: those whose data will be read; with ``'train'``, the config is that of a training.
        tell: receives the findings of the checks, and raises an error if they prevent the run.

    Returns:
        the config, and the first lines of a run: what runs, and on what.

    Raises:
        UserError: there is no such device, or a switch does not fit; and as ``tell``.
    """
    cfg = prepare(args.config, args.cfg_options, tell)
    tell(check_data_files(cfg, splits))
    cfg.work_dir = str(args.work_dir or cfg.get('work_dir') or default_work_dir(args.config))
    hardware = _set_up_environment(cfg, args)
    if 'train' in splits:
        tell(find_missing_sections(cfg))
        apply_switches(cfg, args)
    return cfg, [
        f'mdvision {__version__}: {args.config}',
        f'{hardware} (change with --threads, --workers, --device)',
    ]


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
