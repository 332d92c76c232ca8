"""mdvision: Attention backbones for MMPretrain and MMDetection.

Importing mdvision is the registration: afterwards both libraries find its classes by name. It also
supplies mmcv's compiled ops from torchvision where they are missing, so import it before anything
that imports ``mmcv.ops`` (``mmdet.apis``, ``mmdet.models``); ``import mmdet`` alone may come first.
From then on no checkpoint executes code, whoever loads it; :func:`allow_code_in_checkpoints` is the way out.
"""

import importlib

from . import ops
from .version import __version__

ops.activate()

from . import models  # noqa: E402
from .checkpoints import pretrained, safe_loading  # noqa: E402
from .checkpoints.unpickling import allow_code_in_checkpoints  # noqa: E402
from .errors import UserError  # noqa: E402
from .models import *  # noqa: E402, F403

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
