"""Whether a checkpoint can be resumed, and whether anything is left to train."""

from collections.abc import Mapping
from pathlib import Path

from mmengine.config import Config
from mmengine.optim import OptimWrapper

from mdvision.errors import UserError

__all__ = ['check_optimizer', 'check_resumable', 'nothing_left']

# What schedulers write into the parameter groups of an optimizer.
_OF_SCHEDULERS = ('initial_', 'max_', 'min_')


def check_resumable(checkpoint: Mapping, path: str | Path, cfg: Config) -> None:
    """Reject a file without the complete training state.

    mmengine skips what is missing and silently starts that part over.

    Raises:
        UserError: a part is missing; the message names it and says what to use instead.
    """
    meta = checkpoint.get('meta')
    start_anew = f'To start a new run from these weights, use --cfg-options load_from={path}.'
    if not isinstance(checkpoint.get('optimizer'), Mapping):
        raise UserError(
            f'--resume {path}: the file holds weights only, no state of an optimizer, as best_*.pth and '
            f'published weights do. Expected {_resumable_names(path)}. {start_anew}'
        )
    if not isinstance(meta, Mapping) or not all(isinstance(meta.get(k), int) for k in ('epoch', 'iter')):
        found = sorted(meta) if isinstance(meta, Mapping) else type(meta).__name__
        raise UserError(
            f'--resume {path}: expected the whole numbers meta.epoch and meta.iter, which record the '
            f'training progress; got {found}. Another program wrote the file. {start_anew}'
        )
    wanted = ['message_hub', *(['param_schedulers'] if _has_schedule(cfg, meta) else [])]
    for part in wanted:
        if not isinstance(checkpoint.get(part), Mapping | list):
            raise UserError(
                f'--resume {path}: the file has no {part!r}, so the run cannot be resumed. Expected '
                f'{_resumable_names(path)}. {start_anew}'
            )


def _has_schedule(cfg: Config, meta: Mapping) -> bool:
    """Return whether the file must hold the config's schedule; not if the run is known to have had none."""
    if not cfg.get('param_scheduler'):
        return False
    settings = meta.get('settings')
    return settings is None or any(one['schedulers'] for one in settings.values())


def _resumable_names(path: str | Path) -> str:
    folder = Path(path).parent
    patterns = ('interrupted.pth', 'epoch_*.pth', 'iter_*.pth')
    names = sorted(p.name for pattern in patterns for p in folder.glob(pattern) if p != Path(path))
    here = f'; {folder} holds {", ".join(names[-3:])}' if names else ''
    return f'an epoch_N.pth, iter_N.pth or interrupted.pth of a run{here}'


def check_optimizer(
    wrapper: OptimWrapper, built_type: str, state: object, written_type: str | None, path: str
) -> None:
    """Reject the state of another optimizer, or of one with other parameters.

    Args:
        wrapper: the optimizer wrapper built from the config.
        built_type: class name of its optimizer.
        state: the state in the file.
        written_type: the optimizer type recorded in the file; None if it does not say.
        path: for the messages.

    Raises:
        UserError: they differ; the message names both.
    """
    start_anew = f'or start a new run from these weights: --cfg-options load_from={path}.'
    groups = state.get('param_groups') if isinstance(state, Mapping) else None
    if not isinstance(groups, list) or not isinstance(state.get('state'), Mapping):
        raise UserError(
            f'--resume {path}: its optimizer state does not have the form of torch (expected '
            f'"state" and "param_groups"). Use the config that the run was started with, {start_anew}'
        )
    if written_type and written_type != built_type:
        raise UserError(
            f'--resume {path}: the file has the state of {written_type}, the config has '
            f'optim_wrapper.optimizer.type={built_type!r}. Set it to {written_type!r}, {start_anew}'
        )
    known = {key for group in wrapper.optimizer.param_groups for key in group}
    foreign = {key for group in groups for key in group if not key.startswith(_OF_SCHEDULERS)} - known
    if not written_type and foreign:
        raise UserError(
            f'--resume {path}: the file has the state of an optimizer with {", ".join(sorted(foreign))}, '
            f'which {built_type} does not have. Set optim_wrapper.optimizer.type to that of the run, '
            f'{start_anew}'
        )
    given, own = ([len(g['params']) for g in one] for one in (groups, wrapper.optimizer.param_groups))
    if given != own:
        raise UserError(
            f'--resume {path}: the optimizer of the file has {_sizes(given)}, that of the config '
            f'{_sizes(own)}. Restore frozen parts, optim_wrapper.paramwise_cfg and optim_wrapper.constructor '
            f'as in the original run, {start_anew}'
        )


def _sizes(groups: list[int]) -> str:
    return f'{sum(groups)} tensors in {len(groups)} group{"s" * (len(groups) != 1)}'


def nothing_left(meta: Mapping, path: str | Path, cfg: Config) -> str | None:
    """Return a message if the checkpoint's run has reached the end that the config sets; otherwise None."""
    train_cfg = cfg.train_cfg
    for unit, key in (('epoch', 'max_epochs'), ('iter', 'max_iters')):
        last = train_cfg.get(key)
        if last and meta[unit] >= last and not meta.get('validate_first'):
            ends = _ends_at(cfg, last, unit == 'epoch')
            also = f' together with {", ".join(ends)}' if ends else ''
            name = dict(epoch='epoch', iter='iteration')[unit]
            return (
                f'{path} is already at {name} {meta[unit]} of {last}: nothing left to train. Evaluate it '
                f'with tools/test.py. To train longer, raise train_cfg.{key}{also}: the learning rates are '
                'then those of a run that had this length from the start.'
            )
    return None


def _ends_at(cfg: Config, last: int, by_epoch: bool) -> list[str]:
    """Return the keys of the schedules that end with the run."""
    schedulers = cfg.get('param_scheduler') or []
    single = not isinstance(schedulers, list)
    found = []
    for index, scheduler in enumerate([schedulers] if single else schedulers):
        if scheduler.get('by_epoch', True) != by_epoch:
            continue
        name = 'param_scheduler' if single else f'param_scheduler.{index}'
        begin = scheduler.get('begin', 0)
        lengths = [key for key in ('T_max', 'total_steps') if scheduler.get(key) in (last, last - begin)]
        ends = ['end'] if scheduler.get('end') == last else []
        found += [f'{name}.{key}' for key in (*lengths, *ends)]
    return found
