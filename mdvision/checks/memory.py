"""Compare the memory of a training step, counted without computing, with the available memory."""

import os
from collections.abc import Sequence

import torch
from mmengine.config import Config
from mmengine.device import is_cuda_available

from mdvision.errors import UserError
from mdvision.findings import Finding

from .run import readable_size

__all__ = ['check_memory']


def check_memory(config: str, overrides: Sequence[str], cfg: Config) -> list[Finding]:
    """Estimate one training step of the whole batch; return a note if the model cannot be counted.

    See :func:`mdvision.complexity.training_memory.training_bytes` for what is included, with images of the
    size of the test pipeline; activations grow with the batch. Optimizer state, kernel workspaces and data
    workers come on top.
    """
    from mdvision.complexity.report import report_on_config

    try:
        counted = report_on_config(config, None, overrides).complexity
    except (UserError, RuntimeError, NotImplementedError, TypeError) as error:
        reason = str(error).splitlines()[0][:150]
        return [Finding('note', 'memory', f'the model cannot be counted without computing: {reason}')]
    if counted.training_bytes is None:
        return []
    weights = 4 * (counted.params + counted.trainable_params)  # with their gradients
    batch = cfg.train_dataloader.get('batch_size', 1)
    wanted = weights + max(counted.training_bytes - weights, 0) * batch
    if is_cuda_available():
        there, place = torch.cuda.get_device_properties(0).total_memory, torch.cuda.get_device_name()
    else:
        there, place = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES'), 'this machine'
    text = (
        f'a step of {batch} images needs about {readable_size(wanted)}, without the optimizer and kernels; '
        f'{place} has {readable_size(there)}'
    )
    if wanted <= there:
        return [Finding('note', 'memory', text)]
    fix = 'lower train_dataloader.batch_size, and accumulate gradients with optim_wrapper.accumulative_counts'
    return [Finding('warning', 'memory', text, fix)]
