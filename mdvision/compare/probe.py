"""Time a variant: a run of a few iterations and one validation, with everything around it."""

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.hooks import Hook

from mdvision.errors import UserError

from .budget import Timing
from .plan import Variant
from .run import Run, Slots, run_all

__all__ = ['ProbeHook', 'probe']

MOST_ITERATIONS = 25
SECONDS = 20.0
FEWEST_ITERATIONS = 8
WARM_UP = 4


class _FirstBatches:
    """The first batches of a data loader, until there are enough for timing."""

    def __init__(self, loader):
        self._loader = loader

    def __getattr__(self, name: str):
        return getattr(self._loader, name)

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator:
        started = time.perf_counter()
        for number, batch in enumerate(self._loader, start=1):
            yield batch
            long = time.perf_counter() - started > SECONDS
            if number >= MOST_ITERATIONS or (number >= FEWEST_ITERATIONS and long):
                return


class ProbeHook(Hook):
    """End each epoch after a few iterations and write the timings to ``probe.json``."""

    priority = 'VERY_LOW'

    def before_train(self, runner) -> None:
        runner.train_loop.dataloader = _FirstBatches(runner.train_loop.dataloader)
        self._ends: list[float] = []

    def before_train_epoch(self, runner) -> None:
        self._ends = [time.perf_counter()]

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        self._ends.append(time.perf_counter())

    def before_val(self, runner) -> None:
        self._val_start = time.perf_counter()

    def after_val(self, runner) -> None:
        self._val_end = time.perf_counter()

    def after_run(self, runner) -> None:
        record = dict(
            iterations=len(runner.train_loop.dataloader),
            trained=self._ends[-1] - self._ends[0],
            seconds=[after - before for before, after in zip(self._ends, self._ends[1:], strict=False)],
            checkpoint=self._val_start - self._ends[-1],
            validation=self._val_end - self._val_start,
        )
        (Path(runner.work_dir) / 'probe.json').write_text(json.dumps(record), encoding='utf-8')


def probe(
    variant: Variant, cfg: Config, folder: Path, command: Sequence[str], slots: Slots, copies: int = 1
) -> Timing:
    """Time one variant: the slowest of ``copies`` that train side by side, as the runs will.

    Args:
        variant: the variant.
        cfg: config with the variant's options applied.
        folder: folder of the probe; emptied before and removed afterwards.
        command: command of a run, without its work directory and options.
        copies: number of simultaneous runs.

    Raises:
        UserError: the run fails.
    """
    shutil.rmtree(folder, ignore_errors=True)
    hooks = [*(cfg.to_dict().get('custom_hooks') or []), dict(type=f'{__name__}.ProbeHook')]
    options = [f'custom_hooks={hooks!r}', 'train_cfg.max_epochs=1', 'train_cfg.val_begin=1']
    folders = [folder / str(number) for number in range(copies)]
    options = ('--cfg-options', *variant.options, *options)
    runs = [
        Run(f'timing {variant.name}', own, (*command, '--work-dir', str(own), *options), 1) for own in folders
    ]
    started = time.perf_counter()
    run_all(runs, slots)
    wall = time.perf_counter() - started
    try:
        records = [json.loads((own / 'probe.json').read_text(encoding='utf-8')) for own in folders]
    except OSError as error:
        raise UserError(f'{runs[0].title}: the run wrote no probe.json; see {folder}.') from error
    shutil.rmtree(folder)
    timing = max((timing_of(record, wall, cfg) for record in records), key=lambda one: one.epoch)
    print(
        f'  {variant.name}: {timing.epoch:.1f} s per epoch, {timing.validation:.1f} s per validation, '
        f'{timing.overhead:.1f} s overhead'
    )
    return timing


def timing_of(record: dict, wall: float, cfg: Config) -> Timing:
    """Combine the measurements of the hook and the duration of the whole process."""
    seconds = record['seconds']
    steady = seconds[WARM_UP:] or seconds[-1:]
    # The mean, not the median: when waiting for data, few iterations are slow and most are fast.
    iteration = sum(steady) / len(steady)
    overhead = wall - record['trained'] - record['checkpoint'] - record['validation']
    return Timing(
        epoch=record['iterations'] * iteration + record['checkpoint'],
        validation=record['validation'],
        # The first iterations are slow once in every run.
        overhead=max(0.0, overhead) + max(0.0, record['trained'] - len(seconds) * iteration),
        val_interval=cfg.train_cfg.get('val_interval', 1),
        val_begin=cfg.train_cfg.get('val_begin', 1),
    )
