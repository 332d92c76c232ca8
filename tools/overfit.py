"""The learning test of detectors: eight drawn images, until they are learnt; fails if they are not.

python tools/overfit.py configs/emanet/faster_rcnn_voc.py --small
"""

import argparse
import sys
from pathlib import Path

# The clone's own code, even where another mdvision is installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _arguments import at_least, choose_device, use_utf8


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', nargs='+', help='config files of detectors')
    parser.add_argument(
        '--small', action='store_true', help='with widths and sizes cut, for a CPU: a minute or two each'
    )
    parser.add_argument('--minutes', type=float, default=10, help='for each config (10)')
    parser.add_argument('--lr', type=float, default=1e-3, help='rate of AdamW (0.001)')
    parser.add_argument('--seed', type=int, default=0, help='of weights, sampling and images (0)')
    parser.add_argument('--csv', metavar='FILE', help='append what came out to this table')
    parser.add_argument(
        '--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='override keys of all configs'
    )
    parser.add_argument('--device', default='auto', help="'auto', 'cpu', 'cuda' or 'cuda:1'")
    parser.add_argument('--threads', type=at_least(1), help='CPU threads (chosen by torch)')
    parser.add_argument('--debug', action='store_true', help='show the whole traceback of an error')
    args = parser.parse_args(argv)
    choose_device(parser, args.device)
    return args


if __name__ == '__main__':
    use_utf8()
    args = parse_args()
    from mdvision.commands import faults, overfit

    sys.exit(faults.run(overfit.main, args))
