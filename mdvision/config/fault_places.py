"""Locate errors of an upstream library: the config key being built, the module that was running."""

import re
import traceback
from types import FrameType

from mmengine import registry as registries
from mmengine.config import Config
from mmengine.runner import Runner
from torch import Tensor, nn

from mdvision.errors import did_you_mean

from .keys import accepted_keys, unregistered_hint

__all__ = ['explain', 'place_in_model']


def explain(error: Exception) -> str:
    """Explain an error: the config key or module of the model, the source line, and what to do."""
    found = re.search(r'(\S+) is not in the (\w+)::(.+?) registry', str(error))
    if isinstance(error, KeyError) and found:
        name = found[1].strip('\'"')
        registry = next(r for r in vars(registries).values() if getattr(r, 'name', None) == found[3])
        hint = unregistered_hint(name, registry)
        return f'type={name!r}: no such class is registered ({found[2]}::{found[3]}).{hint}'
    return _describe(error)


def _describe(error: Exception) -> str:
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    last = traceback.extract_tb(error.__traceback__)[-1]
    lines = [f'{type(error).__name__}: {error}' if str(error) else f'{type(error).__name__} in `{last.line}`']
    place = place_in_model(frames)
    if place:
        lines.insert(0, place)
    elif built := _built(frames):
        node, cls = built
        where = _path_in_config(node, frames)
        kind = node.get('type', 'no type')
        lines.insert(0, f'{where or "a part"} ({getattr(kind, "__name__", kind)}) cannot be built.')
        lines += filter(None, (_argument_hint(error, node, cls, where), _plugin_hint(error, frames)))
    lines.append(
        f'  at {last.filename}:{last.lineno} in {last.name}; run again with --debug for the full traceback.'
    )
    return '\n'.join(lines)


def place_in_model(frames: list[FrameType]) -> str | None:
    """Return which module was running, its expected input and what it got; None if none was."""
    running = [
        frame
        for frame in frames
        if isinstance(frame.f_locals.get('self'), nn.Module) and frame.f_code.co_name == 'forward'
    ]
    if not running:
        return None
    module = running[-1].f_locals['self']  # the innermost one
    model = getattr(_runner(frames), 'model', None) or running[0].f_locals['self']
    name = next((name for name, one in model.named_modules() if one is module), type(module).__name__)
    shapes = [tuple(value.shape) for value in running[-1].f_locals.values() if isinstance(value, Tensor)]
    text = f'model.{name.removeprefix("module.")} ({type(module).__name__}) failed'
    if not shapes:
        return text + '.'
    # Convolutions have channels in dimension 1, linear layers in the last one.
    key, place = ('in_channels', 1) if hasattr(module, 'in_channels') else ('in_features', -1)
    wanted = getattr(module, key, None)
    if len(shapes[0]) < 2 or wanted is None or shapes[0][place] == wanted:
        return f'{text} on input of shape {", ".join(map(str, shapes[:2]))}.'
    part = '.'.join(['model', *name.removeprefix('module.').split('.')[:1]])
    return (
        f'{text}: expected {wanted} {key}, got {shapes[0][place]} (input {shapes[0]}). The input of {part} '
        f'must match the output of the part before it: set in_channels of {part}, or out_indices or the '
        'width of '
        'the backbone.'
    )


def _runner(frames: list[FrameType]) -> Runner | None:
    runners = (frame.f_locals.get('self') for frame in frames)
    return next((runner for runner in runners if isinstance(runner, Runner)), None)


def _built(frames: list[FrameType]) -> tuple[dict, object] | None:
    """Return the dict from which mmengine was building an object, and the class."""
    building = [f.f_locals for f in frames if f.f_code.co_name == 'build_from_cfg']
    for names in reversed(building):
        if isinstance(names.get('cfg'), dict):
            return names['cfg'], names.get('obj_cls')
    return None


def _path_in_config(node: dict, frames: list[FrameType]) -> str:
    """Return the key path of a dict in the runner's config, or ``''``."""
    runner = _runner(frames)
    return (_path_of(node, runner.cfg) if runner is not None else None) or ''


def _path_of(node: dict, tree: object, path: str = '') -> str | None:
    """Return the key path of a dict in a config; upstream code adds to a copy of it before building it."""
    children = tree.items() if isinstance(tree, dict | Config) else enumerate(tree)
    for key, child in children:
        here = f'{path}.{key}' if path else str(key)
        if isinstance(child, dict) and child and all(k in node and node[k] == v for k, v in child.items()):
            return here
        if isinstance(child, dict | list | tuple) and (found := _path_of(node, child, here)):
            return found
    return None


def _argument_hint(error: Exception, node: dict, cls: object, where: str) -> str:
    """Return what to do about an argument that a class does not have."""
    found = re.search(r"unexpected keyword argument '(\w+)'", str(error))
    if not isinstance(error, TypeError) or not found or cls is None:
        return ''
    near = did_you_mean(found[1], accepted_keys(dict(type=cls), ['part'], 'mmengine') - set(node))
    return (
        f'{getattr(cls, "__name__", cls)} has no argument {found[1]!r}.{near} If it comes from a _base_ in '
        f'which {where or "this part"} has another type, begin its dict with _delete_=True.'
    )


def _plugin_hint(error: Exception, frames: list[FrameType]) -> str:
    """Explain that mmdet's BasicBlock takes no plugins, which its own message does not say."""
    block = any(frame.f_locals.get('plugins') is not None for frame in frames)
    if not block or 'Not implemented yet' not in str(error):
        return ''
    return (
        "This backbone takes plugins only in bottleneck blocks (ResNet-50 and deeper). mdvision's ResNet "
        "supports attention in both: backbone=dict(_delete_=True, type='mdvision.AttentionResNet', depth=18, "
        "attention=dict(type='mdvision.CBAM'), out_indices=(0, 1, 2, 3)); see docs/add_an_attention.md."
    )
