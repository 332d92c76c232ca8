"""Look at a training before it is started: config, data, model, run, and a few real steps.

python tools/check.py configs/emanet/faster_rcnn_minivoc.py
"""

import argparse
import sys
from pathlib import Path

# The clone's own code, even where another mdvision is installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _arguments import add_common_arguments, add_training_arguments, choose_device, keep_config


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('--quick', action='store_true', help='without the memory and the real steps')
    parser.add_argument('--json', action='store_true', help='print the findings as JSON')
    add_training_arguments(parser)
    add_common_arguments(parser)
    args = parser.parse_args(keep_config(sys.argv[1:] if argv is None else argv, amp='fp16', ema='0.0002'))
    choose_device(parser, args.device)
    return args


if __name__ == '__main__':
    args = parse_args()
    from mdvision.commands import check, faults

    sys.exit(faults.run(check.main, args))
