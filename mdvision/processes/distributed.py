"""Several processes, on GPUs (NCCL) or on CPU cores (gloo)."""

import atexit
import datetime
import os
import re
import sys
from typing import NoReturn

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.dist import init_dist
from torch import nn

from mdvision.errors import UserError

__all__ = ['finish_distributed', 'launcher_of', 'leave', 'local_processes', 'prepare_distributed']

# Seconds that a process waits for the others if the config does not say.
_TIMEOUT = 600


def launcher_of(choice: str) -> str:
    """Return the launcher to use; torchrun is recognized by the variables it sets.

    Otherwise ``torchrun tools/train.py CONFIG`` would start independent runs that write to the same folder.
    """
    if choice == 'none' and int(os.environ.get('WORLD_SIZE', '1')) > 1 and 'RANK' in os.environ:
        return 'pytorch'
    if choice == 'pytorch' and 'RANK' not in os.environ:
        raise UserError(
            '--launcher pytorch expects to be started by torchrun, which sets RANK and WORLD_SIZE. '
            'Use tools/dist_train.sh CONFIG PROCESSES, or omit --launcher for a single process.'
        )
    return choice


def local_processes(launcher: str) -> int:
    """Return the number of training processes on this machine."""
    return 1 if launcher == 'none' else int(os.environ.get('LOCAL_WORLD_SIZE', '1'))


def prepare_distributed(cfg: Config, launcher: str, on_gpu: bool) -> None:
    """Prepare the config for several processes and start the process group.

    The group is started here and not in mmengine's runner, which leaves a running group alone: the code
    before the runner must know which process it is in, and mmengine requests a CUDA device even on CPU.

    ``env_cfg.dist_cfg.timeout`` is how many seconds a process waits for the others, 600 by default.
    """
    cfg.launcher = launcher
    if launcher == 'none':
        return
    # Batch-norm statistics differ between processes; average them before they are used.
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), dict(type='mmengine.SyncBuffersHook')]
    timeout = _timeout(cfg)
    if on_gpu:
        if local_processes(launcher) > torch.cuda.device_count():
            raise UserError(
                f'{local_processes(launcher)} processes were requested, but this machine has '
                f'{torch.cuda.device_count()} GPUs: use one process per GPU. Use --device cpu for CPU '
                'processes.'
            )
        init_dist(launcher, backend='nccl', timeout=timeout.total_seconds())
        return
    if launcher != 'pytorch':
        raise UserError(f'--launcher {launcher} needs GPUs; on CPU use --launcher pytorch.')
    try:
        dist.init_process_group('gloo', timeout=timeout)
    except dist.DistNetworkError as error:
        if 'EADDRINUSE' not in str(error):
            raise
        raise UserError(
            f'The port {os.environ.get("MASTER_PORT")}, where the processes meet, is in use. Choose another '
            'with the variable PORT (torchrun: --master-port), or omit it on one machine.'
        ) from error
    wrapper = dict(type='MMDistributedDataParallel', broadcast_buffers=False)
    wrapper['find_unused_parameters'] = cfg.get('find_unused_parameters', False)
    cfg.model_wrapper_cfg = {**wrapper, **(cfg.get('model_wrapper_cfg') or {}), 'device_ids': None}


def _timeout(cfg: Config) -> datetime.timedelta:
    seconds = ((cfg.get('env_cfg') or {}).get('dist_cfg') or {}).get('timeout', _TIMEOUT)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        raise UserError(f'env_cfg.dist_cfg.timeout: expected seconds, a number above 0, got {seconds!r}.')
    return datetime.timedelta(seconds=seconds)


def raise_unused_parameters(model: nn.Module, error: Exception) -> None:
    """Raise a UserError that names the parameters for whose gradients all processes wait in vain.

    torch reports their indices, in the iteration after the one in which they had no gradient.
    """
    found = re.search(r'did not receive grad for rank \d+: ([\d ]+)', str(error))
    if found is None:
        return
    names = [name for name, value in model.module.named_parameters() if value.requires_grad]
    unused = [names[int(number)] for number in found[1].split()]
    raise UserError(
        f'The loss does not depend on {len(unused)} parameters: {", ".join(unused[:12])}'
        f'{", ..." if len(unused) > 12 else ""}. Several processes then wait for their gradients. Remove '
        'these parts from the model or freeze them, or set find_unused_parameters = True in the config.'
    ) from error


def finish_distributed() -> None:
    """Wait for the others and close the group; without this, a successful run may end in an abort."""
    if dist.is_available() and dist.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        dist.barrier()
        dist.destroy_process_group()


def leave(status: int) -> NoReturn:
    """End this process; if it is one of several, without running interpreter shutdown.

    The group's threads live as long as anything refers to it, such as the wrapped model. If the last tensor
    is released during interpreter shutdown, the process sometimes ends with "terminate called without an
    active exception" (status 134), after all the work was done.
    """
    if int(os.environ.get('WORLD_SIZE', '1')) == 1:
        sys.exit(status)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
