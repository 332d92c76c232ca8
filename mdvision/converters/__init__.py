"""Convert checkpoints of the authors and of torchvision: declared key maps and pure functions.

One file per family; :mod:`mdvision.commands.convert_weights` reads and writes the files.
"""

from collections.abc import Mapping

from torch import Tensor

from mdvision.errors import UserError, did_you_mean
from mdvision.models.named import find_model, list_models

from . import dems, emanet, lma, mdnet, nano_diff_vit, torchvision
from .key_map import KeyMap

__all__ = ['SOURCES', 'KeyMap', 'convert_state_dict', 'find_key_map', 'list_converters']

KEY_MAPS = {
    **dems.KEY_MAPS,
    **emanet.KEY_MAPS,
    **lma.KEY_MAPS,
    **mdnet.KEY_MAPS,
    **nano_diff_vit.KEY_MAPS,
    **torchvision.KEY_MAPS,
}
SOURCES = ('authors', 'torchvision')
# Convertible, but not classifiers.
_DETECTORS = {'emanet50_c4_detector': 'emanet_c4_detector'}


def list_converters() -> list[str]:
    """Return the names that :func:`convert_state_dict` knows: every named model, and the detectors."""
    return sorted([*list_models(), *_DETECTORS])


def find_key_map(name: str, source: str = 'authors') -> KeyMap:
    """Return the key map of a name.

    Raises:
        UserError: an unknown name or source, or a model for which the source has no weights.
    """
    if source not in SOURCES:
        raise UserError(f'the source of weights must be one of {", ".join(SOURCES)}, got {source!r}.')
    if name not in list_converters():
        raise UserError(
            f'there is no converter named {name!r}.{did_you_mean(name, list_converters())} '
            'mdvision.converters.list_converters() lists all.'
        )
    if name in _DETECTORS:
        key_map = _DETECTORS[name] if source == 'authors' else None
    else:
        named = find_model(name)
        key_map = named.key_map if source == 'authors' else named.torchvision_key_map
    if key_map is None:
        raise UserError(f'{source} has no weights for {name}; it has those of ResNet and MobileNetV2.')
    return KEY_MAPS[key_map]


def convert_state_dict(
    name: str, state_dict: Mapping[str, Tensor], source: str = 'authors'
) -> dict[str, Tensor]:
    """Rename a state dict in the authors' format to that of mdvision's model ``name``.

    Args:
        name: one of :func:`list_converters`.
        state_dict: the parameters and buffers, with or without ``module.``.
        source: ``'authors'``, or ``'torchvision'`` for its weights of the plain network.

    Returns:
        A new dict, for ``mdvision.create_model(name)`` and for MMPretrain's ``ImageClassifier``; load it with
        ``strict=True`` to check the other side as well.

    Raises:
        UserError: an unknown name, or keys that belong to no part of the model; the message lists them.
    """
    return find_key_map(name, source).convert(state_dict)
