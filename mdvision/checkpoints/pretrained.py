"""Make weights of another model an error, also where mmengine loads them: ``init_cfg``, ``load_checkpoint``.

mmengine only prints two lists of names and continues with random weights.
"""

import functools
from collections.abc import Callable, Mapping

import mmengine.runner.checkpoint as host
from mmengine.model import BaseTTAModel, PretrainedInit, is_model_wrapper
from mmengine.registry import WEIGHT_INITIALIZERS
from torch import Tensor, nn

from mdvision.errors import UserError
from mdvision.upstream import replace_method

__all__ = ['install']

# Below this fraction of both the model and the file, they do not match. An adapter is a small part of its
# model but matches completely; a backbone is a part of a detector's file.
_LEAST_SHARE = 0.5


def install() -> None:
    """Make ``mmengine.runner.checkpoint.load_state_dict`` and ``init_cfg`` reject weights of another model.

    Raises:
        UnknownUpstreamError: this mmengine has an unexpected structure.
    """
    if not getattr(getattr(host, 'load_state_dict', None), 'refuses_other_models', False):
        replace_method(host, 'load_state_dict', _refusing, ('module', 'state_dict', 'strict', 'logger'))
    WEIGHT_INITIALIZERS.register_module(name='Pretrained', module=Pretrained, force=True)


def _refusing(load: Callable) -> Callable:
    @functools.wraps(load)
    def load_state_dict(module: nn.Module, state_dict: Mapping, strict: bool = False, logger=None) -> None:
        if not strict:
            _check_fit(module, state_dict)
        load(module, state_dict, strict, logger)

    load_state_dict.refuses_other_models = True
    return load_state_dict


def _check_fit(module: nn.Module, given: Mapping[str, Tensor]) -> None:
    while is_model_wrapper(module) or isinstance(module, BaseTTAModel):
        module = module.module
    wanted = module.state_dict()
    if not wanted:
        return
    fitting = [k for k, v in given.items() if k in wanted and getattr(v, 'shape', None) == wanted[k].shape]
    matched = sum(wanted[key].numel() for key in fitting)
    of_model = matched / max(sum(value.numel() for value in wanted.values()), 1)
    of_file = matched / max(sum(getattr(value, 'numel', int)() for value in given.values()), 1)
    if fitting and max(of_model, of_file) >= _LEAST_SHARE:
        return
    raise UserError(
        f'The weights belong to another model than {type(module).__name__}: {len(fitting)} of its '
        f'{len(wanted)} tensors are among the {len(given)} in the file.\n  the model has: {_first(wanted)}\n'
        f'  the file has: {_first(given)}'
    )


def _first(names: Mapping) -> str:
    return ', '.join(str(name) for name in list(names)[:5]) + (', ...' if len(names) > 5 else '')


class Pretrained(PretrainedInit):
    """mmengine's ``dict(type='Pretrained', checkpoint=..., prefix=...)``, with errors that give the reason.

    Raises:
        UserError: the file is missing, damaged, of another model, or has nothing below the prefix.
    """

    def __call__(self, module: nn.Module) -> None:
        prefix = f', prefix={self.prefix!r}' if self.prefix is not None else ''
        key = (
            f"init_cfg=dict(type='Pretrained', checkpoint={self.checkpoint!r}{prefix}) of "
            f'{type(module).__name__}'
        )
        try:
            if self.prefix is not None:
                self._check_prefix()
            super().__call__(module)
        except UserError as error:
            raise UserError(f'{key}: {error}') from error

    def _check_prefix(self) -> None:
        checkpoint = host.CheckpointLoader.load_checkpoint(self.checkpoint, 'cpu', logger='silent')
        names = checkpoint.get('state_dict', checkpoint)
        beginning = self.prefix if self.prefix.endswith('.') else f'{self.prefix}.'
        if not any(name.startswith(beginning) for name in names):
            parts = dict.fromkeys(name.split('.')[0] + '.' for name in names)
            raise UserError(
                f'no tensor name in the file begins with {beginning!r}; they begin with {_first(parts)}'
            )
