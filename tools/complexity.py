"""Count the parameters, multiply-adds, activations and training memory of a model.

python tools/complexity.py emanet50_cifar
python tools/complexity.py configs/emanet/faster_rcnn_voc.py
"""

import argparse
import sys
from pathlib import Path

# The clone's own code, even where another mdvision is installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('model', help='name of a model (mdvision.list_models()) or config file')
    parser.add_argument(
        '--size', nargs=2, type=int, metavar=('HEIGHT', 'WIDTH'), help='size of the image in pixels'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='override keys of the config, for a name arguments of its backbone',
    )
    parser.add_argument('--json', action='store_true', help='print exact numbers as JSON')
    parser.add_argument('--debug', action='store_true', help='show the whole traceback of an error')
    args = parser.parse_args(argv)
    if args.size and min(args.size) < 1:
        parser.error(f'--size: expected two positive numbers of pixels, got {args.size[0]} {args.size[1]}')
    return args


if __name__ == '__main__':
    args = parse_args()
    from mdvision.commands import faults
    from mdvision.complexity import report as complexity_report

    sys.exit(faults.run(complexity_report.main, args))
