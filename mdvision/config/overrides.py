"""Override keys of a config strictly: a key that nothing reads is an error."""

import ast

from mmengine.config import Config

from mdvision.errors import UserError, did_you_mean

from .keys import TOP_LEVEL_KEYS, accepted_keys
from .tree import find_datasets

__all__ = ['apply_overrides', 'backbone_option', 'literal']


def apply_overrides(cfg: Config, overrides: list[str]) -> None:
    """Set ``key.path=value`` for each override, in place.

    Values are Python literals (``1e-3``, ``[1,2]``, ``{'type':'SGD'}``, ``True``); ``true``, ``false`` and
    ``none`` work too; anything else is a string, spaces included. A path may index into a list. A key that
    the config does not have is accepted only if the class it belongs to has such an argument.
    ``data_root=...`` alone sets it in every data set.

    Raises:
        UserError: an override is invalid; the message names the key and the closest ones.
    """
    for override in overrides:
        key, equals, text = override.partition('=')
        if not equals or not key:
            raise UserError(f'--cfg-options {override!r}: expected key=value.')
        if key.strip() == 'data_root':
            value = literal(text.strip())  # quoted or not; a folder may be called 2024
            _set_data_root(cfg, value if isinstance(value, str) else text.strip())
        else:
            _set(cfg, key.strip(), literal(text.strip()))


def _set_data_root(cfg: Config, folder: str) -> None:
    """Set the common folder of all data sets; an error if a config has several."""
    datasets = [dataset for dataset in find_datasets(cfg) if 'data_root' in dataset]
    roots = {dataset.data_root for dataset in datasets}
    if len(roots) != 1:
        found = 'no data set has one'
        if roots:
            found = f'its data sets are in {", ".join(sorted(map(str, roots)))}'
        raise UserError(
            f'--cfg-options data_root={folder}: this sets the common folder of all data sets, but {found}. '
            'Override train_dataloader.dataset.data_root and the others individually.'
        )
    (before,) = roots
    inside = str(before).rstrip('/')  # mmdet writes data/coco/
    for dataset in datasets:
        dataset.data_root = folder
    for split in ('val', 'test'):
        metrics = cfg.get(f'{split}_evaluator') or []
        for metric in metrics if isinstance(metrics, list) else [metrics]:
            # COCO's own metric reads a file of the data set.
            for key, path in metric.items():
                if isinstance(path, str) and path.startswith(f'{inside}/'):
                    metric[key] = f'{folder.rstrip("/")}/{path[len(inside) :].lstrip("/")}'


def backbone_option(option: str) -> tuple[str, object]:
    """Parse ``KEY=VALUE`` of a named model: an argument of its backbone and its value.

    Raises:
        UserError: the text has another form.
    """
    key, equals, text = option.partition('=')
    if not equals or not key.isidentifier():
        raise UserError(
            f'--cfg-options {option!r}: expected KEY=VALUE, where KEY is an argument of the backbone.'
        )
    return key, literal(text)


def literal(text: str) -> object:
    """Parse a value of ``--cfg-options``: a Python literal, including ``dict(type='X')``, otherwise a string.

    Raises:
        UserError: the text is an unclosed list or dict, or contains more than literals.
    """
    if text.lower() in ('true', 'false', 'none'):
        return {'true': True, 'false': False, 'none': None}[text.lower()]
    try:
        tree = ast.parse(text, mode='eval')
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        if 'was never closed' in str(error):
            raise _no_value(text, error.msg) from None
        return text
    try:
        return ast.literal_eval(_DictCalls().visit(tree))
    except (ValueError, RecursionError):
        if isinstance(tree.body, ast.List | ast.Dict):
            raise _no_value(text, 'it contains more than plain values; strings in it need quotes') from None
        return text


def _no_value(text: str, reason: str) -> UserError:
    return UserError(
        f'--cfg-options: {_shown(text)} is not a valid value: {reason}. Expected, for example, [1,2], '
        f"{{'a':1}}, "
        "dict(type='X') or plain text."
    )


class _DictCalls(ast.NodeTransformer):
    """Turn ``dict(a=1)`` into ``{'a': 1}``, which is a literal."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        named = all(keyword.arg for keyword in node.keywords)
        if not (isinstance(node.func, ast.Name) and node.func.id == 'dict' and named and not node.args):
            return node
        keys = [ast.Constant(keyword.arg) for keyword in node.keywords]
        return ast.Dict(keys, [keyword.value for keyword in node.keywords])


def _set(cfg: Config, key: str, value) -> None:
    *parents, last = key.split('.')
    _check_top_level(cfg, key)
    node, walked = cfg, []
    for part in parents:
        _check_child(cfg, node, walked, part, key)
        if isinstance(node, list | tuple):
            node = node[int(part)]
        else:
            # An argument that the config omits or sets to None, such as optim_wrapper.clip_grad.
            if node.get(part) is None:
                node[part] = {}
            node = node[part]
        walked.append(part)
        if not isinstance(node, dict | list | tuple | Config):
            raise UserError(f'--cfg-options {key}: {".".join(walked)} is {node!r}, it has no keys below it.')
    _check_child(cfg, node, walked, last, key)
    if isinstance(node, tuple):
        raise UserError(
            f'--cfg-options {key}: {".".join(walked)} is a tuple; set it as a whole, for example '
            f'{".".join(walked)}={tuple(node)!r}.'
        )
    if isinstance(node, list):
        node[int(last)] = value
        return
    old = node.get(last)
    kinds = [(bool, bool), (int | float, int | float), (dict, dict)]
    for kind, accepted in kinds:
        if isinstance(old, kind) and not isinstance(value, accepted) and value is not None:
            raise UserError(f'--cfg-options {key}: expected a value like {_shown(old)}, got {_shown(value)}.')
        if isinstance(old, kind):
            break
    node[last] = value


def _shown(value) -> str:
    text = 'a dict' if isinstance(value, dict) else repr(value)
    return text if len(text) <= 200 else f'{text[:200]}...'


def _check_top_level(cfg: Config, key: str) -> None:
    top = key.split('.')[0]
    readable = TOP_LEVEL_KEYS
    if top in readable:
        return
    if top in cfg:
        homes = list(_paths_of(cfg[top], {k: cfg[k] for k in cfg if k in readable}))
        raise UserError(
            f'--cfg-options {key}: {top} is a plain variable of the config file, whose value has already '
            'been used, so setting it now would change nothing. Override the keys in which it was used'
            + (f'; its value is in {", ".join(homes[:6])}.' if homes else '.')
        )
    raise UserError(f'--cfg-options {key}: no such key.{did_you_mean(top, readable | set(cfg))}')


def _paths_of(value, node, path: str = ''):
    """Return the key paths below ``node`` that hold ``value``."""
    children = node.items() if isinstance(node, dict) else enumerate(node)
    for key, child in children:
        here = f'{path}.{key}' if path else str(key)
        if type(child) is type(value) and child == value:
            yield here
        if isinstance(child, dict | list | tuple):
            yield from _paths_of(value, child, here)


def _check_child(cfg: Config, node, walked: list[str], part: str, key: str) -> None:
    where = '.'.join(walked) or 'the config'
    if isinstance(node, list | tuple):
        if not part.lstrip('-').isdigit() or not -len(node) <= int(part) < len(node):
            raise UserError(
                f'--cfg-options {key}: {where} is a list of {len(node)}; expected an index, got {part!r}.'
            )
        return
    if part in node or walked == ['default_hooks']:  # a hook may have any name
        return
    accepted = accepted_keys(node, walked, cfg.get('default_scope') or 'mmengine')
    if part in accepted:
        return
    raise UserError(
        f'--cfg-options {key}: {where} has no key {part!r}.'
        + did_you_mean(part, set(node) | accepted)
        + f' It has: {", ".join(sorted(node))}.'
    )
