"""Reading the golden fixtures, and the weights and inputs that they were computed from.

A fixture (``tests/data/golden/*.npz``) holds what the authors' implementation answered, in float64,
for weights that are a function of each parameter's official name and shape alone. The rule, first
match wins, with n ~ N(0, 1) and u ~ U[0.5, 1.5) from ``PCG64(crc32(name))``:

* integers: zeros; ``running_var``: u; ``running_mean``: 0.1 n; ``scale``: 3 + 0.5 n;
  ``temperature``: 1 + 0.1 n; ``lambda_...``: 0.2 n; ``cls_token``, ``positional_embeddings``: 0.5 n;
* per-channel vectors (at most one axis, or (1, C, 1, 1)): ``...weight`` 1 + 0.1 n, ``...bias``
  0.1 n, others 0.2 n;
* everything else: gain * n / sqrt(product of all axes but the first).

Tables that a model computes by itself (filters, fixed positions) are not among the weights.
"""

import json
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

GOLDEN = Path(__file__).parent / 'data' / 'golden'

_COMPUTED = re.compile(r'(^|\.)dct_layer\.weight$|^pos_embed(_\d+)?$')
# A norm that DEMS-ViT registers under two names has one value, that of the second name.
_TWIN = re.compile(r'^norm_merge(\d+)\.')


@dataclass
class Golden:
    meta: dict
    arrays: dict

    @property
    def state_dict(self) -> dict[str, torch.Tensor]:
        """The weights under the authors' names."""
        return {
            name: _weight(name, shape, dtype, self.meta.get('gain', 1.0))
            for name, shape, dtype in self.meta['state_dict']
            if not _COMPUTED.search(name)
        }

    @property
    def images(self) -> torch.Tensor:
        return _images(self.meta['input_seed'], self.meta['input_shape'])

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


def load_modules(name: str) -> dict[str, Golden]:
    """The fixtures of single modules in a file, by key; ``meta`` is that of the module."""
    with np.load(GOLDEN / f'{name}.npz', allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    modules = {}
    for meta in json.loads(str(arrays.pop('meta')))['modules']:
        prefix = meta['key'] + '/'
        own = {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}
        modules[meta['key']] = golden = Golden(meta, own)
        assert _checksum(golden.state_dict) == meta['weights_crc32'], 'the weight rule went wrong'
    return modules


def _images(seed: int, shape: list[int]) -> torch.Tensor:
    """(B, C, H, W): half-amplitude noise plus a 4x4 pattern of blocks for each channel."""
    batch, channels, height, width = shape
    rng = np.random.Generator(np.random.PCG64(seed))
    noise = rng.standard_normal((batch, channels, height, width))
    blocks = rng.standard_normal((batch, channels, 4, 4))
    rows, columns = 4 * np.arange(height) // height, 4 * np.arange(width) // width
    images = 0.5 * noise + blocks[:, :, rows][:, :, :, columns]
    return torch.from_numpy(images.astype(np.float32))


def _weight(name: str, shape: list[int], dtype: str, gain: float) -> torch.Tensor:
    if not dtype.startswith('float'):
        return torch.zeros(shape, dtype=getattr(torch, dtype))
    name = _TWIN.sub(r'mlp\1.norm.', name)
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    last = name.rsplit('.', 1)[-1]
    if last == 'running_var':
        value = rng.uniform(0.5, 1.5, shape)
    else:
        n = rng.standard_normal(shape)
        vector = len(shape) <= 1 or (len(shape) == 4 and shape[0] == 1 and shape[2:] == [1, 1])
        if last == 'running_mean':
            value = 0.1 * n
        elif last == 'scale':
            value = 3 + 0.5 * n
        elif last == 'temperature':
            value = 1 + 0.1 * n
        elif last.startswith('lambda_'):
            value = 0.2 * n
        elif last in ('cls_token', 'positional_embeddings'):
            value = 0.5 * n
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
    """Compare the shape and the means of a map (B, C, H, W) or of tokens (B, N, D) in float64."""
    assert list(value.shape) == golden.arrays[f'stage/{stage}/shape'].tolist(), stage
    value = value.detach()
    if value.dim() == 3:
        value = value.transpose(1, 2)[..., None]  # (B, D, N, 1)
    for key, mean in (
        ('chan_mean', value.mean((0, 2, 3))),
        ('pos_mean', value.mean((0, 1))),
        ('abs_mean', value.abs().mean()),
    ):
        want = golden.tensor(f'stage/{stage}/{key}')
        # The fixture stores float32, so its own rounding is 6e-8 of the value.
        allowed = 1e-6 * want.abs() + 1e-6 * want.abs().max()
        assert ((mean.reshape(want.shape) - want).abs() <= allowed).all(), f'{stage} {key}'


def check_close(got: torch.Tensor, want: torch.Tensor, what: str) -> None:
    """Equal shapes, and values in float64 within 1e-6 of the largest wanted one (1 at least)."""
    assert got.shape == want.shape, f'{what}: {tuple(got.shape)} instead of {tuple(want.shape)}'
    error = (got.detach() - want).abs().max().item()
    assert error <= 1e-6 * max(1.0, want.abs().max().item()), f'{what}: off by {error}'


def check_module(
    golden: Golden,
    module: torch.nn.Module,
    rename: Callable[[str], str] = lambda name: name,
    forward: Callable[[torch.nn.Module, torch.Tensor], torch.Tensor] | None = None,
) -> None:
    """Compare a single module in float64: outputs, gradients, and batch norm statistics.

    Args:
        golden: one entry of :func:`load_modules`.
        module: our module, fresh; it gets the weights of the fixture.
        rename: the authors' parameter name -> ours.
        forward: calls the module on the input of the fixture and gives an output as the fixture
            has it; by default ``module(x)``.
    """
    forward = forward or (lambda module, x: module(x))
    meta = golden.meta
    module.load_state_dict({rename(name): tensor for name, tensor in golden.state_dict.items()}, strict=True)
    module.double()

    def output(x: torch.Tensor) -> torch.Tensor:
        if meta['squeeze_last']:
            x = x.squeeze(-1)
        return forward(module, x)

    images = _images(meta['input_seed'], meta['input_shape']).double()
    with torch.no_grad():
        module.eval()
        check_close(output(images), golden.tensor('eval'), 'eval output')
    module.train()
    images.requires_grad_()
    got = output(images)
    if 'train' in golden.arrays:
        check_close(got, golden.tensor('train'), 'train output')
    shape = [*got.shape, 1, 1, 1][: max(4, got.dim())]
    (got * _images(meta['cotangent_seed'], shape).double().reshape(got.shape)).sum().backward()
    check_close(images.grad.norm(), golden.tensor('input_grad_norm'), 'norm of the input gradient')
    check_close(images.grad.flatten()[:64], golden.tensor('input_grad_first'), 'input gradient')
    parameters = dict(module.named_parameters())
    for name, norm in zip(meta['param_names'], golden.arrays['grad_norm'].astype(float), strict=True):
        gradient = parameters[rename(name)].grad
        assert gradient is not None, name
        allowed = 1e-6 * norm + 1e-9 * golden.arrays['grad_norm'].max()
        assert abs(gradient.norm().item() - norm) <= allowed, f'gradient of {name}'
    state = module.state_dict()
    for name, total in zip(meta['buffers'], golden.tensor('train_running_sum'), strict=True):
        if not _COMPUTED.search(name):
            check_close(state[rename(name)].double().sum(), total, name)


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
