"""Train a classifier or a detector.

python tools/train.py configs/emanet/faster_rcnn_minivoc.py
"""

import argparse
import sys
from pathlib import Path

# The clone's own code, even where another mdvision is installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _arguments import add_common_arguments, choose_device


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
    parser.add_argument('--amp', action='store_true', help='mixed precision (GPU)')
    parser.add_argument(
        '--auto-scale-lr', action='store_true', help='scale the learning rate with the real batch'
    )
    parser.add_argument('--seed', type=int, help='random seed (randomness.seed of the config)')
    add_common_arguments(parser)
    args = parser.parse_args(argv)
    choose_device(parser, args.device)
    return args


if __name__ == '__main__':
    args = parse_args()
    from mdvision.engine import faults, launch

    sys.exit(faults.run(launch.train, args))
