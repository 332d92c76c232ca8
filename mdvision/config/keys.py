"""The keys that parts of a config accept: those of the named class, or those an upstream library reads."""

import functools
import importlib
import inspect
from collections.abc import Iterator

from mmengine.config import Config
from mmengine.registry import Registry
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from mdvision.console import import_upstream
from mdvision.errors import MISSPELLED_EXTRA_KEY, MISSPELLED_KEY, did_you_mean
from mdvision.findings import Finding

__all__ = ['TOP_LEVEL_KEYS', 'accepted_keys', 'find_unknown_keys', 'find_unknown_types', 'unregistered_hint']

# Arguments of mmengine's Runner, and other keys read by the runner, upstream libraries or the tools.
TOP_LEVEL_KEYS = (set(inspect.signature(Runner.__init__).parameters) - {'self', 'cfg'}) | {
    'activation_checkpointing',
    'backbone_from',
    'check_images',
    'compile',
    'custom_imports',
    'efficient_conv_bn_eval',
    'find_unused_parameters',
    'init_from',
    'max_bad_images',
    'model_wrapper_cfg',
    'sync_bn',
    'tta_model',
    'tta_pipeline',
}

_DATALOADER = {*inspect.signature(DataLoader.__init__).parameters, 'num_batch_per_epoch'} - {'self'}
# Keys that an upstream library reads without a class that declares them: the only ones such a part may have,
# unless it also names a class.
_WITHOUT_CLASS = {
    'train_dataloader': _DATALOADER,
    'val_dataloader': _DATALOADER,
    'test_dataloader': _DATALOADER,
    'randomness': {'seed', 'deterministic', 'diff_rank_seed'},
    'auto_scale_lr': {'enable', 'base_batch_size'},
    'env_cfg': {'cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'},
    'env_cfg.dist_cfg': {'backend', 'timeout', 'init_backend', 'init_method', 'port', 'tcp_port'},
    'env_cfg.mp_cfg': {'mp_start_method', 'opencv_num_threads'},
    'optim_wrapper': {
        'type', 'optimizer', 'constructor', 'paramwise_cfg', 'clip_grad', 'accumulative_counts',
    },
    'optim_wrapper.clip_grad': {
        'type', 'max_norm', 'norm_type', 'clip_value', 'error_if_nonfinite', 'foreach',
    },
    'optim_wrapper.paramwise_cfg': {
        'norm_decay_mult', 'bias_lr_mult', 'bias_decay_mult', 'dwconv_decay_mult', 'flat_decay_mult',
        'bypass_duplicate', 'dcn_offset_lr_mult', 'custom_keys',
    },
    'train_cfg': {'type', 'by_epoch', 'max_epochs', 'max_iters', 'val_begin', 'val_interval',
                  'dynamic_intervals'},
}  # fmt: skip
# In which registry the type of a part is looked up; '*' is any one step of the path.
_REGISTRIES = {
    'model': 'MODELS',
    'model.backbone': 'MODELS',
    'model.neck': 'MODELS',
    'model.head': 'MODELS',
    'model.rpn_head': 'MODELS',
    'model.roi_head': 'MODELS',
    'model.bbox_head': 'MODELS',
    'model.data_preprocessor': 'MODELS',
    'optim_wrapper': 'OPTIM_WRAPPERS',
    'optim_wrapper.optimizer': 'OPTIMIZERS',
    'param_scheduler': 'PARAM_SCHEDULERS',
    'param_scheduler.*': 'PARAM_SCHEDULERS',
    'default_hooks.*': 'HOOKS',
    'custom_hooks.*': 'HOOKS',
    'train_cfg': 'LOOPS',
    'val_cfg': 'LOOPS',
    'test_cfg': 'LOOPS',
    'train_dataloader.dataset': 'DATASETS',
    'val_dataloader.dataset': 'DATASETS',
    'test_dataloader.dataset': 'DATASETS',
    'val_evaluator': 'METRICS',
    'val_evaluator.*': 'METRICS',
    'test_evaluator': 'METRICS',
    'test_evaluator.*': 'METRICS',
    'visualizer': 'VISUALIZERS',
}


def accepted_keys(node: dict, walked: list[str], scope: str) -> set[str]:
    """Return the keys that a part of the config may have in addition to its current ones.

    Args:
        node: the part.
        walked: the path to it; empty for the whole config.
        scope: scope of the registries, ``default_scope`` of the config.
    """
    if not walked:
        return set(TOP_LEVEL_KEYS)
    accepted = set(_WITHOUT_CLASS.get('.'.join(walked), ()))
    if walked[-1] == 'norm_cfg':
        accepted |= {'requires_grad', 'eps', 'momentum'}
    for cls in _classes(node.get('type'), scope):
        accepted |= _arguments(cls)
    return accepted


def find_unknown_keys(cfg: Config) -> list[Finding]:
    """Find keys in the parts of a config that nothing accepts.

    A key close to a known one is an error. Any other unknown key is a warning if no class reads the part;
    otherwise it is left to the class, which rejects it or accepts it through ``**kwargs``.
    """
    scope = cfg.get('default_scope') or 'mmengine'
    findings = []
    for walked, node, own_scope in _dicts({k: v for k, v in cfg.items() if k in TOP_LEVEL_KEYS}, [], scope):
        where = '.'.join(walked)
        classes = _classes(node.get('type'), own_scope)
        known = accepted_keys(node, walked, own_scope)
        of_bases = set().union(*(_arguments(cls, whole=True) for cls in classes))
        closed = where in _WITHOUT_CLASS and 'type' not in node and not _read_by_constructor(cfg, where)
        cutoff = MISSPELLED_EXTRA_KEY if any(map(_takes_more, classes)) else MISSPELLED_KEY
        for key in node:
            if key in known | of_bases | {'type', '_scope_'} or not isinstance(key, str):
                continue
            near = did_you_mean(key, known, cutoff)
            if near:
                what = f'{_name(classes[0])} has' if classes else 'there is'
                text = f'{what} no {key!r}.{near}'
                findings.append(Finding('error', where, text, f'correct or remove {where}.{key}'))
            elif closed:
                text = f'nothing reads {key!r}. Keys that are read: {", ".join(sorted(known))}.'
                findings.append(Finding('warning', where, text, f'remove {where}.{key}'))
    return findings


def find_unknown_types(cfg: Config) -> list[Finding]:
    """Find classes named in a config's sections that no registry knows, with the closest names."""
    scope = cfg.get('default_scope') or 'mmengine'
    findings = []
    for walked, node, own_scope in _dicts({k: v for k, v in cfg.items() if k in TOP_LEVEL_KEYS}, [], scope):
        name, where = node.get('type'), '.'.join(walked)
        pattern = where if where in _REGISTRIES else '.'.join([*walked[:-1], '*'])
        if not isinstance(name, str) or pattern not in _REGISTRIES or _classes(name, own_scope):
            continue
        registry = getattr(_registries(own_scope), _REGISTRIES[pattern])
        hint = unregistered_hint(name, registry)
        findings.append(Finding('error', f'{where}.type', f'no class {name!r} is registered.{hint}'))
    return findings


def unregistered_hint(name: str, registry: Registry) -> str:
    """Suggest what an unregistered name may have been meant to be."""
    for scope in ('mmdet', 'mmpretrain'):  # a config may lack its default_scope
        import_upstream(scope)
    root = registry
    while root.parent is not None:
        root = root.parent
    bare = name.rsplit('.', 1)[-1]
    homes = [scope for scope, names in _by_scope(root).items() if bare in names and scope != 'mmengine']
    if homes:
        return (
            f' {homes[0]} has it: write type={homes[0] + "." + bare!r}, or default_scope = {homes[0]!r} in '
            'the config.'
        )
    names = set().union(*_by_scope(root).values())
    return did_you_mean(bare, names) or (
        ' A class of your own is registered when its module is imported: '
        "custom_imports = dict(imports=['my_module'])."
    )


def _by_scope(registry: Registry) -> dict[str, set[str]]:
    """Return the names in a registry and its children, by the scope that registered them."""
    registry.import_from_location()
    names = {registry.scope: {name.rsplit('.', 1)[-1] for name in registry.module_dict}}
    for child in registry.children.values():
        names |= _by_scope(child)
    return names


def _read_by_constructor(cfg: Config, where: str) -> bool:
    """Return whether a part has a non-default constructor, which reads keys of its own."""
    constructor = (cfg.get('optim_wrapper') or {}).get('constructor')
    return where.startswith('optim_wrapper') and constructor not in (None, 'DefaultOptimWrapperConstructor')


def _dicts(node, walked: list[str], scope: str) -> Iterator[tuple[list[str], dict, str]]:
    """Yield every dict below a part, with its path and the scope that applies there."""
    if isinstance(node, dict):
        scope = node.get('_scope_') or scope
        if walked:
            yield walked, node, scope
    children = node.items() if isinstance(node, dict) else enumerate(node)
    for key, child in children:
        if isinstance(child, dict | list | tuple):
            yield from _dicts(child, [*walked, str(key)], scope)


def _registries(scope: str):
    return importlib.import_module(f'{scope}.registry')


@functools.cache
def _classes(name: object, scope: str) -> tuple:
    """Return what a type stands for: a class as it is, a name in every registry that knows it."""
    if not isinstance(name, str):
        return (name,) if callable(name) else ()
    found = []
    for registry in vars(_registries(scope)).values():
        if isinstance(registry, Registry):
            try:
                cls = registry.get(name)
            except Exception:  # a registry that cannot load its modules does not know the name
                continue
            if callable(cls) and cls not in found:
                found.append(cls)
    return tuple(found)


def _name(cls) -> str:
    return getattr(cls, '__name__', str(cls))


@functools.cache
def _takes_more(cls) -> bool:
    parameters = inspect.signature(cls).parameters.values()
    return any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters)


@functools.cache
def _arguments(cls, whole: bool = False) -> frozenset[str]:
    """Return a class's argument names, with those of its bases as far as ``**kwargs`` passes them on.

    ``whole``: with those of all bases.
    """
    arguments = set()
    bases = (
        [base for base in inspect.getmro(cls) if '__init__' in vars(base)] if inspect.isclass(cls) else [cls]
    )
    for base in bases:
        if base in (object, nn.Module):
            break
        parameters = inspect.signature(base.__init__ if inspect.isclass(base) else base).parameters
        arguments |= {n for n, p in parameters.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
        if not whole and not any(p.kind == p.VAR_KEYWORD for p in parameters.values()):
            break
    return frozenset(arguments - {'self'})
