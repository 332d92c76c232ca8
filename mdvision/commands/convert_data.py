"""Convert boxes between VOC, COCO, YOLO, CSV, CVAT and LabelMe, strictly, with a split where there is none.

python tools/convert_data.py labels/instances.json data/cells
python tools/convert_data.py data/yolo/data.yaml data/cells
python tools/convert_data.py boxes.csv data/cells --images photos --split 0.7 0.15 0.15 --seed 1
python tools/convert_data.py data/cells data/cells_coco --to coco
"""

import argparse

from mdvision.annotations import FORMATS, convert
from mdvision.console import say

from .arguments import argument_parser
from .faults import run

__all__ = ['convert_data', 'main', 'parse_args']


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The arguments of ``argv``, by default those of this process."""
    parser = argument_parser(__doc__)
    parser.add_argument('source', help='annotation file, or folder of the data set')
    parser.add_argument('target', help='folder to write; it must be empty or not exist')
    parser.add_argument('--to', default='voc', choices=FORMATS, help='format to write (default: voc)')
    parser.add_argument(
        '--from',
        dest='source_format',
        default='',
        choices=FORMATS,
        help='format of the source (default: found out)',
    )
    parser.add_argument(
        '--images', metavar='FOLDER', help='folder of the images (default: next to the annotations)'
    )
    parser.add_argument(
        '--split', nargs='+', type=float, metavar='SHARE',
        help='shares of train, val and test, or of train and val (default: the split of the source; where '
        'it has none, 0.8 0.1 0.1)',
    )  # fmt: skip
    parser.add_argument('--seed', type=int, default=0, help='seed of the split (default: 0)')
    parser.add_argument(
        '--box-base', default='auto', choices=['auto', '0', '1'],
        help='how VOC and CSV files count pixels (default: from 0 if a box begins at 0, otherwise from 1)',
    )  # fmt: skip
    parser.add_argument('--copy', action='store_true', help='copy the image files (default: hard links)')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the command; the exit status."""
    return run(convert_data, parse_args(argv))


def convert_data(args: argparse.Namespace) -> None:
    """Convert the data set and say what became of it."""
    say(
        convert(
            args.source, args.target, args.to, args.source_format, args.images, args.split, args.seed,
            args.box_base if args.box_base == 'auto' else int(args.box_base), args.copy,
        )
    )  # fmt: skip
