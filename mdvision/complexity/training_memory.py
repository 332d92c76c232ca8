"""Memory of one training step, tracked on the meta device: nothing is computed, nothing allocated."""

import weakref
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from .meta_operators import run_operator

__all__ = ['training_bytes']


class _LiveStorages(TorchDispatchMode):
    """The bytes of all live storages, and their peak.

    A storage counts once, however many tensors view it, from the operator that creates it until its last
    reference is gone, whether held by a Python variable, a gradient or autograd.
    """

    def __init__(self):
        super().__init__()
        self.live = self.peak = 0
        self._known: dict[int, weakref.ref] = {}

    def add(self, tensors: object) -> None:
        """Count the storages of the tensors in any nesting of tuples, lists and dicts."""
        for tensor in tree_leaves(tensors):
            if not isinstance(tensor, Tensor):
                continue
            storage = tensor.untyped_storage()
            address, size = storage._cdata, storage.nbytes()
            if address not in self._known:
                self._known[address] = weakref.ref(storage, partial(self._forget, address, size))
                self.live += size
        self.peak = max(self.peak, self.live)

    def _forget(self, address: int, size: int, _) -> None:
        del self._known[address]
        self.live -= size

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = run_operator(func, args, kwargs or {})
        self.add(out)
        return out


def training_bytes(model: nn.Module, *inputs: Tensor, forward: Callable | None = None) -> int:
    """Return the peak memory in bytes of one forward and backward pass.

    Includes parameters, buffers, inputs, gradients, what autograd saves for the backward pass, and every
    other tensor while it is alive. Excludes optimizer state, allocator rounding and fragmentation, kernel
    workspaces, and the loss: the gradient is that of the sum of all outputs. Operators are torch's plain
    ones: attention keeps its whole attention map, unlike the fused kernels of a GPU, and dropout keeps its
    noise as floating-point numbers.

    Args:
        model: in the mode to measure, usually after ``train()``. Its gradients and norm statistics change:
            pass a copy. On the meta device nothing is computed; on another device the bytes are the same and
            the time is not.
        *inputs: inputs of the model, on its device.
        forward: called as ``forward(model, *inputs)``; by default the model itself.
    """
    model.zero_grad(set_to_none=True)
    storages = _LiveStorages()
    storages.add([list(model.parameters()), list(model.buffers()), inputs])
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH), storages:
        outputs = model(*inputs) if forward is None else forward(model, *inputs)
        sums = [t.sum() for t in tree_leaves(outputs) if isinstance(t, Tensor) and t.requires_grad]
        torch.autograd.backward(sums)
    return storages.peak
