"""Start a training from a whole trained model, whose classes may be others (``--init-from``)."""

import copy
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from mmengine.config import Config
from torch import Tensor, nn

from mdvision.checkpoints.preprocessing import preprocessing_differences, preprocessing_of
from mdvision.checkpoints.reading import match_weights, share_of_parameters
from mdvision.config.tree import dicts
from mdvision.errors import UserError
from mdvision.findings import Finding, report
from mdvision.registry import build_for_shapes
from mdvision.text import shortlist
from mdvision.work_dir.model_file import read_model

__all__ = ['MIN_MATCH', 'initialize', 'refuse_other_starts']

# The fraction of the parameters independent of the classes below which a file is another architecture.
MIN_MATCH = 0.5


def initialize(
    model: nn.Module, cfg: Config, path: str, classes: Sequence[str] | None, min_match: float = MIN_MATCH
) -> list[str]:
    """Take every tensor of a trained model that has the same name, shape and meaning in a new one.

    Unless the class names and their order are the same on both sides, the layers whose shape depends on
    the number of classes keep their initial values as a whole, even if their shapes are equal. A warning
    names every difference in how the images are prepared.

    Args:
        model: the unwrapped model; changed in place.
        cfg: the config of the run, from which the model was built.
        path: see :func:`~mdvision.work_dir.model_file.read_model`.
        classes: the class names of the training set; None if it has none.
        min_match: the fraction of the parameters independent of the classes that the file must have with
            the same shape.

    Returns:
        what was taken, by part of the model, what is new, and the class names on both sides, as lines.

    Raises:
        UserError: as :func:`~mdvision.work_dir.model_file.read_model`; less of the model matches; or no
            layer depends on the number of classes although the classes are others.
    """
    description, given = read_model(Path(path))
    own, there = model.state_dict(), tuple(description['classes'])
    # The batch counters of batch norms may be missing, as everywhere in mdvision.
    own = {
        key: value for key, value in own.items() if key in given or not key.endswith('.num_batches_tracked')
    }
    same_classes = there == tuple(classes or ())
    of_classes = set() if same_classes else _of_classes(cfg.model, own, classes, path)
    shared = {key: value for key, value in own.items() if key not in of_classes}
    offered = {key: value for key, value in given.items() if key not in of_classes}
    fits = [key for key, value in shared.items() if key in given and given[key].shape == value.shape]
    advice = (
        f'By part: {_by_part(own, fits)}. At least {100 * min_match:.0f} % of the parameters that do not '
        'depend on the classes must match. Use the model config of that run; --backbone-from takes the '
        'backbone alone, --allow-partial whatever matches.'
    )
    taken, _ = match_weights(shared, offered, path, min_match, advice)
    model.load_state_dict(taken, strict=False)
    _warn_of_preprocessing(description.get('preprocessing') or {}, model, cfg, path)
    share = 100 * share_of_parameters(own, taken)
    lines = [
        f'init from {path} ({_about(description)}): {len(taken)} of {len(own)} tensors taken ({share:.1f} % '
        'of the parameters)',
        f'  taken: {_by_part(own, taken)}',
    ]
    for why, keys in (
        ('new, as they depend on the classes', of_classes),
        ('new, as the file has no such tensor', [key for key in shared if key not in taken]),
        ('not used, as the model has no such tensor', [key for key in offered if key not in taken]),
    ):
        if keys:
            layers = dict.fromkeys(key.rpartition('.')[0] or key for key in (*own, *given) if key in keys)
            lines.append(f'  {why}: {shortlist(layers, 6)}')
    return [*lines, f'  {_class_names(there, classes)}']


def refuse_other_starts(cfg: Config) -> None:
    """Refuse a config that starts from two models.

    Raises:
        UserError: beside ``init_from``, there is ``backbone_from`` or ``load_from``.
    """
    for key, flag in (('backbone_from', ' (--backbone-from)'), ('load_from', '')):
        if cfg.get('init_from') and cfg.get(key):
            raise UserError(
                f'init_from={cfg.init_from} (--init-from) and {key}={cfg[key]}{flag}: a training starts from '
                'one model. Omit one of them; init_from includes the backbone.'
            )


def _of_classes(
    model: Mapping, own: Mapping[str, Tensor], classes: Sequence[str] | None, path: str
) -> set[str]:
    """Return the tensors whose shape depends on the number of classes: those of one class more differ."""
    changed = copy.deepcopy(model)
    numbers = [part for part in dicts(changed) if isinstance(part.get('num_classes'), int)]
    for part in numbers:
        # Backbones and segmentation branches may have classes of their own.
        if not classes or part['num_classes'] == len(classes):
            part['num_classes'] += 1
    more = build_for_shapes(changed).state_dict()
    found = {key for key, value in own.items() if key in more and more[key].shape != value.shape}
    if not found:
        number = f'{len(classes)} classes' if classes else 'unnamed classes'
        raise UserError(
            f'init_from={path}: its classes are not those of the training set ({number}), and no layer '
            'depends on a num_classes of the config with that number, so it is unknown which layers must be '
            'new. Set num_classes of the head in the config.'
        )
    return found


def _part_of(key: str) -> str:
    names = key.split('.')
    return '.'.join(names[: 2 if names[0] == 'roi_head' else 1])


def _by_part(own: Mapping[str, Tensor], taken: Collection[str]) -> str:
    """Return, for example, ``backbone 60 of 60, head 0 of 2``."""
    counts = Counter(_part_of(key) for key in taken)
    whole = Counter(_part_of(key) for key in own)
    return ', '.join(f'{part} {counts[part]} of {number}' for part, number in whole.items())


def _about(description: Mapping) -> str:
    """Return the name of a model, with the metric that chose its weights if that is known."""
    metric = (description.get('checkpoint') or {}).get('chosen_by')
    value = (description.get('metrics') or {}).get(metric)
    return description['name'] + (f', {metric} {value:.3f}' if value is not None else '')


def _class_names(there: Sequence[str], here: Sequence[str] | None) -> str:
    if there == tuple(here or ()):
        return f'classes: the same {len(there)} in the same order: {shortlist(there, 8)}'
    both = [name for name in there if name in (here or ())]
    ours = f'{shortlist(here, 8)} ({len(here)})' if here else 'without names'
    return (
        f'classes in the file: {shortlist(there, 8)} ({len(there)}); in this run: {ours}; in both: '
        f'{shortlist(both, 8) or "none"}'
    )


def _warn_of_preprocessing(trained: dict[str, object], model: nn.Module, cfg: Config, path: str) -> None:
    differences = preprocessing_differences(trained, preprocessing_of(model, cfg, 'train'))
    report(
        Finding(
            'warning',
            key,
            f'{path} was trained with {before}, this run has {now}',
            'use the same unless the difference is meant: the weights that are taken expect it',
        )
        for key, before, now in differences
    )
