"""Predict with a trained model on images, folders and videos.

python tools/infer.py work_dirs/faster_rcnn_minivoc photos/
"""

import argparse
import time
from pathlib import Path
from typing import NoReturn

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mdvision.cpu import available_cores
from mdvision.errors import UserError
from mdvision.inference.predictions import Classification, Detections, Unreadable
from mdvision.inference.saving import FORMATS, Results
from mdvision.inference.sources import open_source
from mdvision.inference.trained import load
from mdvision.processes.distributed import leave

from .arguments import argument_parser, at_least
from .faults import run

__all__ = ['infer', 'main', 'parse_args']


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The arguments of ``argv``, by default those of this process."""
    parser = argument_parser(__doc__)
    parser.add_argument('model', help='work directory of a run, its model.json, or a checkpoint (.pth)')
    parser.add_argument('source', nargs='+', help="images, folders, patterns, a video, or a camera's index")
    parser.add_argument('--out', default='predictions', help='folder for the results (default: predictions)')
    parser.add_argument('--overwrite', action='store_true', help='write into a folder that is not empty')
    parser.add_argument(
        '--save',
        nargs='+',
        choices=FORMATS,
        default=['json'],
        help='what to write: json, csv; of a detector also voc, coco and yolo annotations (default: json)',
    )
    parser.add_argument('--no-draw', action='store_true', help='write no pictures or videos')
    parser.add_argument(
        '--score', type=_share, default=0.3, help='leave out detections below this score (default: 0.3)'
    )
    parser.add_argument(
        '--top', type=at_least(1), default=5, help='classes per image that are written (default: 5)'
    )
    parser.add_argument(
        '--batch-size', type=at_least(1), default=16, help='images per forward pass (default: 16)'
    )
    parser.add_argument(
        '--device', default='auto', help="'auto' (the GPU if there is one), 'cpu', 'cuda' or 'cuda:1'"
    )
    parser.add_argument('--threads', type=at_least(1), help='CPU threads (default: from the number of cores)')
    return parser.parse_args(argv)


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f'expected a score from 0 to 1, got {text}')
    return value


def main(argv: list[str] | None = None) -> NoReturn:
    """Run the command and end this process."""
    leave(run(infer, parse_args(argv)))


def infer(args: argparse.Namespace) -> None:
    """Predict, write and draw; what cannot be read is named, and fails the command at its end.

    Raises:
        UserError: an image could not be read; the others have been predicted.
    """
    torch.set_num_threads(args.threads or available_cores())
    model = load(args.model, None if args.device == 'auto' else args.device.partition(':')[0])
    source = open_source(args.source[0] if len(args.source) == 1 else args.source)
    started, count, unreadable = time.monotonic(), 0, []
    with (
        Results(
            Path(args.out), args.save, model, source, not args.no_draw, args.top, args.overwrite
        ) as results,
        _progress(source.total) as advance,
    ):
        for one in model.stream(
            source, batch_size=args.batch_size, score=args.score, images=not args.no_draw
        ):
            advance()
            if isinstance(one, Unreadable):
                unreadable.append(one)
                continue
            results.add(one)
            count += 1
            if source.total is not None and source.total <= 10:
                print(_line(one))
    seconds = time.monotonic() - started
    print(f'{count} images in {seconds:.1f} s ({count / max(seconds, 1e-9):.1f} per second)')
    for path in results.written:
        print(f'  {path}')
    if unreadable:
        lines = [f'  {one.source}: {one.reason}' for one in unreadable[:20]]
        more = [f'  and {len(unreadable) - 20} more'] * (len(unreadable) > 20)
        raise UserError('\n'.join([f'{len(unreadable)} could not be read:', *lines, *more]))


def _line(one: Detections | Classification) -> str:
    if isinstance(one, Classification):
        return f'{one.source}: ' + ', '.join(f'{name} {score:.3f}' for name, score in one.top(3))
    counts = {name: one.names.count(name) for name in dict.fromkeys(one.names)}
    return f'{one.source}: ' + (', '.join(f'{number} {name}' for name, number in counts.items()) or 'nothing')


class _progress:  # noqa: N801
    """A progress bar on standard error, on a terminal only."""

    def __init__(self, total: int | None):
        columns = TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self._bar.disable = not self._bar.console.is_terminal
        self._task = self._bar.add_task('images', total=total)

    def __enter__(self):
        self._bar.start()
        return lambda: self._bar.advance(self._task)

    def __exit__(self, *_):
        self._bar.stop()
