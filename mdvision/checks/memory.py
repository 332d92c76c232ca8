"""The memory that a training step wants, counted without computing, against what there is."""

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
    """An estimate of one training step of the whole batch; a note where the model cannot be counted.

    What is counted is in :func:`mdvision.complexity.training_memory.training_bytes`, for images of the size
    of the test pipeline; activations grow with the batch. The state of the optimizer, the workspaces of
    kernels and the data workers come on top.
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
        f'a step of {batch} images wants about {readable_size(wanted)}, without the optimizer and kernels; '
        f'{place} has {readable_size(there)}'
    )
    if wanted <= there:
        return [Finding('note', 'memory', text)]
    fix = 'lower train_dataloader.batch_size, and sum gradients with optim_wrapper.accumulative_counts'
    return [Finding('warning', 'memory', text, fix)]
