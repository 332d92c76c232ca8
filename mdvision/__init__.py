"""mdvision: Attention backbones for MMPretrain and MMDetection.

Importing mdvision is the registration: afterwards both libraries find its classes by name. It also
supplies mmcv's compiled ops from torchvision where they are missing, so import it before anything
that imports ``mmcv.ops`` (``mmdet.apis``, ``mmdet.models``); ``import mmdet`` alone may come first.
From then on no checkpoint executes code, whoever loads it; :func:`allow_code_in_checkpoints` is the way out.
"""

import fnmatch
import importlib

from . import ops
from .version import __version__

ops.activate()

from . import models  # noqa: E402
from .checkpoints import pretrained, safe_loading  # noqa: E402
from .checkpoints.unpickling import allow_code_in_checkpoints  # noqa: E402
from .errors import UserError  # noqa: E402
from .models import *  # noqa: E402, F403


# The models alone cannot know trained weights, whose networks may need the upstream libraries.
def create_model(
    name: str, num_classes: int | None = None, neck: dict | None = None, pretrained: bool = False, **overrides
):
    """Create a model by name, with fresh weights or trained ones.

    Args:
        name: one of :func:`list_models`.
        num_classes, neck, overrides: see :func:`mdvision.models.create_model`; none for a trained model,
            whose architecture is that of its weights.
        pretrained: with the weights that come with mdvision; ``name`` is then one of
            ``list_models(pretrained=True)``, and the result is the network in evaluation mode, as the
            upstream library builds it. ``mdvision.load(name)`` returns its class names too, and predicts.

    Raises:
        UserError: the name is unknown, or an argument does not fit.
    """
    if not pretrained:
        return models.create_model(name, num_classes, neck, **overrides)
    given = [key for key, value in dict(overrides, num_classes=num_classes, neck=neck).items() if value]
    if given:
        raise UserError(
            f'{name}: with pretrained=True the architecture is that of the weights. Omit {", ".join(given)}.'
        )
    from .inference.trained import load
    from .inference.zoo import find_trained

    return load(find_trained(name), device='cpu').model


def list_models(filter: str = '*', pretrained: bool = False) -> list[str]:
    """Return the sorted names of the models that match a shell pattern.

    Args:
        filter: for example ``'*_cifar'`` or ``'lma_*'``; a text without ``*`` matches anywhere.
        pretrained: those that come with trained weights instead.
    """
    if not pretrained:
        return models.list_models(filter)
    from .inference.zoo import trained_models

    pattern = filter if any(c in filter for c in '*?[') else f'*{filter}*'
    return fnmatch.filter(trained_models(), pattern)


safe_loading.install()
pretrained.install()

# Imported on first use, so that ``import mdvision`` stays light.
_LAZY = {
    'AugmentationScheduleHook': 'mdvision.engine.hooks.augmentation_schedule',
    'BFloat16OptimWrapper': 'mdvision.engine.optim_wrappers',
    'CIFAR10': 'mdvision.datasets.cifar',
    'CIFAR100': 'mdvision.datasets.cifar',
    'CIFAR10JPEG': 'mdvision.datasets.cifar',
    'Caltech101': 'mdvision.datasets.standard',
    'CheckpointHook': 'mdvision.engine.hooks.checkpoint',
    'ClassificationLoss': 'mdvision.evaluation.classification_loss',
    'DetectionMetric': 'mdvision.evaluation.detection_metric',
    'DetectionValLoop': 'mdvision.engine.detection_val_loop',
    'EMNIST': 'mdvision.datasets.mnist',
    'EpochLoop': 'mdvision.engine.train_loop',
    'FasterRCNN': 'mdvision.detectors',
    'FashionMNIST': 'mdvision.datasets.mnist',
    'ImageFolder': 'mdvision.datasets.image_folder',
    'ImageNet': 'mdvision.datasets.standard',
    'IterLoop': 'mdvision.engine.train_loop',
    'LoggerHook': 'mdvision.engine.hooks.logger',
    'MNIST': 'mdvision.datasets.mnist',
    'MiniImageNet': 'mdvision.datasets.standard',
    'MiniVOCDataset': 'mdvision.datasets.mini_voc_dataset',
    'PolyWarmupLR': 'mdvision.engine.schedulers',
    'ProgressLog': 'mdvision.engine.log_processor',
    'RetinaNet': 'mdvision.detectors',
    'RoIExtractor': 'mdvision.detectors',
    'ScheduledProbability': 'mdvision.datasets.scheduled_transform',
    'VOCDataset': 'mdvision.datasets.voc',
    'load': 'mdvision.inference.trained',
    'predict': 'mdvision.inference.trained',
}

__all__ = ['UserError', '__version__', 'allow_code_in_checkpoints', *models.__all__, *_LAZY]


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
