"""Our models in timm: ``import mdvision.timm``, then ``timm.create_model('mdvision_emanet50_cifar')``."""

from timm.models import register_model
from torch import nn

from .errors import UserError
from .models.named import create_model, list_models

__all__ = []  # timm adds the name of each model

_PREFIX = 'mdvision_'


def _register(name: str) -> None:
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

    # `from mdvision.timm import *` takes what timm adds to __all__
    globals()[_PREFIX + name] = entry_point
    entry_point.__name__ = entry_point.__qualname__ = _PREFIX + name
    register_model(entry_point)


for _name in list_models():
    _register(_name)
