"""Several processes, on GPUs (NCCL) or on CPU cores (gloo)."""

import datetime
import os

import torch
import torch.distributed as dist
from mmengine.config import Config

from mdvision.errors import UserError

__all__ = ['finish_distributed', 'launcher_of', 'local_processes', 'prepare_distributed']


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
    """Set the config up for several processes, and start gloo where there is no GPU.

    mmengine's own start asks for a CUDA device, so on CPU the process group is made here: its
    runner then leaves it alone.
    """
    cfg.launcher = launcher
    if launcher == 'none':
        return
    # Batch-norm statistics differ from process to process; average them before they are used.
    cfg.setdefault('custom_hooks', []).append(dict(type='mmengine.SyncBuffersHook'))
    timeout = datetime.timedelta(minutes=timeout_minutes)
    if on_gpu:
        cfg.env_cfg.setdefault('dist_cfg', {}).setdefault('timeout', int(timeout.total_seconds()))
        return
    if launcher != 'pytorch':
        raise UserError(f'--launcher {launcher} needs GPUs; on CPU use --launcher pytorch.')
    dist.init_process_group('gloo', timeout=timeout)
    cfg.model_wrapper_cfg = dict(
        type='MMDistributedDataParallel',
        device_ids=None,
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False),
    )


def finish_distributed() -> None:
    """Wait for the others and close the group; without it a successful run may end in an abort."""
    if dist.is_available() and dist.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        dist.barrier()
        dist.destroy_process_group()
