"""Where an error of a host belongs: the key of the config that was being built, the module that was running."""

import re
import traceback
from types import FrameType

from mmengine.runner import Runner
from torch import Tensor, nn

from mdvision.errors import did_you_mean

from .config_keys import accepted_keys

__all__ = ['describe', 'place_in_config', 'place_in_model']


def describe(error: Exception) -> str:
    """What went wrong, in which key of the config or module of the model, in which line, and what to do."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    text = f'{type(error).__name__}: {error}' if str(error) else f'{type(error).__name__} in `{last.line}`'
    parts = [text, f'  at {last.filename}:{last.lineno} in {last.name}']
    frames = _frames(error)
    if (place := place_in_model(frames)) is not None:
        parts.insert(0, place)
    elif (built := _built(frames)) is not None:
        parts.insert(0, _while_building(*built, frames))
        parts += [hint for hint in (_argument_hint(error, *built, frames), _plugin_hint(error, frames)) if hint]
    return '\n'.join(parts)


def place_in_config(node: dict, frames: list[FrameType]) -> str:
    """The path of keys at which a dict stands in the config of the runner, or ``''``."""
    runner = _runner(frames)
    found = _path_of(node, getattr(runner, 'cfg', {})) if runner is not None else None
    return found or ''


def place_in_model(frames: list[FrameType]) -> str | None:
    """Which module was running, what it has and what it got; None where none was."""
    layers = [frame for frame in frames if isinstance(frame.f_locals.get('self'), nn.Module)]
    runs = [frame for frame in layers if frame.f_code.co_name == 'forward']
    if not runs:
        return None
    # Not a wrapper or container, but the innermost one; torch calls its forward.
    module, given = runs[-1].f_locals['self'], list(runs[-1].f_locals.values())
    runner = _runner(frames)
    model = getattr(runner, 'model', None) or layers[0].f_locals['self']
    names = {id(one): name for name, one in model.named_modules()}
    name = '.'.join(filter(None, ('model', names.get(id(module), type(module).__name__))))
    shapes = [tuple(value.shape) for value in given if isinstance(value, Tensor)]
    text = f'{name} ({type(module).__name__}) failed'
    wanted = getattr(module, 'in_channels', None) or getattr(module, 'in_features', None)
    channels = None
    if shapes and isinstance(wanted, int):
        what = 'in_channels' if hasattr(module, 'in_channels') else 'in_features'
        channels = shapes[0][1 if what == 'in_channels' and len(shapes[0]) > 1 else -1]
        if channels != wanted:
            text += f': its {what} is {wanted}, it got {channels}'
            text += f'. Set the {what} of {_part(name)} to what the part before it gives ({channels})'
    if shapes and channels == wanted or not shapes or channels is None:
        text += f', given {", ".join(map(str, shapes[:3]))}' if shapes else ''
    return text + '.'


def _part(name: str) -> str:
    """The part of the config that a module belongs to: ``model.neck.convs.0`` to ``model.neck``."""
    return '.'.join(name.split('.')[:2])


def _frames(error: Exception) -> list[FrameType]:
    return [frame for frame, _ in traceback.walk_tb(error.__traceback__)]


def _runner(frames: list[FrameType]) -> Runner | None:
    runners = (frame.f_locals.get('self') for frame in frames)
    return next((runner for runner in runners if isinstance(runner, Runner)), None)


def _built(frames: list[FrameType]) -> tuple[dict, object] | None:
    """The dict that mmengine was building an object from, and the class."""
    building = [f.f_locals for f in frames if f.f_code.co_name == 'build_from_cfg']
    for names in reversed(building):
        if isinstance(names.get('cfg'), dict):
            return names['cfg'], names.get('obj_cls')
    return None


def _while_building(node: dict, cls: object, frames: list[FrameType]) -> str:
    where = place_in_config(node, frames)
    kind = node.get('type', 'no type')
    return f'{where or "a part of the config"} ({getattr(kind, "__name__", kind)}) cannot be built.'


def _path_of(node: object, tree: object, path: str = '') -> str | None:
    children = tree.items() if hasattr(tree, 'items') else enumerate(tree)
    for key, child in children:
        here = f'{path}.{key}' if path else str(key)
        if isinstance(child, dict) and (child is node or child == node):
            return here
        if isinstance(child, dict | list | tuple) and (found := _path_of(node, child, here)):
            return found
    return None


def _argument_hint(error: Exception, node: dict, cls: object, frames: list[FrameType]) -> str:
    """What to do about an argument that a class does not have."""
    found = re.search(r"unexpected keyword argument '(\w+)'", str(error))
    if not isinstance(error, TypeError) or not found or cls is None:
        return ''
    known = accepted_keys(dict(type=cls), ['part'], 'mmengine') - set(node)
    where = place_in_config(node, frames) or 'it'
    near = did_you_mean(found[1], known)
    return (
        f'{getattr(cls, "__name__", cls)} has no argument {found[1]!r}.{near} If it comes from a _base_, whose '
        f'{where} has another type, begin the dict of {where} with _delete_=True.'
    )


def _plugin_hint(error: Exception, frames: list[FrameType]) -> str:
    """mmdet's BasicBlock takes no plugins and does not say so."""
    block = any(frame.f_locals.get('plugins') is not None for frame in frames)
    if not block or 'Not implemented yet' not in str(error):
        return ''
    return (
        "This backbone takes plugins only in bottleneck blocks (ResNet-50 and deeper). mdvision's ResNet has "
        "attention in both: backbone=dict(_delete_=True, type='mdvision.AttentionResNet', depth=18, "
        "attention='CBAM', ...), see docs/add_an_attention.md."
    )
