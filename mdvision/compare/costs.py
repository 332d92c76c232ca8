"""The cost of the variants: counted multiply-adds and memory, and measured speed."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.device import is_cuda_available
from mmengine.registry import DATASETS, init_default_scope

from mdvision.complexity.report import Report, report_on_config
from mdvision.config.image_size import image_size, padded
from mdvision.errors import UserError

from .plan import Variant
from .speed import batch_of, measure

__all__ = ['costs_of']


def costs_of(
    folder: Path, variants: Sequence[Variant], configs: Sequence[Config], keys: Sequence[str], speed: bool
) -> dict:
    """Return counts and speed of the variants, from ``costs.json`` if they are already there.

    Args:
        folder: the folder of the comparison.
        keys: per variant, what its numbers depend on.
        speed: whether to measure speed; otherwise an earlier measurement is used.

    Returns:
        ``counts``: per variant its ``macs``, ``training_bytes`` and ``image``, or a ``problem``; ``speed``:
            None or ``where``, ``batches`` and per variant ``images_per_second`` and ``memory`` (bytes, on a
            GPU) or a ``problem``.
    """
    path = folder / 'costs.json'
    stored = _stored(path)
    counts = []
    for variant, cfg, key in zip(variants, configs, keys, strict=True):
        if key not in stored['counts']:
            print(f'counting {variant.name}')
            stored['counts'][key] = _counted(variant, cfg)
        counts.append(stored['counts'][key])
    device = torch.device('cuda' if is_cuda_available() else 'cpu')
    batches = [batch_of(cfg) for cfg in configs]
    asked = dict(keys=list(keys), device=_device_name(device), batches=batches)
    measured = stored['speed']
    if speed and (measured is None or measured['asked'] != asked):
        images = [count.get('image') for count in counts]
        results = measure([v.name for v in variants], configs, images, device)
        measured = stored['speed'] = dict(asked=asked, results=results)
    elif measured is not None and measured['asked'] != asked:
        measured = None
    text = json.dumps(stored, indent=2) + '\n'
    if not path.is_file() or path.read_text(encoding='utf-8') != text:
        whole = path.with_suffix('.json.tmp')
        whole.write_text(text, encoding='utf-8')
        os.replace(whole, path)
    return dict(counts=counts, speed=measured)


def _stored(path: Path) -> dict:
    """Return what an earlier start counted and measured; a truncated file counts as empty."""
    nothing = dict(counts={}, speed=None)
    try:
        stored = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return nothing
    return stored if isinstance(stored, dict) and stored.keys() == nothing.keys() else nothing


def _device_name(device: torch.device) -> str:
    if device.type == 'cuda':
        return torch.cuda.get_device_name()
    threads = torch.get_num_threads()
    return f'the CPU with {threads} thread{"s" * (threads > 1)}'


def _counted(variant: Variant, cfg: Config) -> dict:
    try:
        report = _report(variant, cfg)
    except Exception as error:  # a user's model may do anything on the meta device
        kind = '' if isinstance(error, UserError) else f'{type(error).__name__}: '
        return dict(problem=f'{kind}{error}')
    complexity = report.complexity
    return dict(
        macs=complexity.macs,
        training_bytes=complexity.training_bytes,
        image=list(report.image),
        regions=report.regions,
        uncounted=list(complexity.uncounted),
    )


def _report(variant: Variant, cfg: Config) -> Report:
    size = None
    if image_size(cfg) is None:
        # The pipeline does not resize: use the size of the first validation image.
        init_default_scope(cfg.get('default_scope') or 'mmengine')
        size = padded(cfg, DATASETS.build(cfg.val_dataloader.dataset)[0]['inputs'].shape[-2:])
    return report_on_config(variant.config, size, variant.options)
