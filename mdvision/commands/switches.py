"""The switches of a training that change its config: each as its argument and what it changes.

A new one is one function here, and train.py and check.py have it.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.device import is_cuda_available
from mmengine.hooks import EMAHook
from mmengine.runner import Runner

from mdvision.checkpoints.reading import read_checkpoint
from mdvision.engine.init_from import refuse_other_starts
from mdvision.errors import UserError
from mdvision.work_dir.model_file import find_model, read_model

__all__ = [
    'add_switches',
    'apply_switches',
    'ema_notes',
    'initialize_backbone',
    'initialize_model',
    'scale_learning_rate',
    'set_seed',
    'use_amp',
    'use_ema',
]

# Flag, what argparse is told of it, and what changes a config; in the order in which they change it.
_SWITCHES: list[tuple[str, dict, Callable[[Config, object], None]]] = []


def _switch(flag: str, **argument: object) -> Callable:
    """Make a function the meaning of a flag; it gets the config and the value (None or False without it)."""

    def register(change: Callable) -> Callable:
        _SWITCHES.append((flag, argument, change))
        return change

    return register


def add_switches(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of all switches."""
    for flag, argument, _ in _SWITCHES:
        parser.add_argument(flag, **argument)


def apply_switches(cfg: Config, args: argparse.Namespace) -> None:
    """Change the config as the switches say."""
    for flag, _, change in _SWITCHES:
        change(cfg, getattr(args, flag.removeprefix('--').replace('-', '_')))


@_switch('--seed', type=int, help='random seed (default: randomness.seed of the config)')
def set_seed(cfg: Config, seed: int | None) -> None:
    """Set the random seed and keep the other settings of ``randomness``."""
    if seed is not None:
        cfg.randomness = dict(cfg.get('randomness') or {}, seed=seed)


@_switch(
    '--backbone-from',
    metavar='CHECKPOINT',
    help="initialize the backbone from another run, for example a detector's from a classifier's",
)
def initialize_backbone(cfg: Config, checkpoint: str | None) -> None:
    """Initialize the backbone from another run.

    Raises:
        UserError: the file is no readable checkpoint.
    """
    if checkpoint:
        read_checkpoint(checkpoint)
        cfg.backbone_from = checkpoint


@_switch(
    '--init-from',
    metavar='MODEL',
    help='fine-tune a trained model, also with other classes: the work directory of its run, model.json, or '
    'a checkpoint (.pth)',
)
def initialize_model(cfg: Config, model: str | None) -> None:
    """Initialize everything that fits from a trained model, whose classes may be others.

    Raises:
        UserError: it cannot be read, or the config starts from another model too.
    """
    if model:
        cfg.init_from = model
    start = cfg.get('init_from')
    if not start:
        return
    if not cfg.get('resume'):
        refuse_other_starts(cfg)
    if model or Path(start).is_dir():
        # The file itself: a later run may put another into the folder, this one included.
        cfg.init_from = str(find_model(Path(start)))
    if model:
        read_model(Path(cfg.init_from))


@_switch(
    '--amp',
    nargs='?',
    const='fp16',
    choices=['fp16', 'bf16'],
    help='mixed precision: fp16 (default; GPU only) or bf16 (GPU or CPU)',
)
def use_amp(cfg: Config, dtype: str | None) -> None:
    """Train in mixed precision.

    Args:
        cfg: changed in place.
        dtype: ``'fp16'`` (GPU, with loss scaling), ``'bf16'`` (GPU or CPU) or None for neither.

    Raises:
        UserError: the device does not support it.
    """
    if dtype is None:
        return
    on_gpu = is_cuda_available()
    if dtype == 'fp16' and not on_gpu:
        raise UserError(
            '--amp needs a GPU: half precision (fp16) does not train on a CPU. Omit it, or use --amp bf16.'
        )
    if dtype == 'bf16' and on_gpu and not torch.cuda.is_bf16_supported():
        raise UserError(f'--amp bf16: {torch.cuda.get_device_name()} has no bfloat16. Use --amp fp16.')
    if dtype == 'fp16':
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.dtype = 'float16'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    else:
        for scaling in ('dtype', 'loss_scale', 'use_fsdp'):
            cfg.optim_wrapper.pop(scaling, None)
        cfg.optim_wrapper.type = 'mdvision.BFloat16OptimWrapper'


@_switch(
    '--ema',
    nargs='?',
    const=0.0002,
    type=float,
    metavar='MOMENTUM',
    help='evaluate and save an exponential moving average of the weights (default momentum: 0.0002)',
)
def use_ema(cfg: Config, momentum: float | None) -> None:
    """Keep an exponential moving average of the weights; validate and save it.

    Raises:
        UserError: the momentum is not between 0 and 1.
    """
    if momentum is None:
        return
    if not 0 < momentum < 1:
        raise UserError(f'--ema {momentum:g}: expected the fraction of the new weights, between 0 and 1.')
    others = [hook for hook in cfg.get('custom_hooks') or [] if not str(hook.get('type')).endswith('EMAHook')]
    # A checkpoint to start from may have another head: mdvision's own loading reports what does not match.
    average = dict(type='mmengine.EMAHook', ema_type='ExponentialMovingAverage', momentum=momentum)
    cfg.custom_hooks = [*others, dict(average, strict_load=False)]


def ema_notes(runner: Runner) -> list[str]:
    """Say that averaged weights are evaluated, and warn if the run is too short for it."""
    lines = []
    for hook in runner.hooks:
        momentum = hook.ema_cfg.get('momentum') if isinstance(hook, EMAHook) else None
        if not momentum:
            continue
        lines.append(
            f'averaged weights are evaluated and saved (EMA, momentum {momentum:g}: over about '
            f'{1 / momentum:,.0f} iterations)'
        )
        better = min(10 / max(runner.max_iters, 1), 0.5)
        if runner.max_iters < 3 / momentum and momentum < better:
            lines.append(
                f'note: this run has {runner.max_iters:,} iterations, too few for this momentum, so the '
                f'average lags far behind; use --ema {better:.1g} or more'
            )
    return lines


@_switch(
    '--auto-scale-lr',
    action='store_true',
    help='scale the learning rate with the effective batch size even if auto_scale_lr.enable=False '
    '(otherwise scaling is the default)',
)
def scale_learning_rate(cfg: Config, asked_for: bool = False) -> None:
    """Scale the learning rate with the batch size, unless the config says ``auto_scale_lr.enable=False``.

    A learning rate belongs to a batch size: using the eight-GPU learning rate on one GPU is the most common
    cause of bad results.

    Args:
        cfg: its ``auto_scale_lr = dict(base_batch_size=...)`` states the batch size of the learning rate.
        asked_for: ``--auto-scale-lr``, which overrules ``enable=False``.

    Raises:
        UserError: scaling is requested, but the config does not state the batch size of the learning rate.
    """
    auto = cfg.get('auto_scale_lr')
    if not auto or not auto.get('base_batch_size'):
        if asked_for:
            raise UserError(
                '--auto-scale-lr: the config does not say for which batch size its learning rate is. Add '
                'auto_scale_lr = dict(base_batch_size=...).'
            )
        return
    if asked_for or auto.get('enable') is None:
        auto.enable = True
