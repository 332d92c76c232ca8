"""A checkpoint conversion is a declared table: which key becomes which, and how its tensor changes."""

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from mdvision.errors import UserError

__all__ = ['KeyMap']


@dataclass(frozen=True)
class KeyMap:
    """The authors' parameter names -> ours.

    Args:
        top: (prefix, replacement) for the start of a key; the first that fits is applied, and a
            key that none fits is an error.
        inner: (regular expression, replacement) applied to what ``top`` gave.
        tensors: for a key after renaming (regular expression, whole key), the change of its tensor.
    """

    top: tuple[tuple[str, str], ...]
    inner: tuple[tuple[str, str], ...] = ()
    tensors: Mapping[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)

    def convert(self, state_dict: Mapping[str, Tensor]) -> 'OrderedDict[str, Tensor]':
        """Rename every key and adapt its tensor; nothing is dropped.

        Raises:
            UserError: listing the keys that belong to no known module.
        """
        out, unknown = OrderedDict(), []
        for key, tensor in state_dict.items():
            renamed = self._rename(key.removeprefix('module.'))
            if renamed is None:
                unknown.append(key)
                continue
            for pattern, change in self.tensors.items():
                if re.fullmatch(pattern, renamed):
                    tensor = change(tensor)
            out[renamed] = tensor
        if unknown:
            raise UserError(
                f'{len(unknown)} of {len(state_dict)} keys of the checkpoint belong to no part of this '
                f'model, for example {unknown[:5]}. Expected keys that start with '
                f'{[prefix for prefix, _ in self.top]}: is it the checkpoint of another model?'
            )
        return out

    def _rename(self, key: str) -> str | None:
        for prefix, replacement in self.top:
            if key.startswith(prefix):
                key = replacement + key.removeprefix(prefix)
                break
        else:
            return None
        for pattern, replacement in self.inner:
            key = re.sub(pattern, replacement, key)
        return key
