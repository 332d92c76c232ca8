"""Config values that cannot be right, whatever the classes are: kinds of sections, counts, learning rates."""

import math
from collections.abc import Callable, Iterator
from numbers import Real

from mmengine.config import Config

from mdvision.errors import MISSPELLED_HOOK, did_you_mean
from mdvision.findings import Finding

__all__ = ['check_values', 'find_idle_workers', 'find_missing_sections']

# Sections that are dicts, and those that may also be lists of dicts.
_DICTS = (
    'model', 'data_preprocessor', 'train_dataloader', 'val_dataloader', 'test_dataloader', 'train_cfg',
    'val_cfg', 'test_cfg', 'optim_wrapper', 'default_hooks', 'env_cfg', 'log_processor', 'visualizer',
    'randomness', 'auto_scale_lr', 'custom_imports', 'train_dataloader.dataset', 'val_dataloader.dataset',
    'test_dataloader.dataset', 'optim_wrapper.optimizer',
)  # fmt: skip
_DICTS_OR_LISTS = ('val_evaluator', 'test_evaluator', 'param_scheduler')
# mmengine's built-in hooks; in default_hooks, None removes one.
_OWN_HOOKS = ('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint')


def _whole(least: int, floats: bool = False) -> tuple[Callable[[object], bool], str]:
    def fits(value: object) -> bool:
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer() and floats)
        return whole and not isinstance(value, bool) and value >= least

    return fits, f'a whole number of {least} or more'


def _rate(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and 0 <= value < math.inf


_RATE = (_rate, 'a number of 0 or more')
_SHARE = (lambda value: _rate(value) and value <= 1, 'a number from 0 to 1')
_SWITCH = (lambda value: isinstance(value, bool), 'True or False')
_VALUES = {
    **{
        f'{split}_dataloader.{key}': kind
        for split in ('train', 'val', 'test')
        for key, kind in dict(
            batch_size=_whole(1), num_workers=_whole(0), persistent_workers=_SWITCH, drop_last=_SWITCH,
            pin_memory=_SWITCH,
        ).items()
    },
    'train_cfg.max_epochs': _whole(1),
    'train_cfg.max_iters': _whole(1),
    'train_cfg.val_interval': _whole(1, floats=True),  # of iterations: stock configs divide
    'train_cfg.val_begin': _whole(0),
    'optim_wrapper.accumulative_counts': _whole(1),
    'optim_wrapper.optimizer.lr': _RATE,
    'optim_wrapper.optimizer.weight_decay': _RATE,
    'optim_wrapper.optimizer.momentum': _SHARE,
    'randomness.seed': _whole(0),
    'auto_scale_lr.base_batch_size': _whole(1),
    'default_hooks.logger.interval': _whole(1),
    'default_hooks.checkpoint.interval': _whole(-1),  # -1 saves nothing
}  # fmt: skip
# Here, a string that reads as a number was meant to be one; names of models or classes may be numbers.
_NUMBERS = ('optim_wrapper', 'param_scheduler', 'train_cfg', 'default_hooks')


def check_values(cfg: Config, path: str) -> list[Finding]:
    """Find values in a config that cannot be right.

    Args:
        cfg: the config.
        path: its file, to name it if it is empty.
    """
    if not len(cfg):
        return [
            Finding('error', path, 'the config is empty', "start with _base_ = '...' or model = dict(...)")
        ]
    findings = list(_wrong_kinds(cfg))
    if not findings:
        findings += [*_wrong_hooks(cfg), *_wrong_values(cfg), *_numbers_as_text(cfg)]
    return findings


def find_missing_sections(cfg: Config) -> list[Finding]:
    """Find missing sections without which nothing can be trained, and a missing training length."""
    missing = [
        Finding(
            'error',
            name,
            'the config has no such section',
            f'add {name} = dict(...), or a _base_ that has it',
        )
        for name in ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper')
        if cfg.get(name) is None
    ]
    length = cfg.get('train_cfg') or {}
    if not missing and length.get('max_epochs') is None and length.get('max_iters') is None:
        text = 'the training length is not set'
        missing.append(Finding('error', 'train_cfg', text, 'set max_epochs (or max_iters)'))
    return missing


def find_idle_workers(cfg: Config) -> Iterator[Finding]:
    """Find loaders with persistent workers but no workers; the tools treat this as False."""
    for split in ('train', 'val', 'test'):
        loader = cfg.get(f'{split}_dataloader') or {}
        if loader.get('persistent_workers') is True and loader.get('num_workers') == 0:
            where = f'{split}_dataloader.persistent_workers'
            text = 'with num_workers=0 there are no workers to persist'
            yield Finding('note', where, text, f'set {where}=False, or num_workers to 1 or more')


def _wrong_kinds(cfg: Config) -> Iterator[Finding]:
    for where in _DICTS:
        value = _at(cfg, where)
        if _is_plain(value):
            yield _no_dict(where, value, 'a dict')
    for where in (*_DICTS_OR_LISTS, 'custom_hooks'):
        value = cfg.get(where)
        if isinstance(value, list | tuple):
            for index, one in enumerate(value):
                if one is None or _is_plain(one):
                    yield _no_dict(f'{where}.{index}', one, 'a dict')
        elif where == 'custom_hooks' and value is not None:
            yield Finding('error', where, f'expected a list, got {_short(value)}', 'write [dict(type=...)]')
        elif _is_plain(value):
            yield _no_dict(where, value, 'a dict or a list of dicts')


def _no_dict(where: str, value: object, wanted: str) -> Finding:
    return Finding('error', where, f'expected {wanted}, got {_short(value)}', 'write dict(type=...)')


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float | list | tuple)


def _at(cfg: Config, path: str) -> object:
    """Return the value at a key path, or None if the path leads nowhere."""
    node = cfg
    for part in path.split('.'):
        node = node.get(part) if isinstance(node, dict | Config) else None
    return node


def _wrong_hooks(cfg: Config) -> Iterator[Finding]:
    """Find invalid hooks: mmengine names neither the key nor the reason."""
    for name, hook in (cfg.get('default_hooks') or {}).items():
        where = f'default_hooks.{name}'
        if hook is None and name in _OWN_HOOKS:
            continue
        if hook is None or _is_plain(hook):
            text = f'expected a dict with the type of a hook, got {hook!r}'
            yield Finding('error', where, text, f"remove it, or write {name}=dict(type='...Hook')")
        elif name not in _OWN_HOOKS and (near := did_you_mean(name, _OWN_HOOKS, MISSPELLED_HOOK)):
            yield Finding('error', where, f'mmengine has no hook named {name!r}.{near}', 'correct the name')
        elif isinstance(hook, dict) and 'type' not in hook:
            yield Finding('error', where, f'this hook has no type: {_short(hook)}', "add type='...Hook'")
    for index, hook in enumerate(cfg.get('custom_hooks') or []):
        if isinstance(hook, dict) and 'type' not in hook:
            text = f'this hook has no type: {_short(hook)}'
            yield Finding('error', f'custom_hooks.{index}', text, "add type='...Hook'")


def _wrong_values(cfg: Config) -> Iterator[Finding]:
    for where, (fits, wanted) in _VALUES.items():
        value = _at(cfg, where)
        if value is not None and not fits(value):
            yield Finding('error', where, f'expected {wanted}, got {value!r}', f'set {where} to {wanted}')


def _numbers_as_text(cfg: Config) -> Iterator[Finding]:
    for name in _NUMBERS:
        for where, value in _texts(cfg.get(name), name):
            try:
                float(value)
            except ValueError:
                continue
            if where not in _VALUES:
                yield Finding(
                    'error', where, f'expected a number, got the string {value!r}', f'write {value}'
                )


def _texts(node: object, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, str):
        yield where, node
    elif isinstance(node, dict | list | tuple):
        for key, child in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _texts(child, f'{where}.{key}')


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f'{text[:57]}...'
