"""Train a classifier or a detector.

python tools/train.py configs/emanet/faster_rcnn_minivoc.py
"""

import argparse
import sys
from pathlib import Path

# The clone's own code, even where another mdvision is installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _arguments import add_common_arguments, add_training_arguments, choose_device, keep_config, use_utf8


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='continue from a checkpoint, by default from the newest one of the work dir',
    )
    parser.add_argument(
        '--dry-run',
        action='store_true',
        help='only try it: three iterations, validation, checkpoint and resumption in a temporary folder',
    )
    add_training_arguments(parser)
    add_common_arguments(parser)
    argv = keep_config(sys.argv[1:] if argv is None else argv, amp='fp16', ema='0.0002', resume='auto')
    args = parser.parse_args(argv)
    choose_device(parser, args.device)
    return args


if __name__ == '__main__':
    use_utf8()
    args = parse_args()
    from mdvision.commands import faults
    from mdvision.commands import train as launch
    from mdvision.processes import distributed

    distributed.leave(faults.run(launch.train, args))
