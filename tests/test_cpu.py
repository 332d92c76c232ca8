"""Threads and workers never exceed the cores together, unless the user says so."""

import pytest
from torch.utils.data import DataLoader

from mdvision.cpu import CpuPlan, plan_cpu, set_workers


@pytest.mark.parametrize('on_gpu', [False, True])
@pytest.mark.parametrize('processes', [1, 2, 4])
@pytest.mark.parametrize('wanted', [0, 2, 8])
@pytest.mark.parametrize('cores', [1, 2, 4, 16])
def test_the_cores_are_enough(on_gpu, processes, wanted, cores):
    plan = plan_cpu(wanted, on_gpu, processes, cores)
    assert plan.threads >= 1
    assert 0 <= plan.workers <= wanted
    if cores >= processes:
        assert processes * (plan.threads + plan.workers) <= cores


def test_two_cores_without_a_gpu_train_with_both():
    plan = plan_cpu(2, on_gpu=False, cores=2)
    assert (plan.threads, plan.workers) == (2, 0)


def test_a_gpu_leaves_the_cores_to_the_workers():
    plan = plan_cpu(4, on_gpu=True, cores=8)
    assert (plan.threads, plan.workers) == (4, 4)


def test_the_user_decides():
    plan = plan_cpu(2, on_gpu=False, cores=2, threads=3, workers=1)
    assert (plan.threads, plan.workers) == (3, 1)


@pytest.mark.fault('D31')
@pytest.mark.parametrize('workers', [0, 2])
def test_settings_of_data_workers_go_with_them(workers):
    """torch refuses prefetch_factor and timeout where the machine is too small for workers."""
    wanted = dict(num_workers=2, prefetch_factor=4, timeout=30, persistent_workers=True)
    loader = dict(wanted)
    set_workers([loader], CpuPlan(threads=1, workers=workers))
    assert loader == (wanted if workers else dict(num_workers=0, persistent_workers=False))
    DataLoader(range(4), **loader)
