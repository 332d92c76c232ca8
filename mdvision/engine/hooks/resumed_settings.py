"""Learning rate and schedule of a resumed run: those of the config, with the checkpoint's optimizer state."""

import copy
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict, _ParamScheduler
from mmengine.runner import EpochBasedTrainLoop, Runner

from mdvision.checkpoints.resumable import check_optimizer
from mdvision.checkpoints.unpickling import is_readable
from mdvision.console import say
from mdvision.errors import UserError
from mdvision.text import shortlist

__all__ = ['SettingsHook', 'check_settings', 'follow_config', 'loadable']

_DROP = object()
# What schedulers compute from other settings.
_FOLLOWING = ('base_values', 'total_iters', '_last_value')


class SettingsHook(Hook):
    """Record the initial settings of optimizer and schedulers in every checkpoint.

    From them, a resumed run can tell what has changed in the config since. Functions, which some
    schedulers keep in their state, are left out: a checkpoint that holds one could not be read again.
    """

    priority = 'VERY_HIGH'

    def before_run(self, runner: Runner) -> None:
        _check_readable(runner)
        runner.settings = _settings_of(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if 'optimizer' in checkpoint:
            checkpoint['meta']['settings'] = runner.settings
        _check_readable(runner)  # again: a step may have added something
        schedulers = checkpoint.get('param_schedulers', [])
        for states in schedulers.values() if isinstance(schedulers, dict) else [schedulers]:
            states[:] = map(loadable, states)


def loadable(state: Mapping) -> dict:
    """Return the state of a scheduler without its functions."""
    return {key: value for key, value in state.items() if not callable(value)}


def _check_readable(runner: Runner) -> None:
    """Refuse a scheduler whose state would make checkpoints unreadable."""
    for name in _wrappers(runner):
        for scheduler in _of(name, runner.param_schedulers, []):
            for key, value in loadable(scheduler.state_dict()).items():
                if not is_readable(value):
                    raise UserError(
                        f'param_scheduler {type(scheduler).__name__}: its state {key!r} '
                        f'({type(value).__name__}) could not be read back from a checkpoint, since reading '
                        'one executes no code. Its state_dict() may hold numbers, text, lists, dicts and '
                        'tensors; leave out the rest, or express it in such values.'
                    )


def _wrappers(runner: Runner) -> dict[str, OptimWrapper]:
    """Return the optimizers by name; a single one has the name ''."""
    wrapper = runner.optim_wrapper
    if isinstance(wrapper, OptimWrapperDict):
        return dict(wrapper.items())
    return {'': wrapper} if isinstance(wrapper, OptimWrapper) else {}


def _of(name: str, every: object, default: object) -> object:
    """Return one optimizer's part of a value that is a dict if there are several."""
    if every is None:
        return default
    return every.get(name, default) if isinstance(every, Mapping) and name else every


def _settings_of(runner: Runner) -> dict[str, dict]:
    """Return the current plain values of all optimizers and schedulers."""
    found = {}
    for name, wrapper in _wrappers(runner).items():
        schedulers = _of(name, runner.param_schedulers, [])
        groups = [{k: v for k, v in group.items() if k != 'params'} for group in wrapper.param_groups]
        found[name] = dict(
            optimizer=type(wrapper.optimizer).__name__,
            groups=[_plain(group) for group in groups],
            schedulers=[dict(_plain(vars(one)), type=type(one).__name__) for one in schedulers],
        )
    return found


def _plain(value: object) -> object:
    """Return a copy that holds only numbers, text, lists and dicts."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic | np.ndarray | torch.Tensor):
        return value.tolist()
    if isinstance(value, Mapping):
        plain = {key: _plain(inner) for key, inner in value.items()}
        kept = {key: inner for key, inner in plain.items() if inner is not _DROP}
        return Counter(kept) if isinstance(value, Counter) else kept
    if isinstance(value, list | tuple):
        return type(value)(inner for inner in map(_plain, value) if inner is not _DROP)
    return _DROP


def check_settings(runner: Runner, checkpoint: Mapping, path: str) -> None:
    """Refuse the state of a different optimizer.

    Raises:
        UserError: see :func:`mdvision.checkpoints.resumable.check_optimizer`.
    """
    written = checkpoint['meta'].get('settings') or {}
    for name, now in runner.settings.items():
        state = _of(name, checkpoint['optimizer'], None)
        check_optimizer(
            _wrappers(runner)[name], now['optimizer'], state, written.get(name, {}).get('optimizer'), path
        )


def follow_config(runner: Runner, states: object, path: str) -> None:
    """Set schedulers and optimizers to their position in the schedule, after the optimizer state is loaded.

    If the config has not changed, everything is as in the file. A changed setting takes effect: the
    schedule is replayed from its start, so the learning rates are those of a run that had this config
    from the first step; other settings of the optimizer are the config's. A schedule driven by
    validation results cannot be replayed: it continues from its state in the file. Either way, the
    change is reported.

    Args:
        runner: has the optimizer state of the file, and its loop is where the file left off.
        states: ``param_schedulers`` of the file.
        path: the file, for the messages.
    """
    written = runner._loaded_meta.get('settings')
    for name, now in runner.settings.items():
        schedulers = _of(name, runner.param_schedulers, [])
        loaded = _of(name, states, [])
        if written is None or name not in written:
            _load_states(schedulers, loaded)
            say(
                f'note: {path} does not say which settings it was trained with, since another program or an '
                'older version wrote it: learning rates and schedule continue from it, not from the config'
            )
            continue
        was = written[name]
        changes = _changes(was, now)
        scheduled = {one['param_name'] for side in (was, now) for one in side['schedulers']}
        in_schedule = {f'{prefix}{p}' for p in scheduled for prefix in ('', 'initial_', 'max_', 'min_')}
        if any(one.get('use_betas') for side in (was, now) for one in side['schedulers']):
            in_schedule.add('betas')  # the first one is Adam's momentum
        wrapper = _wrappers(runner)[name]
        same_schedule = was['schedulers'] == now['schedulers'] and not _differ(was, now, in_schedule)
        validated = [type(one).__name__ for one in schedulers if getattr(one, 'need_val_args', False)]
        if same_schedule or validated:
            _load_states(schedulers, loaded)
        else:
            _go_through_again(runner, wrapper, schedulers, now, in_schedule)
        for index, (before, after) in enumerate(zip(was['groups'], now['groups'], strict=False)):
            for key in after.keys() & before.keys() - in_schedule:
                if before[key] != after[key]:
                    _put(wrapper.param_groups[index], key, after[key])
        if validated and not same_schedule:
            ignored = [text for key, text in changes if key is None or key in in_schedule]
            changes = [one for one in changes if one[1] not in ignored]
            say(
                f'resume: {validated[0]} depends on past validations, so the schedule continues from '
                f'{path}; without effect: {shortlist(ignored, 8)}'
            )
        if changes:
            say(f'resume: {shortlist([text for _, text in changes], 8)} (from the config)')


def _load_states(schedulers: Sequence[_ParamScheduler], states: Iterable[Mapping]) -> None:
    for scheduler, state in zip(schedulers, states, strict=False):
        scheduler.load_state_dict(loadable(state))


def _go_through_again(
    runner: Runner,
    wrapper: OptimWrapper,
    schedulers: Sequence[_ParamScheduler],
    now: Mapping,
    keys: set[str],
) -> None:
    """Replay all steps of the schedule up to here, in the order of training."""
    for group, start in zip(wrapper.param_groups, now['groups'], strict=True):
        for key in keys:
            if key in start:
                _put(group, key, start[key])
            else:
                group.pop(key, None)  # from a scheduler that the config no longer has
    iterations = _iterations(runner)
    # mmengine warns if a schedule is ahead of the optimizer.
    wrapper._global_step = iterations
    length, epochs = len(runner.train_dataloader), 0
    by_epoch = [one for one in schedulers if one.by_epoch]
    by_iteration = [one for one in schedulers if not one.by_epoch]
    for iteration in range(1, iterations + 1):
        for scheduler in by_iteration:
            scheduler.step()
        if iteration % length == 0 and epochs < runner.epoch:
            epochs += 1
            for scheduler in by_epoch:
                scheduler.step()
    for _ in range(epochs, runner.epoch):
        for scheduler in by_epoch:
            scheduler.step()


def _iterations(runner: Runner) -> int:
    """Return how many iterations a run with this config would have done by now, batch size included."""
    loop = runner.train_loop
    if not isinstance(loop, EpochBasedTrainLoop):
        return loop.iter
    return loop.max_epochs * len(loop.dataloader) - (loop.max_iters - loop.iter)


def _put(group: dict, key: str, value: object) -> None:
    if isinstance(group.get(key), torch.Tensor):  # a learning rate stored on the GPU
        group[key].fill_(value)
    else:
        group[key] = copy.deepcopy(value)


def _differ(was: Mapping, now: Mapping, keys: set[str]) -> bool:
    pairs = zip(was['groups'], now['groups'], strict=True)
    return any(before.get(key) != after.get(key) for before, after in pairs for key in keys)


def _changes(was: Mapping, now: Mapping) -> list[tuple[str | None, str]]:
    """Return the differences of two records of settings: key of the parameter groups or None, and a text."""
    found = []
    keys = dict.fromkeys(key for group in now['groups'] for key in group)
    for key in keys:
        if key.startswith(('max_', 'min_')) or (f'initial_{key}' in keys):
            continue  # they follow from the others
        pairs = [
            (before[key], after[key])
            for before, after in zip(was['groups'], now['groups'], strict=True)
            if key in before and key in after
        ]
        other = [pair for pair in pairs if pair[0] != pair[1]]
        if not other:
            continue
        # After the groups comes the optimizer's own setting, without the factor of any group.
        before, after = pairs[-1] if pairs[-1] in other else other[0]
        part = '' if pairs[-1] in other else f' in {len(other)} of {len(pairs) - 1} groups'
        name = f'optim_wrapper.optimizer.{key.removeprefix("initial_")}'
        found.append((key, f'{name} {_show(before)} -> {_show(after)}{part}'))
    return found + [(None, text) for text in _schedule_changes(was['schedulers'], now['schedulers'])]


def _schedule_changes(was: Sequence[Mapping], now: Sequence[Mapping]) -> list[str]:
    types = [[one['type'] for one in side] for side in (was, now)]
    if types[0] != types[1]:
        before, after = (', '.join(side) or 'none' for side in types)
        return [f'param_scheduler {before} -> {after}']
    found = []
    for before, after in zip(was, now, strict=True):
        kind = after['type']
        other = [key for key in after if before.get(key) != after[key] and key not in _FOLLOWING]
        named = [key for key in other if not key.startswith('_')]
        found += [f'{kind}.{key} {_show(before.get(key))} -> {_show(after[key])}' for key in named]
        if other and not named:
            found.append(f'other arguments of {kind}')
    return found


def _show(value: object) -> str:
    if isinstance(value, Counter):
        return str(sorted(value.elements()))
    return f'{value:g}' if isinstance(value, float) else str(value)
