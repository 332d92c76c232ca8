"""Data sets: strict readers and generated demo data. Importing this package imports no upstream library.

The order of the images is that of a sampler: see :mod:`mdvision.engine.data_loader`.
"""

import importlib

_HOMES = {
    'CIFAR10': 'cifar',
    'CIFAR100': 'cifar',
    'CIFAR10JPEG': 'cifar',
    'Caltech101': 'standard',
    'EMNIST': 'mnist',
    'FashionMNIST': 'mnist',
    'ImageFolder': 'image_folder',
    'ImageNet': 'standard',
    'MNIST': 'mnist',
    'MiniImageNet': 'standard',
    'VOCDataset': 'voc',
    'ensure_mini_voc': 'mini_voc',
    'make_mini_voc': 'mini_voc',
}

__all__ = list(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    value = getattr(importlib.import_module(f'{__name__}.{_HOMES[name]}'), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
