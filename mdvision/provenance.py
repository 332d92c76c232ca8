"""The provenance of a number: the command, the hardware, the versions."""

import contextlib
import platform
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from .cpu import available_cores

__all__ = ['command_line', 'git_state', 'hardware_name', 'package_version', 'package_versions']

_PACKAGES = ('mdvision', 'torch', 'torchvision', 'onedl-mmengine', 'onedl-mmcv', 'onedl-mmdetection',
             'onedl-mmpretrain')  # fmt: skip


def command_line() -> str:
    """Return this command line, as one would type it in the project's folder."""
    tool, *arguments = sys.argv
    project = Path(__file__).resolve().parents[1]  # tools/compare.py starts tools by their full path
    if Path(tool).is_absolute() and Path(tool).is_relative_to(project):
        tool = Path(tool).relative_to(project).as_posix()
    return shlex.join(['python', tool, *arguments])


def hardware_name() -> str:
    """Return the GPU in use, or the processor and its cores."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else _processor()


def package_versions() -> dict[str, str | None]:
    """Return the versions of the packages that affect the results; None for a missing one."""
    return {name: package_version(name) for name in _PACKAGES}


def git_state() -> dict[str, object] | None:
    """Return the commit of the repository around the current folder, and whether files differ from it.

    None outside a repository, or without git.
    """
    try:
        commit, changes = (
            subprocess.run(['git', *command], capture_output=True, text=True, check=True, timeout=20).stdout
            for command in (('rev-parse', 'HEAD'), ('status', '--porcelain', '--untracked-files=no'))
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return dict(commit=commit.strip(), changed_files=len(changes.splitlines()))


def _processor() -> str:
    model = platform.machine()
    with contextlib.suppress(OSError):
        for line in Path('/proc/cpuinfo').read_text().splitlines():
            if line.startswith('model name'):
                model = line.partition(':')[2].strip()
                break
    return f'CPU ({model}), {available_cores()} cores'


def package_version(package: str) -> str | None:
    """Return the version of an installed package; None if it is missing."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
