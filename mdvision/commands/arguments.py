"""Arguments that several commands share."""

import argparse
import itertools

__all__ = [
    'add_common_arguments',
    'add_overrides',
    'argument_parser',
    'at_least',
    'keep_config',
]


def argument_parser(description: str) -> argparse.ArgumentParser:
    """A parser with ``--debug``, whose help shows the docstring of the command as it is written."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--debug', action='store_true', help='show the full traceback of an error')
    return parser


def add_overrides(parser: argparse.ArgumentParser, meaning: str) -> None:
    """``--cfg-options``, the same in every command but for what it overrides."""
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help=meaning)


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """What train, test and check have in common."""
    parser.add_argument('--work-dir', help='folder for logs and checkpoints (default: work_dirs/CONFIG)')
    add_overrides(parser, 'override keys of the config, for example train_dataloader.batch_size=4')
    parser.add_argument(
        '--device', default='auto', help="'auto' (the GPU if there is one), 'cpu', 'cuda' or 'cuda:1'"
    )
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='job launcher'
    )
    parser.add_argument(
        '--threads', type=at_least(1), help='CPU threads per process (default: from the number of cores)'
    )
    parser.add_argument(
        '--workers', type=at_least(0), help='data workers per process (default: from the number of cores)'
    )
    parser.add_argument(
        '--allow-partial', action='store_true', help='accept a checkpoint that matches only in part'
    )
    # torch.distributed.launch passes this one; torchrun sets LOCAL_RANK.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def at_least(least: int):
    """Return the type of an argument that is an integer of at least ``least``."""

    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f'expected at least {least}, got {value}')
        return value

    number.__name__ = 'number'
    return number


def keep_config(argv: list[str], **defaults: str) -> list[str]:
    """Turn ``--amp CONFIG`` into ``--amp=DEFAULT CONFIG``, so that no option swallows the config.

    Args:
        argv: the arguments.
        defaults: defaults of the options whose value may be omitted.
    """
    argv = list(argv)
    for index, (word, following) in enumerate(itertools.pairwise(argv)):
        if word[2:] in defaults and word.startswith('--') and following.endswith('.py'):
            argv[index] = f'{word}={defaults[word[2:]]}'
    return argv
