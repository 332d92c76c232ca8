"""Count the parameters, multiply-adds (GFLOPs/MACs), activations and training memory of a model.

python tools/complexity.py emanet50_cifar
python tools/complexity.py configs/emanet/faster_rcnn_voc.py
"""

import argparse
import contextlib
import json
import sys
from pathlib import Path

from mdvision.complexity.report import as_json, as_text, report_on_config, report_on_name
from mdvision.errors import UserError
from mdvision.models.named import find_model
from mdvision.models.named_table import NAMED

from .arguments import add_overrides, argument_parser
from .faults import run

__all__ = ['complexity', 'main', 'parse_args']


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The arguments of ``argv``, by default those of this process."""
    parser = argument_parser(__doc__)
    parser.add_argument('model', help='name of a model (mdvision.list_models()) or config file')
    parser.add_argument('--size', nargs=2, type=int, metavar=('HEIGHT', 'WIDTH'), help='image size in pixels')
    add_overrides(parser, 'override keys of the config or, for a model name, arguments of its backbone')
    parser.add_argument('--json', action='store_true', help='print exact numbers as JSON')
    args = parser.parse_args(argv)
    if args.size and min(args.size) < 1:
        parser.error(f'--size: expected two positive numbers of pixels, got {args.size[0]} {args.size[1]}')
    return args


def main(argv: list[str] | None = None) -> int:
    """Run the command; the exit status."""
    return run(complexity, parse_args(argv))


def complexity(args: argparse.Namespace) -> None:
    """Print the cost of ``args.model``, a name or a config file, as a table or as JSON."""
    size = tuple(args.size) if args.size else None
    # What upstream libraries print goes elsewhere, so that --json prints JSON and nothing else.
    with contextlib.redirect_stdout(sys.stderr):
        if args.model in NAMED:
            report = report_on_name(args.model, size, args.cfg_options)
        elif args.model.endswith('.py') or Path(args.model).exists() or len(Path(args.model).parts) > 1:
            report = report_on_config(args.model, size, args.cfg_options)
        else:
            _refuse_name(args.model)
    print(json.dumps(as_json(report), indent=2) if args.json else as_text(report))


def _refuse_name(name: str) -> None:
    configs = [path.as_posix() for path in Path('configs').rglob(f'{name}.py')]
    try:
        find_model(name)
    except UserError as error:
        hint = f' There is a config of this name: {configs[0]}.' if configs else ''
        raise UserError(f'{error} A config is given by its path, with .py at the end.{hint}') from None
