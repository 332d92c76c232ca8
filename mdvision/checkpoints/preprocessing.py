"""How images become numbers: what a checkpoint was trained with must be what it is used with."""

import torch
from mmengine.config import Config
from torch import nn

from mdvision.config.tree import dicts, type_name
from mdvision.errors import UserError
from mdvision.findings import Finding

__all__ = ['check_pipelines', 'check_preprocessing', 'preprocessing_of']

_PREPROCESSOR = 'model.data_preprocessor.'


def preprocessing_of(model: nn.Module, cfg: Config, split: str) -> dict[str, object]:
    """Mean, standard deviation, order of the colours and padding, by their keys in the config.

    Args:
        model: the unwrapped model; what its ``data_preprocessor`` does counts, defaults included.
        cfg: the config of the run.
        split: ``'train'``, ``'val'`` or ``'test'``: whose pipeline counts.
    """
    preprocessor = getattr(model, 'data_preprocessor', None)
    settings = {}
    for name in ('mean', 'std', 'pad_size_divisor', 'pad_value'):
        value = getattr(preprocessor, name, None)
        settings[name] = value.flatten().tolist() if isinstance(value, torch.Tensor) else value
    # mmengine's and mmpretrain's names for exchanging red and blue.
    swaps = getattr(preprocessor, '_channel_conversion', None) or getattr(preprocessor, 'to_rgb', None)
    settings['bgr_to_rgb or to_rgb'] = bool(swaps)
    return {_PREPROCESSOR + name: value for name, value in settings.items()} | _pipeline(cfg, split)


def check_preprocessing(trained: dict[str, object], used: dict[str, object], path: str) -> None:
    """Refuse to evaluate or continue with images prepared in another way.

    Args:
        trained: what :func:`preprocessing_of` said in training; empty where the checkpoint does not tell.
        used: what it says now.
        path: the checkpoint, for the message.

    Raises:
        UserError: they differ; every key with both values.
    """
    lines = [
        f'  {key}: trained with {value}, now {used.get(key)}'
        for key, value in trained.items()
        if value != used.get(key)
    ]
    if lines:
        raise UserError(
            f'Checkpoint {path} was trained on images that were prepared in another way:\n'
            + '\n'.join(lines)
            + '\nUse the config that it was trained with (it lies in its work dir), or go on nevertheless '
            'with --allow-partial.'
        )


def check_pipelines(cfg: Config) -> list[Finding]:
    """Pipelines of one config that normalise images differently in training and in validation."""
    findings = []
    for split in ('val', 'test'):
        if not (cfg.get('train_dataloader') and cfg.get(f'{split}_dataloader')):
            continue
        trained, used = _pipeline(cfg, 'train'), _pipeline(cfg, split)
        findings += [
            Finding(
                'warning',
                f'{split}_dataloader.dataset.{key}',
                f'the training has {value}, this has {used[key]}: results will be worse than the model is',
                'use the same in both pipelines',
            )
            for key, value in trained.items()
            if value != used[key]
        ]
    return findings


def _pipeline(cfg: Config, split: str) -> dict[str, object]:
    """What the transforms of a split do to the values of images, however its data sets are wrapped."""
    transforms = [(type_name(one), one) for one in dicts(cfg.get(f'{split}_dataloader')) if one.get('type')]
    normalise = [
        ', '.join(f'{key}={one[key]}' for key in ('mean', 'std', 'to_rgb') if key in one)
        for kind, one in transforms
        if kind == 'Normalize'
    ]
    colours = [one.get('color_type', 'color') for kind, one in transforms if kind == 'LoadImageFromFile']
    return {
        'pipeline.Normalize': sorted(set(normalise)),
        # Data sets that keep their images in memory load none.
        'pipeline.LoadImageFromFile.color_type': sorted(set(colours)) or ['color'],
    }
