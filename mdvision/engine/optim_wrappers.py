"""Optimizer wrappers: mixed precision in bfloat16, for ``--amp bf16``."""

from contextlib import contextmanager

import torch
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn

__all__ = ['BFloat16OptimWrapper']


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Run the forward pass in bfloat16 where torch considers it safe, on GPU or CPU; weights stay float32.

    bfloat16 has the range of float32, so nothing is scaled. mmengine's AmpOptimWrapper supports it too, but
    refuses to be built without a GPU.
    """

    @contextmanager
    def optim_context(self, model: nn.Module):
        with super().optim_context(model), torch.autocast(get_device(), dtype=torch.bfloat16):
            yield
