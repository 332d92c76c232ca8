"""The value of a run in a comparison: which metric, and of the last or the best validation."""

import math
from collections.abc import Sequence

from mdvision.errors import UserError, did_you_mean
from mdvision.evaluation.direction import is_lower_better
from mdvision.evaluation.headlines import HEADLINES

from .run import Run

__all__ = ['is_lower_better', 'metric_of', 'value_of']


def metric_of(runs: Sequence[Run], asked: str | None) -> str:
    """Return the requested metric, otherwise the first headline metric that all runs have.

    Raises:
        UserError: not all runs have such a metric.
    """
    metrics = [run.results()['metrics'] for run in runs]
    shared = [name for name in metrics[0] if all(name in other for other in metrics)]
    numbers = [name for name in shared if isinstance(metrics[0][name], int | float)]
    if asked is None:
        found = [name for name in HEADLINES if name in shared] or numbers
        if not found:
            raise UserError('The runs have no metric in common: do their configs validate in the same way?')
        return found[0]
    if asked not in shared:
        hint = did_you_mean(asked, shared)
        raise UserError(f'--metric {asked}: not in all runs.{hint} They have: {", ".join(shared)}.')
    return asked


def value_of(run: Run, metric: str, select: str, lower_is_better: bool) -> float:
    """Return the metric at the last validation of a run, or at its best one.

    Raises:
        UserError: it is not a finite number.
    """
    value = run.results()['metrics'][metric]
    if select == 'best':
        # A loss has another name in the log, so that no chart mixes it with the training loss.
        logged = [row.get(metric, row.get(f'val/{metric}')) for row in run.validations()]
        found = [number for number in logged if isinstance(number, int | float) and math.isfinite(number)]
        value = (min(found) if lower_is_better else max(found)) if found else None
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise UserError(
            f'{run.title}: {metric} is {value!r}, not a finite number, so it cannot be compared. See '
            f'{run.folder}.'
        )
    return float(value)
