"""A checkpoint conversion as a declared table: which key becomes which, and how its tensor changes."""

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mdvision.errors import UserError

__all__ = ['KeyMap']


@dataclass(frozen=True)
class KeyMap:
    """A map from the authors' parameter names to mdvision's.

    Args:
        top: (prefix, replacement) for the start of a key. The first match applies; a key without a match is
            an error.
        inner: (regular expression, replacement), applied to the result of ``top``.
        tensors: for a renamed key (regular expression, full match), the change of its tensor.
        constants: for an authors' key (regular expression, full match) of a table that mdvision's model
            computes itself, the function ``(key, tensor) -> table`` that it must equal. Such a key is checked
            and left out.
    """

    top: tuple[tuple[str, str], ...]
    inner: tuple[tuple[str, str], ...] = ()
    tensors: Mapping[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)
    constants: Mapping[str, Callable[[str, Tensor], Tensor]] = field(default_factory=dict)

    def convert(self, state_dict: Mapping[str, Tensor]) -> 'OrderedDict[str, Tensor]':
        """Rename every key and adapt its tensor; nothing but verified constants is dropped.

        Raises:
            UserError: keys that belong to no known module (the message lists them), a constant that differs
                from mdvision's, or two keys of one parameter whose tensors differ.
        """
        out, unknown = OrderedDict(), []
        for official, tensor in state_dict.items():
            key = official.removeprefix('module.')
            if self._is_constant(key, tensor):
                continue
            renamed = self.rename(key)
            if renamed is None:
                unknown.append(official)
                continue
            for pattern, change in self.tensors.items():
                if re.fullmatch(pattern, renamed):
                    tensor = change(tensor)
            if renamed in out and not torch.equal(out[renamed], tensor):
                raise UserError(
                    f'two keys of the checkpoint name the same parameter, {renamed}, but their tensors '
                    f'differ; one of them is {official}.'
                )
            out[renamed] = tensor
        if unknown:
            some = 'for example' if len(unknown) > 20 else 'namely'
            raise UserError(
                f'{len(unknown)} of {len(state_dict)} keys of the checkpoint belong to no part of this '
                f'model, {some} {", ".join(unknown[:20])}. Expected keys that start with '
                f'{[prefix for prefix, _ in self.top]}: is this the checkpoint of another model?'
            )
        return out

    def rename(self, key: str) -> str | None:
        """Return the new name of an authors' key without ``module.``; None if it belongs to no part."""
        for prefix, replacement in self.top:
            if key.startswith(prefix):
                key = replacement + key.removeprefix(prefix)
                break
        else:
            return None
        for pattern, replacement in self.inner:
            key = re.sub(pattern, replacement, key)
        return key

    def _is_constant(self, key: str, tensor: Tensor) -> bool:
        for pattern, table_of in self.constants.items():
            if not re.fullmatch(pattern, key):
                continue
            table = table_of(key, tensor)
            same = table.shape == tensor.shape and torch.allclose(
                table.double(), tensor.double(), rtol=0, atol=1e-4
            )
            if not same:
                raise UserError(
                    f'{key} of the checkpoint is not the table that this model computes (shape '
                    f'{tuple(tensor.shape)}, here {tuple(table.shape)}): it was trained with other constants '
                    'and would give different results here.'
                )
            return True
        return False
