"""Compare the image preprocessing of a model with its checkpoint's, and of validation with training."""

import torch
from mmengine.config import Config
from torch import nn

from mdvision.config.tree import dicts, type_name
from mdvision.errors import UserError
from mdvision.findings import Finding

__all__ = ['check_pipelines', 'check_preprocessing', 'preprocessing_differences', 'preprocessing_of']

_PREPROCESSOR = 'model.data_preprocessor.'


def preprocessing_of(model: nn.Module, cfg: Config, split: str) -> dict[str, object]:
    """Return mean, standard deviation, channel order and padding, by their keys in the config.

    Args:
        model: the unwrapped model; its ``data_preprocessor`` counts, defaults included.
        cfg: the config of the run.
        split: ``'train'``, ``'val'`` or ``'test'``: whose pipeline to use.
    """
    preprocessor = getattr(model, 'data_preprocessor', None)
    settings = {}
    for name in ('mean', 'std', 'pad_size_divisor', 'pad_value'):
        value = getattr(preprocessor, name, None)
        settings[name] = value.flatten().tolist() if isinstance(value, torch.Tensor) else value
    # mmengine's and mmpretrain's names for swapping red and blue.
    swaps = getattr(preprocessor, '_channel_conversion', None) or getattr(preprocessor, 'to_rgb', None)
    settings['bgr_to_rgb or to_rgb'] = bool(swaps)
    return {_PREPROCESSOR + name: value for name, value in settings.items()} | _pipeline(cfg, split)


def check_preprocessing(trained: dict[str, object], used: dict[str, object], path: str) -> None:
    """Refuse to evaluate or resume with images prepared in another way.

    Args:
        trained: what :func:`preprocessing_of` returned in training; empty if the checkpoint does not say.
        used: what it returns now.
        path: the checkpoint, for the message.

    Raises:
        UserError: they differ; the message has every key with both values.
    """
    lines = [
        f'  {key}: trained with {before}, now {now}'
        for key, before, now in preprocessing_differences(trained, used)
    ]
    if lines:
        raise UserError(
            f'Checkpoint {path} was trained on images that were prepared differently:\n'
            + '\n'.join(lines)
            + '\nUse the config that it was trained with (it is in its work directory), or continue '
            'anyway with --allow-partial.'
        )


def preprocessing_differences(
    trained: dict[str, object], used: dict[str, object]
) -> list[tuple[str, object, object]]:
    """Return the keys whose values differ, each with its value in training and its value now."""
    return [(key, value, used.get(key)) for key, value in trained.items() if value != used.get(key)]


def check_pipelines(cfg: Config) -> list[Finding]:
    """Find pipelines of one config that normalize images differently in training and validation."""
    findings = []
    for split in ('val', 'test'):
        if not (cfg.get('train_dataloader') and cfg.get(f'{split}_dataloader')):
            continue
        trained, used = _pipeline(cfg, 'train'), _pipeline(cfg, split)
        findings += [
            Finding(
                'warning',
                f'{split}_dataloader.dataset.{key}',
                f'training has {value}, this has {used[key]}: the results will underrate the model',
                'use the same in both pipelines',
            )
            for key, value in trained.items()
            if value != used[key]
        ]
    return findings


def _pipeline(cfg: Config, split: str) -> dict[str, object]:
    """Return how the transforms of a split change image values, however its data sets are wrapped."""
    transforms = [(type_name(one), one) for one in dicts(cfg.get(f'{split}_dataloader')) if one.get('type')]
    normalise = [
        ', '.join(f'{key}={one[key]}' for key in ('mean', 'std', 'to_rgb') if key in one)
        for kind, one in transforms
        if kind == 'Normalize'
    ]
    colors = [one.get('color_type', 'color') for kind, one in transforms if kind == 'LoadImageFromFile']
    return {
        'pipeline.Normalize': sorted(set(normalise)),
        # Data sets that keep their images in memory load none.
        'pipeline.LoadImageFromFile.color_type': sorted(set(colors)) or ['color'],
    }
