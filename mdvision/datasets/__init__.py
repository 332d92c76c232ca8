"""Data sets: a strict VOC reader and generated demo data. Importing this package imports no host library."""

import importlib

__all__ = ['VOCDataset', 'ensure_mini_voc', 'make_mini_voc']

_HOMES = {'VOCDataset': 'voc', 'ensure_mini_voc': 'mini_voc', 'make_mini_voc': 'mini_voc'}


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    value = getattr(importlib.import_module(f'{__name__}.{_HOMES[name]}'), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
