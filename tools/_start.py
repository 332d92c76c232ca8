"""The start of every tool. Standard library only: the device is chosen before torch is imported."""

import argparse
import importlib
import os
import re
import sys
from pathlib import Path

__all__ = ['choose_device', 'start', 'use_utf8']


def start(command: str) -> None:
    """Run a command of ``mdvision.commands`` with the arguments of this process."""
    use_utf8()
    choose_device(sys.argv[1:])
    # Use this checkout, even if another mdvision is installed.
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    sys.exit(importlib.import_module(f'mdvision.commands.{command}').main())


def choose_device(argv: list[str]) -> None:
    """Make only the device given by ``--device`` visible, so that the upstream libraries cannot pick another.

    mmengine looks for GPUs when it is imported, so this comes first.
    """
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument('--device', default='auto')
    device = parser.parse_known_args(argv)[0].device
    if device == 'cpu':
        os.environ['CUDA_VISIBLE_DEVICES'] = ''
    elif match := re.fullmatch(r'cuda:(\d+)', device):
        # The index counts within the devices that a scheduler has assigned to this job.
        visible = [d for d in os.environ.get('CUDA_VISIBLE_DEVICES', '').split(',') if d]
        index = int(match[1])
        if visible and index >= len(visible):
            parser.error(f'--device {device}: CUDA_VISIBLE_DEVICES={",".join(visible)} has {len(visible)}')
        os.environ['CUDA_VISIBLE_DEVICES'] = visible[index] if visible else match[1]
    elif device not in ('auto', 'cuda'):
        parser.error(f"--device: expected 'auto', 'cpu', 'cuda' or 'cuda:N', got {device!r}")


def use_utf8() -> None:
    """Restart Python in UTF-8 mode if the locale, such as C, has another file-name encoding.

    Users choose the file names of a run, and the upstream libraries and TensorBoard read and write them as
    UTF-8.
    """
    if sys.getfilesystemencoding().lower() != 'utf-8':
        os.execv(sys.executable, [sys.executable, '-X', 'utf8', *sys.argv])
