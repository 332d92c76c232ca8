"""Count what a model costs: parameters, multiply-adds (MACs), activations, memory of a training step.

The model runs on the meta device, where tensors have shapes but no contents: every operator that would run is
seen, none is computed. The formulas are those of ``torch.utils.flop_counter``, plus the ones it lacks. Counts
are exact integers.

* A multiply-add counts once; the "FLOPs" of other libraries are either this number or twice it.
* Convolutions, matrix products, Fourier and cosine transforms count. Element-wise operations, norms, pooling,
  activation functions, softmax, interpolation and biases do not count, as in the papers.
* A product with padding zeros counts like any other.
* A Fourier transform of N points counts as N/2 log2 N butterflies of one complex multiplication each, which
  is four real multiply-adds: 2 N log2 N in total; half of that if input or output is real.
* A transform that a module writes as a product and a sum is invisible here: the module states its cost in a
  method ``transform_macs(*inputs) -> int``. It counts with the Fourier transforms.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.flop_counter import flop_registry
from torch.utils.module_tracker import ModuleTracker

from .meta_operators import run_operator
from .training_memory import training_bytes

__all__ = ['KINDS', 'Complexity', 'Cost', 'count', 'measure']

KINDS = ('convolution', 'linear', 'attention', 'fft')
aten = torch.ops.aten


@dataclass
class Cost:
    """The cost of one part of a model.

    Attributes:
        params: number of parameter elements.
        trainable_params: those that require a gradient.
        macs: multiply-adds by kind. ``'attention'`` is a matrix product of two tensors that both depend on
            the input (in any attention, fused or not, matmul or einsum); ``'linear'`` is one with weights.
        activations: number of outputs of convolutions and matrix products in one forward pass.
    """

    params: int = 0
    trainable_params: int = 0
    macs: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    activations: int = 0

    @property
    def total_macs(self) -> int:
        return sum(self.macs.values())


@dataclass(frozen=True)
class Complexity:
    """The complexity of a whole model for one input.

    Attributes:
        stages: cost of each part, in the order in which the model holds them. A part that is not a module of
            its own has the name of the module that does the work.
        stored_buffers: number of buffer elements that a checkpoint holds beside the parameters.
        uncounted: operators of other libraries without a known formula, which do not count.
        training_bytes: see :func:`mdvision.complexity.training_memory.training_bytes`; None if not requested.
    """

    stages: dict[str, Cost]
    stored_buffers: int
    uncounted: tuple[str, ...] = ()
    training_bytes: int | None = None

    @property
    def params(self) -> int:
        return sum(stage.params for stage in self.stages.values())

    @property
    def trainable_params(self) -> int:
        return sum(stage.trainable_params for stage in self.stages.values())

    @property
    def activations(self) -> int:
        return sum(stage.activations for stage in self.stages.values())

    @property
    def macs(self) -> int:
        return sum(self.macs_by_kind.values())

    @property
    def macs_by_kind(self) -> dict[str, int]:
        return {kind: sum(stage.macs[kind] for stage in self.stages.values()) for kind in KINDS}

    def totals(self) -> dict:
        """Return the totals of the whole model as plain data."""
        return dict(
            params=self.params,
            trainable_params=self.trainable_params,
            stored_buffers=self.stored_buffers,
            macs=self.macs,
            macs_by_kind=self.macs_by_kind,
            activations=self.activations,
            training_bytes=self.training_bytes,
        )


@torch.inference_mode(False)
def measure(
    model: nn.Module,
    *inputs: Tensor,
    forward: Callable | None = None,
    training_forward: Callable | None = None,
    depth: int | None = None,
) -> Complexity:
    """Count a model and the memory of one training step with the same inputs.

    Args:
        model: on any device, in any mode. It is not changed: a copy without weights is measured, in
            evaluation mode for the counts and in training mode for the memory.
        *inputs: inputs of the model; only shapes and types matter.
        forward: called as ``forward(model, *inputs)`` for models that take more than tensors.
        training_forward: the same for the training step, if it differs from testing.
        depth: how many components of a module's name make a stage. By default each child of ``backbone`` is a
            stage, and every other child of the model.

    Raises:
        RuntimeError, NotImplementedError: from torch, for a model with control flow on the values of a
            tensor.
        ValueError: from a batch norm that cannot train because it gets one value per channel.
    """
    model, inputs = _on_meta(model, inputs)
    counted = _count(model, inputs, forward, depth)
    peak = training_bytes(model.train(), *inputs, forward=training_forward or forward)
    return replace(counted, training_bytes=peak)


@torch.inference_mode(False)
def count(
    model: nn.Module, *inputs: Tensor, forward: Callable | None = None, depth: int | None = None
) -> Complexity:
    """Like :func:`measure`, without the memory of a training step."""
    return _count(*_on_meta(model, inputs), forward, depth)


def _count(model: nn.Module, inputs: tuple, forward: Callable | None, depth: int | None) -> Complexity:
    root = _Root(model.eval(), forward)
    stages = {_stage(name, depth): Cost() for name, _ in model.named_modules()}
    for name, parameter in model.named_parameters():
        stage = stages[_stage(name.rpartition('.')[0], depth)]
        stage.params += parameter.numel()
        stage.trainable_params += parameter.numel() * parameter.requires_grad
    hooks = [
        module.register_forward_pre_hook(_add_declared(stages[_stage(name, depth)]))
        for name, module in model.named_modules()
        if hasattr(module, 'transform_macs')
    ]
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one operator without a formula
    try:
        with ModuleTracker() as tracker:
            counter = _Counter(lambda: stages[_stage(_running_module(tracker), depth)], inputs)
            # Every form of attention as the products of which it consists.
            with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
                root(*inputs)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
        for hook in hooks:
            hook.remove()
    return Complexity(
        stages={name: cost for name, cost in stages.items() if cost != Cost()},
        stored_buffers=_stored_buffers(model),
        uncounted=tuple(sorted(counter.uncounted)),
    )


def _add_declared(stage: Cost) -> Callable:
    def hook(module: nn.Module, inputs: tuple) -> None:
        stage.macs['fft'] += module.transform_macs(*inputs)

    return hook


class _Root(nn.Module):
    """Call the model, so that the names of all its modules are known before any of them runs."""

    def __init__(self, model: nn.Module, forward: Callable | None):
        super().__init__()
        self.model = model
        self.call = forward or (lambda model, *inputs: model(*inputs))

    def forward(self, *inputs: Tensor):
        return self.call(self.model, *inputs)


def _running_module(tracker: ModuleTracker) -> str:
    """Return the name of the innermost running module, as in ``named_modules``; '' if the model lacks it."""
    prefix = f'{_Root.__name__}.model'
    running = [name.removeprefix(prefix) for name in tracker.parents if name.startswith(prefix)]
    return max(running, key=lambda name: name.count('.'), default='').removeprefix('.')


def _stage(module: str, depth: int | None) -> str:
    parts = module.split('.')
    if depth is None:
        depth = 2 if parts[0] == 'backbone' else 1
    return '.'.join(parts[:depth])


def _on_meta(model: nn.Module, inputs: tuple) -> tuple[nn.Module, tuple]:
    """Return a copy whose parameters and buffers have no contents; the model's are never copied."""
    copies = {}
    for tensor in (*model.parameters(), *model.buffers()):
        empty = _empty_like(tensor)
        if isinstance(tensor, nn.Parameter):
            empty = nn.Parameter(empty, tensor.requires_grad)
        copies[id(tensor)] = empty
    # Tensors that deepcopy finds in its memo are taken from there.
    return copy.deepcopy(model, copies), tree_map_only(Tensor, _empty_like, inputs)


def _empty_like(tensor: Tensor) -> Tensor:
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device='meta')


def _stored_buffers(model: nn.Module) -> int:
    parameters = {id(parameter) for parameter in model.parameters()}
    stored = {id(t): t for t in tree_leaves(dict(model.state_dict(keep_vars=True))) if isinstance(t, Tensor)}
    return sum(tensor.numel() for key, tensor in stored.items() if key not in parameters)


# ---------------------------------------------------------------------------------------------- operators


def _fourier_flops(x: Tensor, dim: list[int], *args, out_val: Tensor, **kwargs) -> int:
    # A real transform has the full number of points on one side, half the spectrum on the other.
    full = max(x, out_val, key=Tensor.numel)
    complex_macs = 2 * full.numel() * math.log2(math.prod(full.shape[d] for d in dim))
    return 2 * round(complex_macs if x.is_complex() and out_val.is_complex() else complex_macs / 2)


def _batched_sum_flops(added: Tensor, first: Tensor, second: Tensor, *args, **kwargs) -> int:
    return flop_registry[aten.bmm](first, second, out_val=None)


def _vector_flops(*args, **kwargs) -> int:
    return 2 * max(a.numel() for a in args if isinstance(a, Tensor))  # the matrix, or one of two vectors


def _deformable_flops(x: Tensor, weight: Tensor, *args, out_val: Tensor, **kwargs) -> int:
    return 2 * out_val.numel() * weight[0].numel()


_FORMULAS = {
    **flop_registry,
    **dict.fromkeys((aten._fft_r2c, aten._fft_c2r, aten._fft_c2c), _fourier_flops),
    **dict.fromkeys((aten.mv, aten.addmv, aten.dot, aten.vdot), _vector_flops),
    aten.addbmm: _batched_sum_flops,
}
_MATRIX_PRODUCTS = {aten.mm, aten.addmm, aten.bmm, aten.baddbmm, aten.addbmm,
                    aten.mv, aten.addmv, aten.dot, aten.vdot}  # fmt: skip


class _Counter(TorchDispatchMode):
    """Add the cost of every operator to the stage that runs it."""

    def __init__(self, current_stage: Callable[[], Cost], inputs: tuple):
        super().__init__()
        self.current_stage = current_stage
        self.uncounted: set[str] = set()
        # Storages, by address, whose contents depend on the input.
        self._from_input = set(_addresses(inputs))

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        out = run_operator(func, args, kwargs)
        operator = func._overloadpacket
        name = str(operator).removeprefix('aten.')
        formula = _FORMULAS.get(operator) or (_deformable_flops if name.endswith('deform_conv2d') else None)
        if formula is not None:
            stage = self.current_stage()
            flops = formula(*args, **kwargs, out_val=out)
            kind = self._kind(operator, name, args)
            stage.macs[kind] += flops // 2
            if kind != 'fft':
                stage.activations += tree_leaves(out)[0].numel()
        elif func.namespace not in ('aten', 'prim'):
            self.uncounted.add(name)
        self._follow(args, kwargs, out)
        return out

    def _kind(self, operator, name: str, args: tuple) -> str:
        if operator in _MATRIX_PRODUCTS:
            factors = [a for a in args if isinstance(a, Tensor)][-2:]
            return 'attention' if all(self._depends(factor) for factor in factors) else 'linear'
        if 'fft' in name:
            return 'fft'
        if 'conv' in name:
            return 'convolution'
        return 'linear' if name.endswith('_mm') else 'attention'

    def _depends(self, tensor: Tensor) -> bool:
        return tensor.untyped_storage()._cdata in self._from_input

    def _follow(self, args: tuple, kwargs: dict, out: object) -> None:
        made = set(_addresses(out))
        if any(address in self._from_input for address in _addresses((args, kwargs))):
            self._from_input |= made
        else:
            self._from_input -= made  # the address of a freed tensor


def _addresses(tensors: object) -> list[int]:
    return [t.untyped_storage()._cdata for t in tree_leaves(tensors) if isinstance(t, Tensor)]
