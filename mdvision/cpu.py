"""How many threads and data workers a run may use.

On a busy machine more threads and workers than cores cost a factor of ten (measured: an iteration
of 0.35 s became 4.5 s with two threads beside a worker on two cores), so the two never exceed the
cores together.
"""

import os
from collections.abc import Iterable, Iterator, MutableMapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mmengine.device import utils as device_utils

__all__ = ['CpuPlan', 'available_cores', 'keep_to_cpu', 'plan_cpu', 'set_workers']


@dataclass(frozen=True)
class CpuPlan:
    """Threads of the training process and data workers, for each process of the run."""

    threads: int
    workers: int


def keep_to_cpu() -> None:
    """Have upstream runners use the CPU even if they see another device, such as Apple's."""
    if not hasattr(device_utils, 'DEVICE'):  # without it the run would be on the other device
        raise ImportError(
            'mmengine.device.utils has no DEVICE. Install the versions in requirements/lock.txt.'
        )
    device_utils.DEVICE = 'cpu'


def available_cores() -> int:
    """Cores this process may run on: its affinity and, on Linux, the quotas of its control groups."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    return max(1, int(min([cores, *_quotas(Path('/'))])))


def _quotas(root: Path) -> Iterator[float]:
    """Cores that each control group of this process allows: its own and those above it, of version 1 and 2.

    In a container the paths may be those of the host, which are not mounted there; then the topmost folder
    that is there is the container's own.
    """
    try:
        lines = (root / 'proc/self/cgroup').read_text().splitlines()
    except OSError:  # another system
        return
    for line in lines:
        _, controllers, path = line.split(':', 2)
        if controllers and 'cpu' not in controllers.split(','):
            continue
        mount = root / 'sys/fs/cgroup' / controllers
        group = PurePosixPath(path.lstrip('/'))
        for folder in (mount / group, *(mount / above for above in group.parents)):
            quota = _quota(folder) if '..' not in folder.parts else None
            if quota is not None:
                yield quota


def _quota(folder: Path) -> float | None:
    """Of one control group; None where it has none."""
    try:
        if (folder / 'cpu.max').is_file():
            quota, period = (folder / 'cpu.max').read_text().split()
        else:
            quota, period = ((folder / f'cpu.cfs_{name}_us').read_text() for name in ('quota', 'period'))
        cores = int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # not there, or the word max
        return None
    return cores if cores > 0 else None  # -1 is none


def plan_cpu(
    wanted_workers: int,
    on_gpu: bool,
    processes: int = 1,
    cores: int | None = None,
    threads: int | None = None,
    workers: int | None = None,
) -> CpuPlan:
    """Share the cores between training threads and data workers.

    On the CPU the training itself needs the cores, so workers get at most a quarter of them; beside
    a GPU they get all but one.

    Args:
        wanted_workers: ``num_workers`` of the config.
        on_gpu: whether the training runs on a GPU.
        processes: training processes on this machine.
        cores: cores to share; all available ones by default.
        threads: the user's choice, taken as it is.
        workers: the user's choice, taken as it is.
    """
    share = max(1, (cores or available_cores()) // processes)
    if workers is None:
        workers = min(wanted_workers, share - 1 if on_gpu else share // 4)
    if threads is None:
        threads = max(1, share - workers)
    return CpuPlan(threads, workers)


def set_workers(loaders: Iterable[MutableMapping], plan: CpuPlan) -> None:
    """Give the loaders of a config their workers; without any, what torch refuses then goes too."""
    for loader in loaders:
        loader['num_workers'] = plan.workers
        loader['persistent_workers'] = plan.workers > 0 and loader.get('persistent_workers', False)
        if not plan.workers:
            for of_workers in ('prefetch_factor', 'timeout'):
                loader.pop(of_workers, None)
