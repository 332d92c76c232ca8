"""Models by name: what a name stands for, in one table.

A name is a backbone with its arguments, the classifier around it, the image and the number of
classes that it was published for, and the key map of its authors' checkpoints.
"""

import fnmatch
import inspect
import re
from collections.abc import Mapping

from torch import nn

from mdvision.errors import UserError, did_you_mean
from mdvision.meta_device import meta_device
from mdvision.registry import MODELS

from .classifier import Classifier
from .named_table import NAMED, NamedModel

__all__ = [
    'backbone_config',
    'classifier_config',
    'create_backbone',
    'create_model',
    'find_model',
    'list_models',
]


def list_models(filter: str = '*') -> list[str]:
    """Return the sorted names of all models that match a shell pattern.

    Args:
        filter: for example ``'*_cifar'`` or ``'lma_*'``; a text without ``*`` matches anywhere.
    """
    pattern = filter if any(c in filter for c in '*?[') else f'*{filter}*'
    return sorted(fnmatch.filter(NAMED, pattern))


def find_model(name: str) -> NamedModel:
    """Return the table row of a name.

    Raises:
        UserError: the name is unknown; the message has the closest ones.
    """
    if name not in NAMED:
        raise UserError(
            f'no model is called {name!r}.{did_you_mean(name, NAMED)} mdvision.list_models() names all '
            f'{len(NAMED)}.'
        )
    return NAMED[name]


def backbone_config(name: str, **overrides) -> dict:
    """Return the same feature extractor as ``backbone = dict(...)`` for a config of either upstream library.

    Raises:
        UserError: for an unknown name or argument.
    """
    named = find_model(name)
    config = named.backbone
    known = _arguments(MODELS.get(config['type']))
    for key in overrides:
        if key in named.fixed:
            raise UserError(
                f'{name}: {key} is part of the name, since other arguments depend on it. Use another name, '
                f'such as {", ".join(list_models(re.sub(r"[0-9]*(_cifar)?$", "*", name))[:4])}.'
            )
        if key not in known:
            raise UserError(
                f'{name}: its backbone {config["type"]} has no argument {key!r}.'
                f'{did_you_mean(key, known)} It has {", ".join(sorted(known))}.'
            )
    return {**config, **overrides, 'type': f'mdvision.{config["type"]}'}


def create_backbone(name: str, **overrides) -> nn.Module:
    """Create the feature extractor of a named model.

    Args:
        name: one of :func:`list_models`.
        **overrides: arguments of the backbone's class, such as ``out_indices=(0, 1, 2, 3)``; weights
            that an ``init_cfg`` names are loaded.

    Returns:
        A module with ``out_channels`` and ``out_strides``; its output is a tuple of feature maps, or of
        class tokens for the vision transformers.

    Raises:
        UserError: for an unknown name or argument.
    """
    backbone = MODELS.build(backbone_config(name, **overrides))
    if overrides.get('init_cfg'):
        backbone.init_weights()
    return backbone


def create_model(
    name: str, num_classes: int | None = None, neck: dict | None = None, **overrides
) -> Classifier:
    """Create a named classifier with fresh weights; ``model(images)`` returns logits.

    Args:
        name: one of :func:`list_models`.
        num_classes: number of logits; by default that of the publication.
        neck: arguments of the neck: of ``MLPLogits`` for DiffViT, such as
            ``dict(activation_out=False)``, of ``GlobalPool`` for backbones with feature maps.
        **overrides: arguments of the backbone's class, such as ``width_mult=0.5``.

    Raises:
        UserError: for an unknown name or argument.
    """
    backbone = create_backbone(name, **overrides)
    return Classifier(backbone, *_neck_and_head(name, backbone, num_classes, neck, overrides))


def classifier_config(
    name: str, num_classes: int | None = None, neck: dict | None = None, **overrides
) -> dict:
    """Return the same classifier as ``model = dict(...)`` for an MMPretrain config.

    The parameters have the same names as those of :func:`create_model`.
    """
    with meta_device():
        backbone = create_backbone(name, **overrides)
    neck, head = _neck_and_head(name, backbone, num_classes, neck, overrides)
    head = dict(type='mmpretrain.ClsHead') if head is None else dict(type='mmpretrain.LinearClsHead', **head)
    head['loss'] = dict(type='mmpretrain.CrossEntropyLoss')
    return dict(
        type='mmpretrain.ImageClassifier', backbone=backbone_config(name, **overrides), neck=neck, head=head
    )


def _neck_and_head(
    name: str, backbone: nn.Module, num_classes: int | None, neck: dict | None, overrides: Mapping
) -> tuple[dict | None, dict | None]:
    """Return the arguments of :class:`Classifier` other than the backbone."""
    named = find_model(name)
    if num_classes is None:
        num_classes = named.num_classes
    if not isinstance(num_classes, int) or num_classes < 1:
        raise UserError(
            f'{name}: num_classes must be a positive number, got {num_classes!r}. For features without a '
            'classifier use mdvision.create_backbone.'
        )
    if backbone.out_strides and not named.pooled:
        raise UserError(
            f'{name}: its classifier takes the class token, but with these arguments the backbone returns '
            'feature maps. Use mdvision.create_backbone for these.'
        )
    in_channels = backbone.out_channels[-1]
    if named.mlp:
        hidden_channels = {**named.backbone, **overrides}['hidden_dim']
        layers = dict(in_channels=in_channels, hidden_channels=hidden_channels, num_classes=num_classes)
        return _override_neck(name, dict(type='mdvision.MLPLogits', **layers), neck), None
    head = dict(in_channels=in_channels, num_classes=num_classes, init_cfg=named.head_init)
    pool = dict(type='mdvision.GlobalPool', drop_rate=named.drop_rate) if named.pooled else None
    return _override_neck(name, pool, neck), head


def _override_neck(name: str, neck: dict | None, arguments: dict | None) -> dict | None:
    if not arguments:
        return neck
    if neck is None:
        raise UserError(f'{name} has no neck between backbone and linear layer, got neck={arguments}.')
    known = _arguments(MODELS.get(neck['type']))
    for key in arguments:
        if key not in known:
            raise UserError(
                f'{name}: its neck {neck["type"]} has no argument {key!r}.{did_you_mean(key, known)} It has '
                f'{", ".join(sorted(known))}.'
            )
    return {**neck, **arguments}


def _arguments(cls: type) -> set[str]:
    """Return the arguments of a class, including those that ``**kwargs`` passes to its bases."""
    names = set()
    for base in cls.__mro__:
        if '__init__' not in vars(base):
            continue
        parameters = inspect.signature(base.__init__).parameters.values()
        names |= {p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.name != 'self'}
        if all(p.kind is not p.VAR_KEYWORD for p in parameters):
            break
    return names
