"""The data sets of a config or of a run: which there are, within their wrappers, and of which class."""

from collections.abc import Iterator
from dataclasses import dataclass

from mmengine.config import Config
from mmengine.registry import DATASETS

__all__ = ['SPLITS', 'DatasetConfig', 'built_parts', 'config_parts']

SPLITS = ('train', 'val', 'test')


@dataclass(frozen=True)
class DatasetConfig:
    """One data set of a config: its split, its dict, and its class; None if none is registered."""

    split: str
    settings: dict
    kind: type | None

    @property
    def classes(self) -> list[str] | None:
        """The names that the config or the class gives; None where the data give them."""
        given = self.settings.get('classes') or (self.settings.get('metainfo') or {}).get('classes')
        given = given or (getattr(self.kind, 'METAINFO', None) or {}).get('classes')
        if isinstance(given, str):  # a file of names, or one name
            try:
                with open(given, encoding='utf-8-sig') as file:
                    return file.read().splitlines()
            except OSError:
                return [given]
        return list(given) if given else None


def config_parts(cfg: Config, splits: tuple[str, ...] = SPLITS) -> Iterator[DatasetConfig]:
    """The data sets of a config's loaders, those in wrappers such as ConcatDataset one by one."""
    with DATASETS.switch_scope_and_registry(cfg.get('default_scope')) as registry:
        for split in splits:
            for settings in _inner((cfg.get(f'{split}_dataloader') or {}).get('dataset')):
                kind = settings.get('type')
                if isinstance(kind, str):
                    kind = registry.get(kind)
                yield DatasetConfig(split, settings, kind)


def _inner(dataset: object) -> Iterator[dict]:
    if not isinstance(dataset, dict):
        return
    inner = [*(dataset.get('datasets') or []), dataset.get('dataset')]
    if any(inner):
        for one in inner:
            yield from _inner(one)
    else:
        yield dataset


def built_parts(dataset: object) -> list:
    """The data sets in wrappers such as RepeatDataset and ConcatDataset."""
    inner = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    return [part for one in inner if one is not None for part in built_parts(one)] or [dataset]
