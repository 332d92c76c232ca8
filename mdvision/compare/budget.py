"""How many epochs fit into a given time, and schedules for that many."""

import heapq
import re
from collections.abc import Sequence
from dataclasses import dataclass

from mmengine.config import Config

from mdvision.errors import UserError

__all__ = ['MARGIN', 'Timing', 'choose_epochs', 'epoch_options', 'makespan', 'parse_time', 'show_time']

# The fraction of the time to plan for; the rest is for what a short probe does not see.
MARGIN = 0.9


@dataclass(frozen=True)
class Timing:
    """Timing of one variant, in seconds.

    Attributes:
        epoch: the iterations of an epoch, and saving its checkpoint.
        validation: one validation.
        overhead: starting a run, and reporting at its end.
        val_interval: epochs between validations; the last epoch always has one.
        val_begin: the first epoch with a validation.
    """

    epoch: float
    validation: float
    overhead: float
    val_interval: int = 1
    val_begin: int = 1

    def run(self, epochs: int) -> float:
        """Return the duration of a run with this many epochs."""
        first = min(self.val_begin, epochs)
        validations = sum(e % self.val_interval == 0 or e == epochs for e in range(first, epochs + 1))
        return self.overhead + epochs * self.epoch + validations * self.validation


def parse_time(text: str) -> float:
    """Return the seconds in ``45m``, ``2h``, ``1h30m`` or ``90s``.

    Raises:
        UserError: the text is anything else.
    """
    number = r'(?:(\d+(?:\.\d+)?){})?'
    found = re.fullmatch(''.join(number.format(unit) for unit in 'hms'), text.strip().lower())
    seconds = sum(float(part or 0) * unit for part, unit in zip(found.groups(), (3600, 60, 1), strict=True)) \
        if found else 0  # fmt: skip
    if not seconds:
        raise UserError(f'--budget {text}: expected a time with its unit, such as 45m, 2h, 1h30m or 90s.')
    return seconds


def show_time(seconds: float) -> str:
    """Format seconds as ``1 h 05 min``, ``12 min`` or ``40 s``."""
    if seconds < 90:
        return f'{seconds:.0f} s'
    minutes = round(seconds / 60)
    return f'{minutes // 60} h {minutes % 60:02} min' if minutes >= 60 else f'{minutes} min'


def makespan(timings: Sequence[Timing], seeds: int, epochs: int, jobs: int = 1) -> float:
    """Return the seconds until all runs end: seed by seed, all variants in turn, ``jobs`` at a time."""
    places = [0.0] * jobs
    for _ in range(seeds):
        for timing in timings:
            heapq.heapreplace(places, places[0] + timing.run(epochs))
    return max(places)


def choose_epochs(
    timings: Sequence[Timing], seeds: int, budget: float, jobs: int = 1, spent: float = 0.0
) -> int:
    """Return the largest common number of epochs with which the comparison ends within the budget.

    Args:
        timings: one per variant.
        seeds: number of seeds.
        jobs: runs at a time.
        budget: in seconds; ``MARGIN`` of it is planned for.
        spent: the part already used, in seconds.

    Raises:
        UserError: not even one epoch fits.
    """
    seconds = MARGIN * budget - spent
    least = makespan(timings, seeds, 1, jobs)
    if least > seconds:
        raise UserError(
            f'--budget leaves {show_time(max(0.0, seconds))} for training, but {len(timings)} variants x '
            f'{seeds} seeds need {show_time(least)} for one epoch each. Give at least '
            f'{show_time((spent + least) / MARGIN)}, or fewer variants or seeds.'
        )
    low, high = 1, 2
    while makespan(timings, seeds, high, jobs) <= seconds:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if makespan(timings, seeds, middle, jobs) <= seconds else (low, middle)
    return low


def epoch_options(cfg: Config, epochs: int) -> tuple[str, ...]:
    """Return overrides for a run of this many epochs, with its schedules in proportion."""
    before = cfg.train_cfg.max_epochs
    options = [f'train_cfg.max_epochs={epochs}']
    if cfg.train_cfg.get('val_begin', 1) > epochs:
        options.append('train_cfg.val_begin=1')
    schedulers = cfg.to_dict().get('param_scheduler')
    if schedulers and epochs != before:
        single = isinstance(schedulers, dict)
        scaled = [_rescale(one, before, epochs) for one in ([schedulers] if single else schedulers)]
        options.append(f'param_scheduler={scaled[0] if single else scaled!r}')
    return tuple(options)


def _rescale(scheduler: dict, before: int, after: int) -> dict:
    """Rescale a scheduler that counts epochs to another number of them; leave others unchanged."""
    if not scheduler.get('by_epoch', True):
        return scheduler

    def moved(epoch: float) -> int | float:
        exact = epoch * after / before
        if scheduler.get('convert_to_iter_based'):
            return exact
        return max(1, round(exact)) if epoch > 0 else 0  # a warm-up keeps at least one epoch

    scaled = dict(scheduler)
    begin = scheduler.get('begin', 0)
    if 'begin' in scaled:
        scaled['begin'] = moved(begin)
    if 'end' in scaled:
        end = moved(min(scaled['end'], before)) if scaled['end'] < 10**6 else scaled['end']
        # One epoch cannot hold two consecutive schedules: the later one then has no effect.
        scaled['end'] = max(end, moved(begin) + (0 if scheduler.get('convert_to_iter_based') else 1))
    if 'gamma' in scaled:
        # If the steps cannot be closer together, each is larger.
        step = scheduler.get('step_size', 1 if scheduler.get('type') == 'ExponentialLR' else None)
        exact = step * after / before if step else 1.0
        if exact < 1 or scheduler.get('type') == 'ExponentialLR':
            scaled['gamma'] = scheduler['gamma'] ** (1 / exact)
    for length in ('T_max', 'total_iters', 'total_steps', 'step_size', 'periods', 'restart_periods'):
        value = scaled.get(length)
        if isinstance(value, int | float):
            # Scale the end of the cosine, not its rounded length.
            scaled[length] = max(moved(begin + value) - moved(begin), 0) or 1
        elif isinstance(value, list | tuple):
            scaled[length] = [moved(item) for item in value]
    for steps in ('milestones', 'restarts'):
        if steps in scaled:
            scaled[steps] = [moved(step) for step in scaled[steps]]
    return scaled
