"""Train a classifier or a detector.

python tools/train.py configs/emanet/faster_rcnn_minivoc.py
"""

import argparse
import sys
from pathlib import Path

# The clone's own code, even where another mdvision is installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _arguments import add_common_arguments, choose_device, keep_config


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
    parser.add_argument(
        '--dry-run',
        action='store_true',
        help='only try it: three iterations, validation, checkpoint and resumption in a temporary folder',
    )
    parser.add_argument('--seed', type=int, help='random seed (randomness.seed of the config)')
    add_common_arguments(parser)
    argv = keep_config(sys.argv[1:] if argv is None else argv, amp='fp16', ema='0.0002', resume='auto')
    args = parser.parse_args(argv)
    choose_device(parser, args.device)
    return args


if __name__ == '__main__':
    args = parse_args()
    from mdvision.engine import distributed, faults, launch

    distributed.leave(faults.run(launch.train, args))
