"""Our models as ``timm.create_model('mdvision/emanet50_cifar')``, where timm is installed.

Importing mdvision costs nothing for it: the names are added when timm is imported, whichever of
the two is imported first.
"""

import importlib.abc
import importlib.util
import sys
from types import ModuleType

from torch import nn

from .errors import UserError
from .models.named import create_model, list_models

__all__ = ['register_with_timm']

_PREFIX = 'mdvision/'
_FACTORY = 'timm.models._factory'


def register_with_timm() -> None:
    """Add our names to timm now, or as soon as it is imported."""
    if _FACTORY in sys.modules:
        _add_names(sys.modules[_FACTORY])
    else:
        sys.meta_path.insert(0, _AddNamesOnImport())


class _AddNamesOnImport(importlib.abc.MetaPathFinder):
    """Finds timm's factory as Python would, and adds our names after it has been executed."""

    def find_spec(self, fullname: str, path=None, target=None):
        if fullname != _FACTORY:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_add(module: ModuleType) -> None:
                execute(module)
                _add_names(module)

            spec.loader.exec_module = execute_and_add
        return spec


def _add_names(factory: ModuleType) -> None:
    """Let timm's factory find ``mdvision/...`` among its entry points."""
    from timm.models import _registry

    parse = factory.parse_model_name

    # timm takes a name with a slash for a folder or a hub repository.
    def parse_model_name(model_name: str):
        return (None, model_name) if model_name.startswith(_PREFIX) else parse(model_name)

    factory.parse_model_name = parse_model_name
    for name in list_models():
        _registry._model_entrypoints[_PREFIX + name] = _entry_point(name)


def _entry_point(name: str):
    def entry_point(
        pretrained: bool = False,
        in_chans: int | None = None,
        num_classes: int | None = None,
        pretrained_cfg=None,
        pretrained_cfg_overlay=None,
        cache_dir=None,
        **overrides,
    ) -> nn.Module:
        if pretrained:
            raise UserError(
                f'{_PREFIX}{name}: mdvision distributes no weights. Convert those of the authors with '
                'tools/convert_weights.py and load them with load_state_dict.'
            )
        if in_chans is not None:
            overrides['in_channels'] = in_chans
        return create_model(name, num_classes, **overrides)

    return entry_point
