"""Slots: places in a backbone that a config fills with any registered module."""

import inspect
from collections.abc import Sequence

from torch import nn

from mdvision.errors import UserError, did_you_mean
from mdvision.registry import MODELS

__all__ = ['Slot', 'build_slot', 'slot_per_stage']

# None keeps a slot plain; a name or a dict configures a registered module.
Slot = dict | str | None


def build_slot(cfg: dict | str, channels: int, slot: str, **kwargs) -> nn.Module:
    """Build the module of a slot; by convention, ``channels`` is its first argument.

    Args:
        cfg: the name of a registered module, or a dict with it (or the class) as ``type`` and its
            arguments.
        channels: channels of the feature map that the module receives.
        slot: name of the slot, for the message.
        **kwargs: what the slot itself sets, such as ``stride``.

    Raises:
        UserError: if no such module is registered, or it does not take these arguments.
    """
    cfg = dict(type=cfg) if isinstance(cfg, str) else dict(cfg)
    name = cfg.pop('type', None)
    layer = MODELS.get(name) if isinstance(name, str) else name
    if layer is None:
        raise UserError(
            f'{slot}={{"type": {name!r}}}: no such module is registered.'
            + did_you_mean(str(name).rsplit('.', 1)[-1], MODELS.module_dict)
            + f" mdvision's are {', '.join(_own_attention())}."
            + ' A module of your own needs @MODELS.register_module() (from mdvision.registry) and its '
            "file in the config's custom_imports; see docs/add_an_attention.md."
        )
    known = inspect.signature(layer).parameters
    if all(p.kind is not p.VAR_KEYWORD for p in known.values()):
        for key in (*cfg, *kwargs):
            if key not in known:
                own = ' A module in this slot must take it.' if key in kwargs else ''
                near = did_you_mean(key, known)
                raise UserError(
                    f'{slot}: {layer.__name__} has no argument {key!r}.{own}{near} It has {", ".join(known)}.'
                )
    return layer(channels, **cfg, **kwargs)


def _own_attention() -> list[str]:
    return sorted(
        name
        for name, layer in MODELS.module_dict.items()
        if layer.__module__.startswith('mdvision.models.attention.')
    )


def slot_per_stage(value: Slot | Sequence[Slot], name: str, num_stages: int) -> list[Slot]:
    """Return one entry per stage, from one name or dict (for all stages) or from ``num_stages`` entries.

    Raises:
        UserError: if the number of entries is wrong.
    """
    if value is None or isinstance(value, dict | str):
        return [value] * num_stages
    if len(value) != num_stages:
        raise UserError(
            f'{name} must be one dict for all stages, or {num_stages} entries (None keeps a stage plain), '
            f'got {len(value)} entries.'
        )
    return list(value)
