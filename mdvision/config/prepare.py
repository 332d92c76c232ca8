"""Prepare a config: read it, apply overrides, check it and fill what it leaves open."""

import os
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec

from mmengine.config import Config

from mdvision.console import import_upstream, say
from mdvision.findings import Finding, report

from .faults import find_config_faults
from .fill import fill_config
from .overrides import apply_overrides
from .reading import load_config

__all__ = ['drop_missing_tensorboard', 'prepare']


def prepare(
    path: str, overrides: Sequence[str] = (), tell: Callable[[list[Finding]], None] = report
) -> Config:
    """Read a config with its bases, import its modules, apply overrides, check and complete it.

    Args:
        path: the config file.
        overrides: ``KEY=VALUE``, see :func:`mdvision.config.overrides.apply_overrides`.
        tell: receives the findings, and raises an error if they prevent the run.

    Raises:
        UserError: see :func:`mdvision.config.reading.load_config` and ``tell``.
    """
    # A user's module, named in custom_imports, is in the folder from which the command starts.
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    cfg = load_config(path)
    if cfg.get('default_scope') in ('mmdet', 'mmpretrain'):
        import_upstream(cfg.default_scope)
    apply_overrides(cfg, list(overrides))
    tell(find_config_faults(cfg, path))
    drop_missing_tensorboard(cfg)
    fill_config(cfg)
    return cfg


def drop_missing_tensorboard(cfg: Config) -> None:
    """Continue without TensorBoard if it is not installed, and say so."""
    visualizer = cfg.get('visualizer') or {}
    backends = visualizer.get('vis_backends') or []
    rest = [backend for backend in backends if 'Tensorboard' not in str(backend.get('type'))]
    if len(rest) < len(backends) and find_spec('tensorboard') is None:
        visualizer.vis_backends = rest
        say(
            'no TensorBoard charts: it is not installed (pip install tensorboard); all metrics are in '
            'metrics.csv'
        )
