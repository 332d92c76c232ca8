"""Several processes, on GPUs (NCCL) or on CPU cores (gloo)."""

import atexit
import datetime
import os
import sys
from typing import NoReturn

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.dist import init_dist

from mdvision.errors import UserError

__all__ = ['finish_distributed', 'launcher_of', 'leave', 'local_processes', 'prepare_distributed']


def launcher_of(choice: str) -> str:
    """The launcher to use; torchrun is recognised by the variables it sets.

    Without that, ``torchrun tools/train.py CONFIG`` would start independent trainings that write
    into the same folder.
    """
    if choice == 'none' and int(os.environ.get('WORLD_SIZE', '1')) > 1 and 'RANK' in os.environ:
        return 'pytorch'
    if choice == 'pytorch' and 'RANK' not in os.environ:
        raise UserError(
            '--launcher pytorch expects to be started by torchrun, which sets RANK and WORLD_SIZE. '
            'Use tools/dist_train.sh CONFIG PROCESSES, or leave --launcher out for one process.'
        )
    return choice


def local_processes(launcher: str) -> int:
    """Training processes on this machine."""
    return 1 if launcher == 'none' else int(os.environ.get('LOCAL_WORLD_SIZE', '1'))


def prepare_distributed(cfg: Config, launcher: str, on_gpu: bool, timeout_minutes: float = 10) -> None:
    """Set the config up for several processes and start the process group.

    It is started here and not in mmengine's runner, which leaves a running group alone: what comes
    before the runner must know which process it is, and mmengine asks for a CUDA device on CPU too.
    """
    cfg.launcher = launcher
    if launcher == 'none':
        return
    # Batch-norm statistics differ from process to process; average them before they are used.
    cfg.setdefault('custom_hooks', []).append(dict(type='mmengine.SyncBuffersHook'))
    timeout = datetime.timedelta(minutes=timeout_minutes)
    if on_gpu:
        if local_processes(launcher) > torch.cuda.device_count():
            raise UserError(
                f'{local_processes(launcher)} processes were asked for, but this machine has '
                f'{torch.cuda.device_count()} GPUs: one process a GPU. Use --device cpu for CPU processes.'
            )
        init_dist(launcher, backend='nccl', timeout=int(timeout.total_seconds()))
        return
    if launcher != 'pytorch':
        raise UserError(f'--launcher {launcher} needs GPUs; on CPU use --launcher pytorch.')
    dist.init_process_group('gloo', timeout=timeout)
    wrapper = dict(type='MMDistributedDataParallel', broadcast_buffers=False)
    wrapper['find_unused_parameters'] = cfg.get('find_unused_parameters', False)
    cfg.model_wrapper_cfg = {**wrapper, **(cfg.get('model_wrapper_cfg') or {}), 'device_ids': None}


def finish_distributed() -> None:
    """Wait for the others and close the group; without it a successful run may end in an abort."""
    if dist.is_available() and dist.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        dist.barrier()
        dist.destroy_process_group()


def leave(status: int) -> NoReturn:
    """End this process; one of several without taking the interpreter apart.

    The group's threads live on as long as anything refers to it, such as the wrapped model. One that gives
    up its last tensor while Python is taken apart ends the process with "terminate called without an
    active exception" (status 134), now and then, after all the work was done.
    """
    if int(os.environ.get('WORLD_SIZE', '1')) == 1:
        sys.exit(status)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
