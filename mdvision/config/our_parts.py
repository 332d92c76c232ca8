"""Replace mmengine's loops, checkpoint and logger hooks and log processor in a config with mdvision's."""

import copy
from collections.abc import MutableMapping

from mmengine.config import Config

__all__ = ['use_our_parts']

_OURS = dict(
    BFloat16OptimWrapper='mdvision.BFloat16OptimWrapper',  # its name in older dumped configs has no prefix
    CheckpointHook='mdvision.CheckpointHook',
    EpochBasedTrainLoop='mdvision.EpochLoop',
    IterBasedTrainLoop='mdvision.IterLoop',
    LogProcessor='mdvision.ProgressLog',
    LoggerHook='mdvision.LoggerHook',
)
# What mmengine takes where a config does not name it.
_DEFAULT_HOOKS = dict(logger=dict(type='LoggerHook'), checkpoint=dict(type='CheckpointHook', interval=1))


def use_our_parts(cfg: Config | dict) -> Config | dict:
    """The same config with our hooks, loops and log processor where it asks for mmengine's.

    Those that mmengine takes where a config says nothing are written down. A class that is neither, such as
    one of the user's, stays.

    Args:
        cfg: of a runner; left as it is.

    Returns:
        A copy whose names all load elsewhere, after ``import mdvision`` or without.
    """
    cfg = copy.deepcopy(cfg)
    cfg['default_hooks'] = {**copy.deepcopy(_DEFAULT_HOOKS), **(cfg.get('default_hooks') or {})}
    processor = cfg.get('log_processor') or {}
    if isinstance(processor, MutableMapping):
        cfg['log_processor'] = {**processor, 'type': processor.get('type') or 'LogProcessor'}
    train_cfg = cfg.get('train_cfg')
    if isinstance(train_cfg, MutableMapping) and not train_cfg.get('type') and 'by_epoch' in train_cfg:
        train_cfg.pop('type', None)
        train_cfg['type'] = 'EpochBasedTrainLoop' if train_cfg.pop('by_epoch') else 'IterBasedTrainLoop'
    single = (cfg.get(key) for key in ('train_cfg', 'optim_wrapper', 'log_processor'))
    for part in [*single, *cfg['default_hooks'].values(), *(cfg.get('custom_hooks') or ())]:
        if isinstance(part, MutableMapping):
            name = _name(part.get('type'))
            if name in _OURS:
                part['type'] = _OURS[name]
    return cfg


def _name(kind: object) -> str | None:
    """The name of a class of mmengine; None for that of another package.

    ``'CheckpointHook'``, ``'mmengine.CheckpointHook'`` and the class itself are the same, and so is the name
    with the prefix of MMDetection or MMPretrain, whose registries look for it in mmengine's.
    """
    if isinstance(kind, type):
        return kind.__name__ if kind.__module__.startswith('mmengine.') else None
    scope, _, name = kind.rpartition('.') if isinstance(kind, str) else ('', '', None)
    return name if scope in ('', 'mmengine', 'mmdet', 'mmpretrain') else None
