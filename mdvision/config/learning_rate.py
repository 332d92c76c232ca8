"""The batch size that a learning rate is for, and the effective batch size of a run."""

from mmengine.config import Config

__all__ = ['effective_batch_size', 'learning_rate_factor', 'learning_rate_line']


def effective_batch_size(cfg: Config, processes: int) -> int:
    """Return the effective batch size: images per update, over all processes and accumulated iterations."""
    batch = (cfg.get('train_dataloader') or {}).get('batch_size') or 1
    return batch * processes * ((cfg.get('optim_wrapper') or {}).get('accumulative_counts') or 1)


def learning_rate_factor(cfg: Config, processes: int) -> float:
    """Return by what the learning rate of the config is multiplied: 1 if it is not scaled."""
    auto = cfg.get('auto_scale_lr') or {}
    if not auto.get('enable') or not auto.get('base_batch_size'):
        return 1.0
    return effective_batch_size(cfg, processes) / auto['base_batch_size']


def learning_rate_line(cfg: Config, processes: int) -> str | None:
    """Say what happens to the learning rate if the effective batch size is not the one it is for."""
    auto = cfg.get('auto_scale_lr') or {}
    base, batch = auto.get('base_batch_size'), effective_batch_size(cfg, processes)
    if not base or batch == base:
        return None
    line = f'the learning rate is for a batch of {base}; with {batch} it is '
    if not auto.get('enable'):
        return line + 'not scaled because auto_scale_lr.enable=False'
    return line + f'multiplied by {learning_rate_factor(cfg, processes):g}'
