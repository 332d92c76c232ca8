"""What the variants cost: counted multiply-adds and memory, and the measured speed."""

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
    """Counts and speed of the variants, from ``costs.json`` where they stand there already.

    Args:
        folder: of the comparison.
        keys: of each variant, what its numbers depend on.
        speed: whether to measure it; otherwise an earlier measurement counts.

    Returns:
        ``counts``: for each variant its ``macs``, ``training_bytes`` and ``image``, or a ``problem``;
        ``speed``: None or ``where``, ``batches`` and for each variant ``images_per_second`` and
        ``memory`` (bytes, of a GPU) or a ``problem``.
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
    """What an earlier start counted and measured; a file that was cut short counts as nothing."""
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
    except Exception as error:  # a model of the user's may do anything on the meta device
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
        # The pipeline leaves images as they are: then the first one of the validation tells their size.
        init_default_scope(cfg.get('default_scope') or 'mmengine')
        size = padded(cfg, DATASETS.build(cfg.val_dataloader.dataset)[0]['inputs'].shape[-2:])
    return report_on_config(variant.config, size, variant.options)
