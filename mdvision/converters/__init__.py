"""The authors' checkpoints -> ours: a declared key map and a pure function, one file a family."""

from collections.abc import Mapping

from torch import Tensor

from mdvision.errors import UserError, did_you_mean

from . import emanet
from .key_map import KeyMap

__all__ = ['KeyMap', 'convert_state_dict', 'list_converters']

_KEY_MAPS = {**emanet.KEY_MAPS}


def list_converters() -> list[str]:
    """The names that :func:`convert_state_dict` knows."""
    return sorted(_KEY_MAPS)


def convert_state_dict(name: str, state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a state dict in the authors' format to that of our model ``name``.

    Args:
        name: one of :func:`list_converters`.
        state_dict: the authors' parameters and buffers, with or without ``module.``.

    Returns:
        A new dict; load it with ``strict=True`` to have the other side checked as well.

    Raises:
        UserError: for an unknown name, or listing the keys that belong to no part of the model.
    """
    if name not in _KEY_MAPS:
        raise UserError(
            f'no converter is called {name!r}; there are {", ".join(list_converters())}.'
            + did_you_mean(name, _KEY_MAPS)
        )
    return _KEY_MAPS[name].convert(state_dict)
