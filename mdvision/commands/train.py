"""Train a classifier or a detector.

python tools/train.py configs/emanet/faster_rcnn_minivoc.py
"""

import argparse
import functools
import sys
import time
from pathlib import Path
from typing import NoReturn

from mmengine.config import Config

from mdvision.checkpoints.reading import read_checkpoint
from mdvision.checkpoints.resumable import check_resumable, nothing_left
from mdvision.checks.data import check_data
from mdvision.checks.dry_run import dry_run
from mdvision.checks.run import check_run
from mdvision.console import say
from mdvision.engine.hooks.interruption import train_interruptibly
from mdvision.engine.runner import Runner
from mdvision.errors import UserError
from mdvision.findings import report
from mdvision.processes.distributed import leave
from mdvision.work_dir.folder import find_resumable, make_room, refuse_to_move
from mdvision.work_dir.lock import lock_work_dir

from .arguments import add_common_arguments, argument_parser, keep_config
from .faults import run
from .report import report_training
from .start import start_up
from .switches import add_switches, ema_notes

__all__ = ['main', 'parse_args', 'train']


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The arguments of ``argv``, by default those of this process."""
    parser = argument_parser(__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='resume from a checkpoint (default: the newest one in the work directory)',
    )
    parser.add_argument(
        '--dry-run',
        action='store_true',
        help='only try three iterations, validation, checkpoint and resumption, in a temporary folder',
    )
    add_switches(parser)
    add_common_arguments(parser)
    argv = keep_config(sys.argv[1:] if argv is None else argv, amp='fp16', ema='0.0002', resume='auto')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> NoReturn:
    """Run the command and end this process."""
    leave(run(train, parse_args(argv)))


def train(args: argparse.Namespace) -> None:
    """Train, evaluate on the way, and report."""
    started = time.time()
    if args.init_from and args.resume:
        raise UserError(
            '--init-from starts a run, --resume continues one: give one of them. If one command is to do '
            'both, because a scheduler may restart it, write --cfg-options init_from=MODEL instead of '
            '--init-from.'
        )
    cfg, heading = start_up(args, ('train', 'val'))
    if args.dry_run:
        cfg.resume = False
        dry_run(cfg, 0.0 if args.allow_partial else 0.9, lambda runner: report(check_data(runner)))
        return
    with lock_work_dir(Path(cfg.work_dir)):
        runner = _start(cfg, args, heading)
        if runner is not None:
            train_interruptibly(runner)
            report_training(runner, started)


def _start(cfg: Config, args: argparse.Namespace, heading: list[str]) -> Runner | None:
    """The runner, with everything checked and said; None where nothing is left to train."""
    work_dir = Path(cfg.work_dir)
    resume = args.resume or (cfg.get('load_from') or 'auto' if cfg.get('resume') else None)
    if not _resume_or_start(cfg, resume, work_dir):
        return None
    if not cfg.resume:
        refuse_to_move(cfg, work_dir)
    runner = Runner.from_cfg(cfg)
    for line in heading:
        say(line)
    runner.make_room = functools.partial(_make_room, runner)
    runner.min_match = 0.0 if args.allow_partial else 1.0 if cfg.resume else 0.9
    report(check_data(runner))
    report(check_run(runner, work_dir))
    _announce(runner, work_dir)
    return runner


def _resume_or_start(cfg: Config, resume: str | None, work_dir: Path) -> bool:
    """Set the checkpoint to continue from; False when that run is already at its end.

    ``resume`` is None (start anew), ``'auto'`` (the newest of the work dir) or a checkpoint.
    """
    cfg.resume = False
    if resume is None:
        return True
    checkpoint = find_resumable(work_dir) if resume == 'auto' else resume
    if checkpoint is None:
        say(f'--resume: {work_dir} holds no checkpoint, starting from the beginning.')
        return True
    file = read_checkpoint(str(checkpoint))
    check_resumable(file, checkpoint, cfg)
    done = nothing_left(file['meta'], checkpoint, cfg)
    if done:
        say(done)
        return False
    cfg.resume, cfg.load_from = True, str(checkpoint)
    return True


def _make_room(runner: Runner, own_log: str) -> None:
    """What the runner does before it writes for the first time."""
    cfg, meta = runner.cfg, getattr(runner, '_loaded_meta', {})
    resumed = Path(cfg.load_from) if cfg.resume else None
    done = dict(epoch=meta.get('epoch', 0), iter=meta.get('iter', 0))
    make_room(Path(runner.work_dir), {own_log}, resumed, done)


def _announce(runner: Runner, work_dir: Path) -> None:
    loader = runner.train_dataloader
    # Not loader.batch_size, which is None where a batch sampler makes the batches.
    batch = runner.cfg.train_dataloader.batch_size * runner.world_size
    if batch > len(loader.dataset):
        say(
            f'note: the batch of {batch} is larger than the training set, so every update has '
            f'{len(loader.dataset)} images and the rate of {batch}; lower train_dataloader.batch_size'
        )
    say(
        f'{len(loader.dataset)} training images, {len(loader)} iterations of {batch} images an epoch; log, '
        f'config and checkpoints: {work_dir}'
    )
    for text in ema_notes(runner):
        say(text)
