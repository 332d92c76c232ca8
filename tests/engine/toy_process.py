"""The toy training as a command, of one process or of several."""

import argparse
import os
import time
from pathlib import Path

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from mdvision.commands import faults
from mdvision.engine.hooks.interruption import train_interruptibly
from mdvision.processes import distributed
from mdvision.work_dir.folder import find_resumable
from mdvision.work_dir.lock import lock_work_dir
from tests.engine.toy import make_runner


@HOOKS.register_module(force=True)
class Slow(Hook):
    """Makes each iteration take time."""

    def __init__(self, seconds: float):
        self.seconds = seconds

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        time.sleep(self.seconds)


def train(args: argparse.Namespace) -> None:
    cfg = Config(dict(env_cfg=dict(dist_cfg=dict(timeout=args.timeout)) if args.timeout else dict()))
    distributed.prepare_distributed(cfg, distributed.launcher_of('none'), on_gpu=False)
    rank = int(os.environ.get('RANK', '0'))
    hooks = [dict(type='Slow', seconds=args.seconds * (1 + 2 * rank))]
    if args.fail is not None and rank == 1:
        hooks.append(dict(type='FailAt', iteration=args.fail))
    with lock_work_dir(Path(args.work_dir)):
        resume = find_resumable(Path(args.work_dir)) if args.resume else None
        train_interruptibly(
            make_runner(
                Path(args.work_dir),
                epochs=args.epochs,
                hooks=(*hooks, *cfg.get('custom_hooks', ())),
                resume=str(resume) if resume else None,
                launcher=cfg.launcher,
                model_wrapper_cfg=cfg.get('model_wrapper_cfg'),
                train_dataloader=dict(
                    num_workers=args.workers, persistent_workers=args.workers > 0,
                    dataset=dict(type='ToyData', size=64),
                ),
                optim_wrapper=dict(accumulative_counts=args.counts),
            )
        )  # fmt: skip


@HOOKS.register_module(force=True)
class FailAt(Hook):
    def __init__(self, iteration: int):
        self.iteration = iteration

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.iteration:
            raise FileNotFoundError('the picture 000123.jpg')


if __name__ == '__main__':
    parser = argparse.ArgumentParser()
    parser.add_argument('work_dir')
    parser.add_argument('--resume', action='store_true')
    parser.add_argument('--epochs', type=int, default=2)
    parser.add_argument('--counts', type=int, default=1)
    parser.add_argument('--workers', type=int, default=0)
    parser.add_argument('--seconds', type=float, default=0.0)
    parser.add_argument('--timeout', type=float)
    parser.add_argument('--fail', type=int, help='iteration in which process 1 fails')
    parser.add_argument('--launcher')
    args = parser.parse_args()
    args.debug = False
    distributed.leave(faults.run(train, args))
