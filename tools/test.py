"""Evaluate a checkpoint.

python tools/test.py configs/emanet/faster_rcnn_minivoc.py work_dirs/faster_rcnn_minivoc/epoch_12.pth
"""

import argparse
import sys
from pathlib import Path

# The clone's own code, even where another mdvision is installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _arguments import add_common_arguments, choose_device, use_utf8


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    add_common_arguments(parser)
    args = parser.parse_args(argv)
    choose_device(parser, args.device)
    return args


if __name__ == '__main__':
    use_utf8()
    args = parse_args()
    from mdvision.commands import faults
    from mdvision.commands import train as launch
    from mdvision.processes import distributed

    distributed.leave(faults.run(launch.test, args))
