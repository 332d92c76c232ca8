"""The dtype in which the operators compute, and their gradients through torch's autograd."""

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ['gradients', 'wide']


def wide(tensor: Tensor) -> Tensor:
    """Detach; keep float32 and float64, convert the rest to float32 (torchvision lacks 16-bit kernels)."""
    tensor = tensor.detach()
    return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()


def gradients(
    function: Callable[..., Tensor], inputs: tuple[Tensor, ...], grad_output: Tensor
) -> tuple[Tensor, ...]:
    """Return the gradients of ``function(*inputs)`` for all inputs, given that of its output.

    The function runs once more, since torchvision's backward operators are private. For RoIAlign on a CPU
    that is a sixth of the backward pass.
    """
    inputs = tuple(wide(tensor).requires_grad_() for tensor in inputs)
    with torch.enable_grad():
        output = function(*inputs)
    return torch.autograd.grad(output, inputs, grad_output.to(output))
