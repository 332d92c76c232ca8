"""Traverse a config: its dicts, and its data sets within their wrappers."""

from collections.abc import Iterator
from dataclasses import dataclass

from mmengine.config import Config
from mmengine.registry import DATASETS

__all__ = ['SPLITS', 'DatasetConfig', 'config_datasets', 'dicts', 'find_datasets', 'type_name']

SPLITS = ('train', 'val', 'test')


def dicts(node: object) -> Iterator[dict]:
    """Yield every dict in a part of a config, at any depth, the outer ones first."""
    if isinstance(node, dict):
        yield node
        node = node.values()
    elif not isinstance(node, list | tuple):
        return
    for child in list(node):
        yield from dicts(child)


def type_name(part: dict) -> str:
    """Return the class name of a part without its scope: ``'Resize'`` for ``dict(type='mmdet.Resize')``."""
    kind = part.get('type', '')
    name = kind if isinstance(kind, str) else kind.__name__
    return name.replace('/', '.').rpartition('.')[2]


def find_datasets(cfg: Config, splits: tuple[str, ...] = SPLITS) -> Iterator[dict]:
    """Yield the data sets of the data loaders; those in wrappers such as ConcatDataset one by one."""
    for split in splits:
        yield from _unwrapped((cfg.get(f'{split}_dataloader') or {}).get('dataset'))


def _unwrapped(dataset: object) -> Iterator[dict]:
    if not isinstance(dataset, dict):
        return
    inner = [*(dataset.get('datasets') or []), dataset.get('dataset')]
    if any(inner):
        for one in inner:
            yield from _unwrapped(one)
    else:
        yield dataset


@dataclass(frozen=True)
class DatasetConfig:
    """One data set of a config: its split, its dict, and its class (None if none is registered)."""

    split: str
    settings: dict
    kind: type | None

    @property
    def classes(self) -> list[str] | None:
        """The class names from the config or the class; None if they come from the data."""
        given = self.settings.get('classes') or (self.settings.get('metainfo') or {}).get('classes')
        given = given or (getattr(self.kind, 'METAINFO', None) or {}).get('classes')
        if isinstance(given, str):  # a file of names, or one name
            try:
                with open(given, encoding='utf-8-sig') as file:
                    return file.read().splitlines()
            except OSError:
                return [given]
        return list(given) if given else None


def config_datasets(cfg: Config, splits: tuple[str, ...] = SPLITS) -> Iterator[DatasetConfig]:
    """Return the data sets of a config's loaders with their classes; needs the upstream library imported."""
    with DATASETS.switch_scope_and_registry(cfg.get('default_scope')) as registry:
        for split in splits:
            for settings in find_datasets(cfg, (split,)):
                kind = settings.get('type')
                if isinstance(kind, str):
                    kind = registry.get(kind)
                yield DatasetConfig(split, settings, kind)
