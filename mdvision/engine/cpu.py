"""How many threads and data workers a run may use.

On a busy machine more threads and workers than cores cost a factor of ten (measured: an iteration
of 0.35 s became 4.5 s with two threads beside a worker on two cores), so the two never exceed the
cores together.
"""

import os
from dataclasses import dataclass

__all__ = ['CpuPlan', 'available_cores', 'plan_cpu']


@dataclass(frozen=True)
class CpuPlan:
    """Threads of the training process and data workers, for each process of the run."""

    threads: int
    workers: int


def available_cores() -> int:
    """Cores this process may run on (its affinity and, on Linux, its cgroup quota)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    try:
        with open('/sys/fs/cgroup/cpu.max') as file:
            quota, period = file.read().split()
        if quota != 'max':
            cores = min(cores, max(1, int(quota) // int(period)))
    except (OSError, ValueError):
        pass  # no cgroup version 2, or no quota: the affinity stands
    return cores


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
