"""How many cores a process may use, read from control groups that are written here."""

import pytest

from mdvision import cpu


def write(root, name, text):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.fault('D30')
@pytest.mark.parametrize(
    ('cgroup', 'files', 'cores'),
    [
        ('0::/\n', {'cpu.max': '400000 100000\n'}, 4),
        ('0::/\n', {'cpu.max': 'max 100000\n'}, 64),
        ('0::/\n', {'cpu.max': '50000 100000\n'}, 1),
        # A job of Slurm: the quota stands at the job, not at the step that the process is in.
        ('0::/slurm/job_1/step_0\n', {'slurm/job_1/cpu.max': '600000 100000'}, 6),
        ('0::/a/b\n', {'a/cpu.max': '800000 100000', 'a/b/cpu.max': '200000 100000'}, 2),
        (
            '4:memory:/x\n3:cpu,cpuacct:/pod\n0::/\n',
            {'cpu,cpuacct/pod/cpu.cfs_quota_us': '400000', 'cpu,cpuacct/pod/cpu.cfs_period_us': '100000'},
            4,
        ),
        # The path is that of the host; the container sees its own group at the top.
        (
            '3:cpu,cpuacct:/docker/0123\n',
            {'cpu,cpuacct/cpu.cfs_quota_us': '300000', 'cpu,cpuacct/cpu.cfs_period_us': '100000'},
            3,
        ),
        (
            '3:cpu,cpuacct:/\n',
            {'cpu,cpuacct/cpu.cfs_quota_us': '-1', 'cpu,cpuacct/cpu.cfs_period_us': '100000'},
            64,
        ),
        ('0::/../other\n', {'cpu.max': '400000 100000'}, 4),
    ],
)
def test_quotas_of_control_groups_count(cgroup, files, cores, tmp_path, monkeypatch):
    write(tmp_path, 'proc/self/cgroup', cgroup)
    for name, text in files.items():
        write(tmp_path / 'sys/fs/cgroup', name, text)
    monkeypatch.setattr(cpu.os, 'sched_getaffinity', lambda _: range(64), raising=False)
    monkeypatch.setattr(cpu, 'Path', lambda _: tmp_path)
    assert cpu.available_cores() == cores


@pytest.mark.fault('D30')
def test_the_affinity_counts_where_there_is_no_quota(tmp_path, monkeypatch):
    monkeypatch.setattr(cpu.os, 'sched_getaffinity', lambda _: range(3), raising=False)
    monkeypatch.setattr(cpu, 'Path', lambda _: tmp_path)
    assert cpu.available_cores() == 3
