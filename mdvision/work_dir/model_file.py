"""The file of a trained model: weights in safetensors, and beside them, in JSON, all it takes to use them.

``model.safetensors`` holds tensors only. ``model.json`` holds plain values: the config of the model and of
the preparation of images, class names, metrics with the fingerprint of their data, where it comes from, and
the SHA-256 of the weights. Neither contains code, and the config cannot name more than registered classes.
"""

import ast
import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import mmcv.ops
from mmengine.registry import Registry, root
from safetensors.torch import save as save_tensors
from torch import Tensor

from mdvision.checkpoints.reading import check_finite, read_checkpoint, tensors_of
from mdvision.config.overrides import literal
from mdvision.config.tree import config_datasets, dicts, find_datasets, type_name
from mdvision.console import import_upstream
from mdvision.errors import UserError

from .files import MODEL, MODEL_WEIGHTS

__all__ = ['FORMAT', 'describe', 'find_model', 'read_model', 'write_model']

FORMAT = 'mdvision model 1'
TASKS = dict(mmpretrain='classification', mmdet='detection')
_SCOPES = ('mdvision', 'mmdet', 'mmpretrain', 'mmengine', 'mmcv', 'torchvision')
_NEEDED = ('format', 'name', 'task', 'classes', 'config', 'weights')
_TUPLE = '__tuple__'
# Transforms that need annotations, which an image to predict on does not have.
_OF_ANNOTATIONS = ('LoadAnnotations', 'LoadPanopticAnnotations', 'FilterAnnotations')


def describe(cfg: Mapping, classes: tuple[str, ...], name: str) -> dict:
    """Return what ``model.json`` says of a model, without its weights and metrics.

    Args:
        cfg: the config of its run, filled (see :mod:`mdvision.config.fill`).
        classes: the class names, in the order of the labels.
        name: of the model.

    Raises:
        UserError: the config is of neither a classifier nor a detector, or has no test pipeline.
    """
    scope = cfg.get('default_scope')
    if scope not in TASKS:
        raise UserError(
            f"{name}: expected default_scope='mmpretrain' (a classifier) or 'mmdet' (a detector), got "
            f'{scope!r}.'
        )
    dataset = next(find_datasets(cfg, ('test',)), None) or next(find_datasets(cfg, ('val',)), None) or {}
    pipeline = [step for step in dataset.get('pipeline') or [] if type_name(step) not in _OF_ANNOTATIONS]
    if not pipeline:
        raise UserError(f'{name}: its config has no test pipeline (test_dataloader.dataset.pipeline).')
    model = dict(cfg['model'])
    if cfg.get('data_preprocessor') is not None:
        model.setdefault('data_preprocessor', cfg['data_preprocessor'])
    config = dict(default_scope=scope, model=model, pipeline=pipeline)
    if cfg.get('custom_imports'):
        config['custom_imports'] = cfg['custom_imports']
    if 'LoadImageFromFile' not in map(type_name, pipeline):
        config['array_side'] = _array_side(cfg, name)
    # Through JSON, so that it is the same whether it was read from a file or not.
    config = _decoded(json.loads(json.dumps(_encoded(config, name))))
    return dict(format=FORMAT, name=name, task=TASKS[scope], classes=list(classes), config=config)


def _encoded(value: object, where: str) -> object:
    """Return a part of a config for JSON, which has no tuples: some transforms take a tuple and no list."""
    if isinstance(value, Mapping):
        return {str(key): _encoded(child, f'{where}.{key}') for key, child in value.items()}
    if isinstance(value, list | tuple):
        children = [_encoded(child, f'{where}.{index}') for index, child in enumerate(value)]
        return {_TUPLE: children} if isinstance(value, tuple) else children
    if isinstance(value, type):
        return f'{value.__module__.partition(".")[0]}.{value.__name__}'
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise UserError(f'{where}: expected a plain value, which a model file can hold, got {value!r}.')


def _decoded(value: object) -> object:
    if isinstance(value, list):
        return [_decoded(child) for child in value]
    if not isinstance(value, dict):
        return value
    if list(value) == [_TUPLE]:
        return tuple(_decoded(child) for child in value[_TUPLE])
    return {key: _decoded(child) for key, child in value.items()}


def _array_side(cfg: Mapping, name: str) -> int:
    """Return the height and width of the images of a data set that keeps them in memory."""
    import_upstream(cfg['default_scope'])
    dataset = next(config_datasets(cfg, ('test', 'val')))
    side = getattr(dataset.kind, 'side', None)
    if side is None:
        raise UserError(
            f'{name}: its test pipeline does not begin with LoadImageFromFile, and the size of the images of '
            f'{dataset.settings.get("type")} is unknown: prediction does not know how to prepare a picture.'
        )
    return side


def write_model(
    folder: Path, description: dict, state_dict: Mapping[str, Tensor], stem: str = 'model', **more: object
) -> list[Path]:
    """Write ``model.safetensors`` and ``model.json``.

    Args:
        folder: existing; earlier files of these names are replaced.
        description: the result of :func:`describe`.
        state_dict: the weights.
        stem: the name of the files before the suffix.
        more: further plain values of ``model.json``, such as ``metrics``.

    Returns:
        the two files.
    """
    tensors = {key.removeprefix('module.'): value.contiguous().cpu() for key, value in state_dict.items()}
    data = save_tensors(tensors, metadata=dict(format='pt', name=description['name']))
    files = folder / f'{stem}.safetensors', folder / f'{stem}.json'
    weights = dict(
        file=files[0].name,
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        dtypes=sorted({str(value.dtype).removeprefix('torch.') for value in tensors.values()}),
    )
    content = {**description, 'config': _encoded(description['config'], 'config'), 'weights': weights, **more}
    text = json.dumps(content, indent=1, ensure_ascii=False)
    # The weights first: a description without its weights would be half a model.
    files[0].write_bytes(data)
    files[1].write_text(text + '\n', encoding='utf-8')
    return list(files)


def read_model(path: Path) -> tuple[dict, dict[str, Tensor]]:
    """Read a model file, or a checkpoint of a run of mdvision.

    Args:
        path: ``model.json``, ``model.safetensors``, the folder of both, or a ``.pth`` of a run.

    Returns:
        what ``model.json`` says, and the weights on the CPU.

    Raises:
        UserError: a file is missing, damaged, of another program, or does not belong to the other.
    """
    path = find_model(path)
    if not path.is_file():
        raise UserError(f'There is no model file {path}.')
    if path.suffix in ('.json', '.safetensors'):
        description, weights = _read_pair(path.with_suffix('.json'), path)
    elif path.suffix == '.pth':
        description, weights = _read_checkpoint(path)
    else:
        raise UserError(
            f'{path}: expected a model file (.json or .safetensors) or a checkpoint (.pth), got '
            f'{path.suffix!r}.'
        )
    _refuse_unknown_types(description['config'], path)
    return description, weights


def find_model(path: Path) -> Path:
    """Return the model file in a folder; another path as it is.

    Raises:
        UserError: the folder has none.
    """
    if not path.is_dir():
        return path
    for file in (path / MODEL, path / MODEL_WEIGHTS):
        if file.is_file():
            return file
    raise UserError(f'The folder {path} has no model.json. Expected a model file or a checkpoint (.pth).')


def _read_pair(path: Path, asked_for: Path) -> tuple[dict, dict[str, Tensor]]:
    if not path.is_file():
        raise UserError(
            f'{asked_for} has no {path.name} beside it, which says what model these weights are of. Both are '
            'needed.'
        )
    try:
        description = json.loads(path.read_text(encoding='utf-8'))
    except (ValueError, OSError) as error:
        raise UserError(f'{path} is damaged or no JSON: {error}.') from error
    if not isinstance(description, dict) or description.get('format') != FORMAT:
        said = description.get('format') if isinstance(description, dict) else type(description).__name__
        raise UserError(f'{path} is no model file of mdvision: expected format {FORMAT!r}, got {said!r}.')
    missing = [key for key in _NEEDED if key not in description]
    if missing:
        raise UserError(f'{path} is incomplete: it has no {", ".join(missing)}.')
    description['config'] = _decoded(description['config'])
    return description, _read_weights(path.parent / Path(description['weights']['file']).name, description)


def _read_weights(file: Path, description: dict) -> dict[str, Tensor]:
    stated = description['weights']
    if not file.is_file():
        raise UserError(
            f'{file} is missing: the weights ({stated["bytes"]:,} bytes) that model.json is about.'
        )
    data = file.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != stated['sha256']:
        size = (
            f'{len(data):,} bytes instead of {stated["bytes"]:,}'
            if len(data) != stated['bytes']
            else 'equal size'
        )
        raise UserError(
            f'{file} is damaged, or belongs to another model.json: {size}, SHA-256 {digest[:12]}... instead '
            f'of {stated["sha256"][:12]}...'
        )
    weights = tensors_of(data, str(file))
    check_finite(weights, str(file))
    return weights


def _read_checkpoint(path: Path) -> tuple[dict, dict[str, Tensor]]:
    checkpoint = read_checkpoint(str(path))
    meta = checkpoint.get('meta')
    meta = meta if isinstance(meta, dict) else {}
    classes = (meta.get('dataset_meta') or {}).get('classes')
    if not isinstance(meta.get('cfg'), str) or not classes:
        lacks = 'config' if not isinstance(meta.get('cfg'), str) else 'class names'
        raise UserError(
            f'{path} holds weights, but no {lacks}: it is no checkpoint of a run of mdvision. Evaluate it '
            'with tools/test.py CONFIG CHECKPOINT; weights of other programs are converted by '
            'tools/convert_weights.py.'
        )
    name = path.resolve().parent.name
    description = describe(parse_config(meta['cfg'], path), tuple(classes), name)
    description['checkpoint'] = dict(file=path.name, epoch=meta.get('epoch'), iter=meta.get('iter'))
    description['preprocessing'] = meta.get('preprocessing')
    weights = {key.removeprefix('module.'): value for key, value in checkpoint['state_dict'].items()}
    return description, weights


def parse_config(text: str, path: Path) -> dict:
    """Return the values of a config as mmengine writes it into checkpoints, without executing it.

    Raises:
        UserError: it contains more than assignments of plain values.
    """
    values = {}
    try:
        for node in ast.parse(text).body:
            (target,) = node.targets
            value = literal(ast.unparse(node.value))
            if isinstance(value, str) and not isinstance(node.value, ast.Constant):
                raise ValueError(f'{target.id} is no plain value')
            values[target.id] = value
    except (SyntaxError, ValueError, AttributeError, RecursionError) as error:
        raise UserError(
            f'{path}: the config in it is not one that mdvision writes, and it is not executed: {error}.'
        ) from error
    return values


def _refuse_unknown_types(config: dict, path: Path) -> None:
    """Refuse a ``type`` that is no registered class: mmengine would import and call whatever it names."""
    if config.get('default_scope') not in TASKS:
        raise UserError(f'{path}: expected default_scope to be one of {", ".join(TASKS)}.')
    import_upstream(config['default_scope'])
    known = _registered_names()
    for part in dicts(config):
        kind = part.get('type')
        if kind is None:
            continue
        scope, _, name = kind.rpartition('.') if isinstance(kind, str) else ('', '', '')
        if not name.replace('/', '').replace('_', '').isalnum() or scope not in ('', *_SCOPES):
            raise UserError(
                f'{path}: type={kind!r} is no registered class. A model file may name classes of '
                f'{", ".join(_SCOPES)} and registered classes of your own, and nothing else.'
            )
        is_ours = scope == 'mdvision' and isinstance(getattr(sys.modules['mdvision'], name, None), type)
        if name not in known and not is_ours:
            modules = (config.get('custom_imports') or {}).get('imports')
            which = f' (the run imported {modules})' if modules else ''
            raise UserError(
                f'{path}: no class {kind} is registered. Import the module that registers it before loading '
                f'the model{which}.'
            )


def _registered_names() -> set[str]:
    """Return the names in all registries, and those of ``mmcv.ops``, where mmdet finds RoIAlign and nms."""
    names = set(mmcv.ops.__all__)
    for registry in vars(root).values():
        if isinstance(registry, Registry):
            for one in (registry, *registry.children.values()):
                names.update(one.module_dict)
    return names
