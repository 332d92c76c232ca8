"""Overfitting sanity check: train detectors on eight synthetic images until they are memorized.

python tools/overfit.py configs/emanet/faster_rcnn_voc.py --small
"""

import argparse
import csv
import datetime
import shlex
import time
from pathlib import Path

import torch
from mmengine.logging import MMLogger

from mdvision.checks.overfit import GOAL, IMAGES, overfit
from mdvision.config.prepare import prepare
from mdvision.errors import UserError
from mdvision.provenance import hardware_name, package_versions

from .arguments import add_overrides, argument_parser, at_least
from .faults import run

__all__ = ['main', 'overfit_each', 'parse_args']


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The arguments of ``argv``, by default those of this process."""
    parser = argument_parser(__doc__)
    parser.add_argument('config', nargs='+', help='config files of detectors')
    parser.add_argument(
        '--small', action='store_true', help='reduce widths and sizes, for a CPU: a minute or two per config'
    )
    parser.add_argument('--minutes', type=float, default=10, help='time limit per config (default: 10)')
    parser.add_argument('--lr', type=float, default=1e-3, help='learning rate of AdamW (default: 0.001)')
    parser.add_argument(
        '--seed', type=int, default=0, help='seed of weights, sampling and images (default: 0)'
    )
    parser.add_argument('--csv', metavar='FILE', help='append the results to this table')
    add_overrides(parser, 'override keys of all configs')
    parser.add_argument('--device', default='auto', help="'auto', 'cpu', 'cuda' or 'cuda:1'")
    parser.add_argument('--threads', type=at_least(1), help='CPU threads (default: chosen by torch)')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the command; the exit status."""
    return run(overfit_each, parse_args(argv))


def overfit_each(args: argparse.Namespace) -> None:
    """Overfit each config in turn and say what came out.

    Raises:
        UserError: one of them did not learn its images in the time given.
    """
    MMLogger.get_current_instance().setLevel('WARNING')  # it would list every parameter
    if args.threads:
        torch.set_num_threads(args.threads)
    failed = []
    for config in args.config:
        cfg = prepare(config, args.cfg_options)
        if cfg.get('default_scope') != 'mmdet':
            raise UserError(f'{config} is no detector (default_scope {cfg.get("default_scope")!r}).')
        started = time.time()
        score, iterations = overfit(cfg, args.minutes * 60, args.small, args.lr, args.seed)
        passed = score >= GOAL
        print(
            f'{"passed" if passed else "FAILED"}  {config}: mAP50 {score:.3f} after {iterations} iterations, '
            f'{time.time() - started:.0f} s',
            flush=True,
        )
        if not passed:
            failed.append(config)
        if args.csv:
            _append(Path(args.csv), args, config, score, iterations, time.time() - started)
    if failed:
        raise UserError(
            f'{len(failed)} of {len(args.config)} did not reach mAP50 {GOAL} on {IMAGES} images in '
            f'{args.minutes:g} minutes: {", ".join(failed)}. If the loss fell all the time, give more '
            '--minutes; if it did not fall, or rose, look for the fault, or try another --lr.'
        )


def _append(
    path: Path, args: argparse.Namespace, config: str, score: float, iterations: int, seconds: float
) -> None:
    """One row, with what it takes to get it again."""
    row = dict(
        config=config,
        mAP50=f'{score:.3f}',
        iterations=iterations,
        seconds=round(seconds),
        seed=args.seed,
        hardware=hardware_name(),
        threads=torch.get_num_threads(),
        versions=' '.join(f'{name}={version}' for name, version in package_versions().items()),
        date=datetime.date.today().isoformat(),
        command=shlex.join(
            [
                *(['python', 'tools/overfit.py']),
                config,
                *(['--small'] if args.small else []),
                *('--minutes', f'{args.minutes:g}', '--lr', f'{args.lr:g}', '--seed', str(args.seed)),
                *(['--cfg-options', *args.cfg_options] if args.cfg_options else []),
            ]
        ),
    )
    new = not path.exists()
    if not new and path.read_text(encoding='utf-8').partition('\n')[0] != ','.join(row):
        raise UserError(
            f'--csv {path}: expected a table with the columns {", ".join(row)}; take another file.'
        )
    with open(path, 'a', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, row, lineterminator='\n')
        if new:
            writer.writeheader()
        writer.writerow(row)
