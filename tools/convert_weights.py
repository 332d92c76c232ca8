"""Convert a checkpoint of the authors, or of torchvision, into ours.

python tools/convert_weights.py emanet50_cifar authors.pth emanet50_cifar.pth
python tools/convert_weights.py dems_vit_tiny a.pth b.pth --cfg-options image_size=256 patch_size=16
python tools/convert_weights.py lma_resnet50 resnet50.pth start.pth --source torchvision
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
    parser.add_argument('name', help='the model, for example emanet50_cifar')
    parser.add_argument('source_path', metavar='src', help='checkpoint to read; no code in it is run')
    parser.add_argument('target_path', metavar='dst', help='file to write')
    parser.add_argument(
        '--source', default='authors', choices=['authors', 'torchvision'], help='whose format it has'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='arguments of the backbone that differ from the name, such as width_mult=0.5',
    )
    parser.add_argument(
        '--allow-partial', action='store_true', help='accept a checkpoint that matches only in part'
    )
    parser.add_argument('--debug', action='store_true', help='show the whole traceback of an error')
    return parser.parse_args(argv)


if __name__ == '__main__':
    args = parse_args()
    from mdvision.commands import convert, faults

    sys.exit(faults.run(convert.main, args))
