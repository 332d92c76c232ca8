"""How often training logs a line: often enough to see progress on a small data set."""

from mmengine.hooks import LoggerHook as HostLoggerHook
from mmengine.runner import EpochBasedTrainLoop, Runner

from mdvision.work_dir.full_disk import noted_failures

__all__ = ['LoggerHook', 'adapted_interval']

INTERVAL = 20
LINES = 4


def adapted_interval(iterations: int) -> int:
    """Return the iterations between two lines: 20, or fewer in short epochs, for at least four lines.

    Args:
        iterations: in an epoch, or in the whole run if it does not count epochs.
    """
    return max(1, min(INTERVAL, iterations // LINES))


class LoggerHook(HostLoggerHook):
    """mmengine's hook, whose interval follows from the length of an epoch if the config does not set it.

    With mmengine's own default of 10, an epoch of 11 to 19 iterations has a single line. If the interval is
    adapted, the losses of a line are the means since the previous line, not over the ``window_size`` of the
    log processor if that is longer.

    Args:
        interval: iterations between two lines, also batches of a validation or test; None, the default, for
            :func:`adapted_interval`.
        kwargs: mmengine's other arguments.
    """

    def __init__(self, interval: int | None = None, **kwargs):
        super().__init__(interval=INTERVAL if interval is None else interval, **kwargs)
        self._adapts = interval is None
        self._train_interval = self.interval

    def before_train(self, runner: Runner) -> None:
        if not self._adapts:
            return
        by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        iterations = len(runner.train_dataloader) if by_epoch else runner.max_iters
        self._train_interval = adapted_interval(iterations)
        processor = runner.log_processor
        processor.window_size = min(processor.window_size, self._train_interval)

    def after_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        batches, self.interval = self.interval, self._train_interval
        try:
            with noted_failures(runner):
                super().after_train_iter(runner, *args, **kwargs)
        finally:
            self.interval = batches

    def after_val_iter(self, runner: Runner, *args, **kwargs) -> None:
        with noted_failures(runner):
            super().after_val_iter(runner, *args, **kwargs)

    def after_val_epoch(self, runner: Runner, *args, **kwargs) -> None:
        with noted_failures(runner):
            super().after_val_epoch(runner, *args, **kwargs)

    def after_run(self, runner: Runner) -> None:
        with noted_failures(runner):
            super().after_run(runner)
