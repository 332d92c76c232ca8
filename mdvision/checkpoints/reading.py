"""Read checkpoints: never run code from the file, never load less than was requested."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from mmengine.runner.checkpoint import CheckpointLoader
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

from mdvision.errors import UserError
from mdvision.text import shortlist

from .integrity import check_whole
from .unpickling import unpickle

__all__ = [
    'check_finite',
    'load_backbone',
    'load_weights',
    'match_weights',
    'read_checkpoint',
    'read_file',
    'share_of_parameters',
    'tensors_of',
]


def read_file(path: str, map_location='cpu') -> object:
    """Read a local checkpoint file without running code from it.

    A ``.safetensors`` file becomes a dict with ``state_dict``.

    Raises:
        UserError: the file is missing, damaged, or contains more than tensors and plain values.
    """
    file = Path(path)
    if not file.is_file():
        if file.is_dir():
            raise UserError(f'Checkpoint {path} is a folder.{_neighbors(file)}')
        raise UserError(f'Checkpoint {path} does not exist.{_neighbors(file.parent)}')
    if file.suffix == '.safetensors':
        return dict(state_dict=tensors_of(file.read_bytes(), path, map_location), meta={})
    try:
        check_whole(file)
        return unpickle(file, map_location)
    except UserError as error:
        raise UserError(
            f'Checkpoint {path} ({file.stat().st_size:,} bytes) cannot be read: {error}. Use another '
            'checkpoint of the run, or copy it again.'
        ) from error


def tensors_of(data: bytes, path: str, map_location='cpu') -> dict[str, Tensor]:
    """Return the tensors of a safetensors file; those stored in half precision in single precision.

    Args:
        data: the bytes of the file.
        path: for the message.
        map_location: the device.

    Raises:
        UserError: these are not the bytes of such a file.
    """
    try:
        tensors = load_safetensors(data)
    except SafetensorError as error:
        raise UserError(
            f'{path} ({len(data):,} bytes) is damaged or no safetensors file: {error}.'
        ) from error
    device = map_location if isinstance(map_location, str | torch.device) else 'cpu'
    halves = (torch.float16, torch.bfloat16)
    return {
        key: value.to(device, torch.float32 if value.dtype in halves else value.dtype)
        for key, value in tensors.items()
    }


def _neighbors(folder: Path) -> str:
    known = sorted(p.name for p in folder.glob('*.pth'))
    return f' {folder} holds: {", ".join(known)}.' if known else ''


def read_checkpoint(path: str, map_location='cpu') -> dict:
    """Read a checkpoint from a file or an address: a dict with ``state_dict``, or a bare state dict.

    Raises:
        UserError: the file is missing, damaged, or contains something else.
    """
    if '://' in path:
        checkpoint = CheckpointLoader.load_checkpoint(path, map_location, logger='silent')
    else:
        checkpoint = read_file(path, map_location)
    state_dict = checkpoint.get('state_dict', checkpoint) if isinstance(checkpoint, dict) else None
    if not _is_state_dict(state_dict):
        raise UserError(
            f'Checkpoint {path} contains no state dict (expected a dict of tensors, or a dict with the key '
            f'"state_dict"), got {type(checkpoint).__name__}.'
        )
    check_finite(state_dict, path)
    return checkpoint if 'state_dict' in checkpoint else {'state_dict': checkpoint, 'meta': {}}


def _is_state_dict(content: object) -> bool:
    return (
        isinstance(content, Mapping)
        and len(content) > 0
        and all(isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items())
    )


def check_finite(state_dict: Mapping[str, Tensor], path: str) -> None:
    """Reject weights that contain NaN or infinity."""
    broken = [k for k, v in state_dict.items() if v.is_floating_point() and not v.isfinite().all()]
    if broken:
        raise UserError(
            f'Checkpoint {path}: {len(broken)} tensors contain NaN or infinity, for example {broken[0]}. The '
            'run had diverged; use an earlier one.'
        )


def load_weights(model: nn.Module, checkpoint: dict, path: str, min_match: float = 1.0) -> str:
    """Load ``checkpoint['state_dict']`` into the model and report how much of it matched.

    Args:
        model: the unwrapped model.
        checkpoint: the result of :func:`read_checkpoint`.
        path: for the messages.
        min_match: see :func:`match_weights`.

    Returns:
        one line, such as ``315 of 315 tensors matched (100.0 % of the parameters)``.

    Raises:
        UserError: less matched; the message names missing, unexpected and differently shaped tensors.
    """
    given = {key.removeprefix('module.'): value for key, value in checkpoint['state_dict'].items()}
    advice = (
        'Use the config that the checkpoint was trained with (it is in its work directory), or allow a '
        'partial '
        'match with --allow-partial.'
    )
    matched, line = match_weights(model.state_dict(), given, path, min_match, advice)
    model.load_state_dict(matched, strict=False)
    return line


def load_backbone(model: nn.Module, path: str, min_match: float = 0.9) -> str:
    """Initialize the backbone of a model from another model's, for example a detector's from a classifier's.

    In a C4 detector, the last stage of the backbone is the shared head of the RoI head; it counts too.

    Args:
        model: the unwrapped model, with a ``backbone``.
        path: a checkpoint of a model with a ``backbone``.
        min_match: the fraction of the backbone's parameters that the file must have with the same shape.

    Returns:
        one line, like that of :func:`load_weights`.

    Raises:
        UserError: the file has no backbone, or less of it matches.
    """
    state_dict = read_checkpoint(path)['state_dict']
    given = _backbone_of({key.removeprefix('module.'): value for key, value in state_dict.items()})
    if not given:
        raise UserError(
            f'{path} contains no backbone: none of its {len(state_dict)} tensors has a name that begins '
            f'with "backbone." (the first: {next(iter(state_dict))}). Expected a checkpoint of an mdvision '
            'run, or a file written by tools/convert_weights.py.'
        )
    advice = (
        'Use a checkpoint with the same model.backbone as this config, or allow a partial match with '
        '--allow-partial.'
    )
    own = model.state_dict()
    matched, line = match_weights(_backbone_of(own), given, path, min_match, advice)
    places = {key: _in_backbone(key) for key in own}
    taken = {key: matched[name] for key, name in places.items() if name in matched}
    model.load_state_dict(taken, strict=False)
    return line


def _in_backbone(key: str) -> str | None:
    """Return the name of a tensor within the backbone, also for a C4 detector's shared head."""
    name = key.removeprefix('roi_head.shared_head.')
    name = name if name == key else f'backbone.{name}'
    return name if name.startswith('backbone.') else None


def _backbone_of(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {_in_backbone(key): value for key, value in state_dict.items() if _in_backbone(key)}


def match_weights(
    wanted: Mapping[str, Tensor], given: Mapping[str, Tensor], path: str, min_match: float, advice: str
) -> tuple[dict[str, Tensor], str]:
    """Return which tensors of a file a model can take, and one line that says how much that is.

    The batch counters of batch norms, which none of mdvision's networks uses, may be missing in the file.

    Args:
        wanted: the state dict of the model.
        given: that of the file.
        path: the file, for the messages.
        min_match: the fraction of the model's parameters that must be in the file with the same shape; 1
            requires every tensor and forbids tensors that the model does not have.
        advice: what to do if less matches.

    Raises:
        UserError: less matches; the message names missing, unexpected and differently shaped tensors.
    """
    wanted = {k: v for k, v in wanted.items() if k in given or not k.endswith('.num_batches_tracked')}
    matched = {k: v for k, v in given.items() if k in wanted and wanted[k].shape == v.shape}
    missing = [k for k in wanted if k not in given]
    surplus = [k for k in given if k not in wanted]
    reshaped = [k for k in given if k in wanted and k not in matched]
    share = share_of_parameters(wanted, matched)
    line = f'{len(matched)} of {len(wanted)} tensors matched ({100 * share:.1f} % of the parameters)'
    left_out = [*missing, *reshaped]
    if share < min_match or (min_match == 1.0 and (surplus or left_out)):
        details = []
        for what, names in (('missing in the file', missing), ('not in the model', surplus)):
            if names:
                details.append(f'  {len(names)} {what}: {shortlist(names, 20)}')
        if reshaped:
            model_shape, file_shape = (tuple(tensors[reshaped[0]].shape) for tensors in (wanted, given))
            details.append(
                f'  {len(reshaped)} of another shape: {shortlist(reshaped)} (the first: '
                f'model {model_shape}, file {file_shape})'
            )
        raise UserError(
            f'Checkpoint {path} belongs to another model: {line}.\n' + '\n'.join([*details, advice])
        )
    return matched, line + (
        f'; these keep their initial values: {shortlist(left_out, 3)}' if left_out else ''
    )


def share_of_parameters(state_dict: Mapping[str, Tensor], names: Iterable[str]) -> float:
    """Return the fraction of a model's parameters, from 0 to 1, in the tensors of these names.

    Args:
        state_dict: that of the model; its running statistics, which are not parameters, do not count.
        names: of tensors.
    """
    sizes = {k: v.numel() for k, v in state_dict.items() if not k.endswith(('.running_mean', '.running_var'))}
    return sum(sizes.get(name, 0) for name in names) / max(sum(sizes.values()), 1)
