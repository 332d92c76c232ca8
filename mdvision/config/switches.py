"""Config changes from the command line: learning-rate scaling, mixed precision, averaged weights."""

from importlib.util import find_spec

import torch
from mmengine.config import Config
from mmengine.device import is_cuda_available
from mmengine.hooks import EMAHook
from mmengine.runner import Runner

from mdvision.console import say
from mdvision.errors import UserError

__all__ = [
    'drop_missing_tensorboard',
    'effective_batch_size',
    'ema_notes',
    'learning_rate_line',
    'scale_learning_rate',
    'use_amp',
    'use_ema',
]


def effective_batch_size(cfg: Config, processes: int) -> int:
    """Return the effective batch size: images per update, over all processes and accumulated iterations."""
    batch = (cfg.get('train_dataloader') or {}).get('batch_size') or 1
    return batch * processes * ((cfg.get('optim_wrapper') or {}).get('accumulative_counts') or 1)


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


def learning_rate_line(cfg: Config, processes: int) -> str | None:
    """Say what happens to the learning rate if the effective batch size is not the one it is for."""
    auto = cfg.get('auto_scale_lr') or {}
    base, batch = auto.get('base_batch_size'), effective_batch_size(cfg, processes)
    if not base or batch == base:
        return None
    line = f'the learning rate is for a batch of {base}; with {batch} it is '
    if not auto.get('enable'):
        return line + 'not scaled because auto_scale_lr.enable=False'
    return line + f'multiplied by {batch / base:g}'


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


def drop_missing_tensorboard(cfg: Config) -> None:
    """Continue without TensorBoard if it is not installed, and say so."""
    visualizer = cfg.get('visualizer') or {}
    backends = visualizer.get('vis_backends') or []
    rest = [backend for backend in backends if 'Tensorboard' not in str(backend.get('type'))]
    if len(rest) < len(backends) and find_spec('tensorboard') is None:
        visualizer.vis_backends = rest
        say(
            'no TensorBoard charts: it is not installed (pip install tensorboard); all metrics are in '
            'metrics.csv'
        )
