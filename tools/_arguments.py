"""Arguments that train.py, test.py and check.py share. Standard library only: the device must be chosen
before torch and mmengine are imported."""

import argparse
import itertools
import os
import re
import sys

__all__ = [
    'add_common_arguments', 'add_training_arguments', 'at_least', 'choose_device', 'keep_config', 'use_utf8',
]  # fmt: skip


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--work-dir', help='folder for logs and checkpoints (work_dirs/CONFIG)')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='override keys of the config, for example train_dataloader.batch_size=4',
    )
    parser.add_argument(
        '--device', default='auto', help="'auto' (a GPU if there is one), 'cpu', 'cuda' or 'cuda:1'"
    )
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='job launcher'
    )
    parser.add_argument(
        '--threads', type=at_least(1), help='CPU threads of each process (chosen by the cores)'
    )
    parser.add_argument(
        '--workers', type=at_least(0), help='data workers of each process (chosen by the cores)'
    )
    parser.add_argument(
        '--allow-partial', action='store_true', help='accept a checkpoint that matches only in part'
    )
    parser.add_argument('--debug', action='store_true', help='show the whole traceback of an error')
    # torch.distributed.launch passes this one; torchrun sets LOCAL_RANK.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    """What train.py and check.py have beyond the common ones."""
    parser.add_argument(
        '--amp',
        nargs='?',
        const='fp16',
        choices=['fp16', 'bf16'],
        help='mixed precision: fp16 (the default; GPU) or bf16 (GPU or CPU)',
    )
    parser.add_argument(
        '--ema',
        nargs='?',
        const=0.0002,
        type=float,
        metavar='MOMENTUM',
        help='evaluate and save a moving average of the weights (momentum 0.0002)',
    )
    parser.add_argument(
        '--backbone-from',
        metavar='CHECKPOINT',
        help="start the backbone with another training's, such as a detector's with a classifier's",
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate with the real batch even where auto_scale_lr.enable=False '
        '(otherwise that is the default)',
    )
    parser.add_argument('--seed', type=int, help='random seed (randomness.seed of the config)')


def at_least(least: int):
    """The type of an argument that is a number of ``least`` or more."""

    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f'expected at least {least}, got {value}')
        return value

    number.__name__ = 'number'
    return number


def keep_config(argv: list[str], **defaults: str) -> list[str]:
    """The arguments with ``--amp CONFIG`` as ``--amp=DEFAULT CONFIG``, so that no switch swallows the config.

    Args:
        argv: the arguments.
        defaults: of the switches that may stand without a value.
    """
    argv = list(argv)
    for index, (word, following) in enumerate(itertools.pairwise(argv)):
        if word[2:] in defaults and word.startswith('--') and following.endswith('.py'):
            argv[index] = f'{word}={defaults[word[2:]]}'
    return argv


def choose_device(parser: argparse.ArgumentParser, device: str) -> None:
    """Make only the chosen device visible, so that the hosts cannot pick another."""
    if device == 'cpu':
        os.environ['CUDA_VISIBLE_DEVICES'] = ''
    elif match := re.fullmatch(r'cuda:(\d+)', device):
        # Counted within what a scheduler has already given to this job.
        visible = [d for d in os.environ.get('CUDA_VISIBLE_DEVICES', '').split(',') if d]
        index = int(match[1])
        if visible and index >= len(visible):
            parser.error(f'--device {device}: CUDA_VISIBLE_DEVICES={",".join(visible)} has {len(visible)}')
        os.environ['CUDA_VISIBLE_DEVICES'] = visible[index] if visible else match[1]
    elif device not in ('auto', 'cuda'):
        parser.error(f"--device: expected 'auto', 'cpu', 'cuda' or 'cuda:N', got {device!r}")


def use_utf8() -> None:
    """Begin anew with file names in UTF-8, where a locale such as C has them in another encoding.

    The files of a run have their names from the user, and the hosts and TensorBoard read and write them
    as UTF-8.
    """
    if sys.getfilesystemencoding().lower() != 'utf-8':
        os.execv(sys.executable, [sys.executable, '-X', 'utf8', *sys.argv])
