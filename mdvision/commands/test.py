"""Evaluate a checkpoint.

python tools/test.py configs/emanet/faster_rcnn_minivoc.py work_dirs/faster_rcnn_minivoc/epoch_12.pth
"""

import argparse
import time
from typing import NoReturn

from mdvision.checkpoints.reading import read_checkpoint
from mdvision.checks.data import check_test_data
from mdvision.console import say
from mdvision.engine.runner import Runner
from mdvision.errors import UserError
from mdvision.findings import report
from mdvision.processes.distributed import leave

from .arguments import add_common_arguments, argument_parser
from .faults import run
from .report import report_test
from .start import start_up

__all__ = ['main', 'parse_args', 'test']


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The arguments of ``argv``, by default those of this process."""
    parser = argument_parser(__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    add_common_arguments(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> NoReturn:
    """Run the command and end this process."""
    leave(run(test, parse_args(argv)))


def test(args: argparse.Namespace) -> None:
    """Evaluate a checkpoint and report."""
    started = time.time()
    if args.checkpoint.endswith('.py') and not args.config.endswith('.py'):
        raise UserError(
            'The config comes first, then the checkpoint: python tools/test.py '
            f'{args.checkpoint} {args.config}'
        )
    read_checkpoint(args.checkpoint)
    cfg, heading = start_up(args, ('test',))
    cfg.load_from = args.checkpoint
    cfg.resume = False
    runner = Runner.from_cfg(cfg)
    for line in heading:
        say(line)
    runner.min_match = 0.0 if args.allow_partial else 1.0
    report(check_test_data(runner))
    metrics = runner.test()
    report_test(runner, started, metrics)
