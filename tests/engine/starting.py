"""The toy training as ``tools/train.py`` starts it: from a config file, in this process."""

import argparse
import uuid
from pathlib import Path

from mdvision.commands import test as testing
from mdvision.commands import train as training
from tests.engine.toy import make_runner

__all__ = ['evaluate', 'train', 'write_config']


def write_config(path: Path, **more) -> Path:
    """A config file of the toy training; ``more`` as of :func:`make_runner`."""
    cfg = make_runner(path.parent / 'unused', **more).cfg
    for key in ('work_dir', 'experiment_name', 'load_from', 'resume'):
        cfg.pop(key)
    cfg.test_dataloader, cfg.test_cfg, cfg.test_evaluator = cfg.val_dataloader, {}, cfg.val_evaluator
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(cfg.pretty_text)
    return path


def train(config: Path, work_dir: Path | None = None, *options: str, resume: str | None = None) -> None:
    """What the tool does with ``--cfg-options`` and ``--resume``."""
    args = _arguments(config, work_dir, options, resume=resume)
    training.train(args)


def evaluate(config: Path, checkpoint: Path, work_dir: Path, *options: str) -> None:
    """What tools/test.py does."""
    testing.test(_arguments(config, work_dir, options, checkpoint=str(checkpoint)))


def _arguments(config: Path, work_dir: Path | None, options: tuple, **more) -> argparse.Namespace:
    common = dict(device='cpu', launcher='none', threads=1, workers=0, allow_partial=False, debug=False)
    training = dict(
        amp=None, ema=None, backbone_from=None, init_from=None, auto_scale_lr=False, dry_run=False, seed=None
    )
    options = [*options, f'experiment_name=toy_{uuid.uuid4().hex}']  # mmengine keeps loggers by this name
    where = dict(config=str(config), work_dir=work_dir and str(work_dir), cfg_options=options)
    return argparse.Namespace(**common, **training, **where, **more)
