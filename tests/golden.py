"""Reading the golden fixtures, and the weights and inputs that they were computed from.

A fixture (``tests/data/golden/*.npz``) holds what the authors' implementation answered, in float64,
for weights that are a function of each parameter's official name and shape alone. The rule, first
match wins, with n ~ N(0, 1) and u ~ U[0.5, 1.5) from ``PCG64(crc32(name))``:

* integers: zeros; ``running_var``: u; ``running_mean``: 0.1 n;
* per-channel vectors (at most one axis, or (1, C, 1, 1)): ``...weight`` 1 + 0.1 n, ``...bias``
  0.1 n, others 0.2 n;
* everything else: gain * n / sqrt(product of all axes but the first).
"""

import json
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

GOLDEN = Path(__file__).parent / 'data' / 'golden'


@dataclass
class Golden:
    meta: dict
    arrays: dict

    @property
    def state_dict(self) -> dict[str, torch.Tensor]:
        """The weights under the authors' names."""
        return {
            name: _weight(name, shape, dtype, self.meta['gain'])
            for name, shape, dtype in self.meta['state_dict']
        }

    @property
    def images(self) -> torch.Tensor:
        """(B, 3, H, W): half-amplitude noise plus a 4x4 pattern of blocks for each channel."""
        batch, channels, height, width = self.meta['input_shape']
        rng = np.random.Generator(np.random.PCG64(self.meta['input_seed']))
        noise = rng.standard_normal((batch, channels, height, width))
        blocks = rng.standard_normal((batch, channels, 4, 4))
        rows, columns = 4 * np.arange(height) // height, 4 * np.arange(width) // width
        images = 0.5 * noise + blocks[:, :, rows][:, :, :, columns]
        return torch.from_numpy(images.astype(np.float32))

    @property
    def labels(self) -> torch.Tensor:
        return torch.tensor(self.meta['labels'])

    def tensor(self, key: str) -> torch.Tensor:
        return torch.from_numpy(np.asarray(self.arrays[key])).double()


def load(name: str) -> Golden:
    with np.load(GOLDEN / f'{name}.npz', allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    golden = Golden(json.loads(str(arrays.pop('meta'))), arrays)
    assert _checksum(golden.state_dict) == golden.meta['weights_crc32'], 'the weight rule went wrong'
    return golden


def _weight(name: str, shape: list[int], dtype: str, gain: float) -> torch.Tensor:
    if not dtype.startswith('float'):
        return torch.zeros(shape, dtype=getattr(torch, dtype))
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    last = name.rsplit('.', 1)[-1]
    if last == 'running_var':
        value = rng.uniform(0.5, 1.5, shape)
    else:
        n = rng.standard_normal(shape)
        vector = len(shape) <= 1 or (len(shape) == 4 and shape[0] == 1 and shape[2:] == [1, 1])
        if last == 'running_mean':
            value = 0.1 * n
        elif vector and last.endswith('weight'):
            value = 1 + 0.1 * n
        elif vector and last.endswith('bias'):
            value = 0.1 * n
        elif vector:
            value = 0.2 * n
        else:
            value = gain * n / np.sqrt(np.prod(shape[1:]))
    return torch.from_numpy(np.asarray(value, dtype=np.float32).reshape(shape).copy())


def _checksum(state: dict[str, torch.Tensor]) -> int:
    crc = 0
    for tensor in state.values():
        if tensor.is_floating_point():
            crc = zlib.crc32(tensor.contiguous().numpy().astype('<f4').tobytes(), crc)
    return crc


def check_stage(golden: Golden, stage: str, value: torch.Tensor) -> None:
    """Compare the shape and the means of a map (B, C, H, W) in float64 with the fixture."""
    assert list(value.shape) == golden.arrays[f'stage/{stage}/shape'].tolist(), stage
    value = value.detach()
    for key, mean in (
        ('chan_mean', value.mean((0, 2, 3))),
        ('pos_mean', value.mean((0, 1))),
        ('abs_mean', value.abs().mean()),
    ):
        want = golden.tensor(f'stage/{stage}/{key}')
        # The fixture stores float32, so its own rounding is 6e-8 of the value.
        allowed = 1e-6 * want.abs() + 1e-6 * want.abs().max()
        assert ((mean - want).abs() <= allowed).all(), f'{stage} {key}'


def check_gradients(golden: Golden, gradients: dict[str, torch.Tensor | None]) -> None:
    """Compare the norm of each gradient (by official name) to 1e-6 of it plus 1e-9 of the largest."""
    names = golden.meta['param_names']
    assert set(gradients) == set(names)
    want = golden.arrays['grad_norm'].astype(float)
    untouched = golden.arrays['grad_none'].astype(bool)
    largest = want.max()
    for name, norm, none in zip(names, want, untouched, strict=True):
        gradient = gradients[name]
        assert (gradient is None) == none, name
        if not none:
            got = gradient.norm().item()
            assert abs(got - norm) <= 1e-6 * norm + 1e-9 * largest, f'{name}: {got} instead of {norm}'
