"""Gradient accumulation: gradients that no update has applied yet are kept in checkpoints."""

from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner
from torch import nn

__all__ = ['PendingGradientsHook', 'share_pending_gradients']


class PendingGradientsHook(Hook):
    """Keep gradients that no update has applied yet in checkpoints.

    With ``accumulative_counts=4`` and epochs of 10 iterations, the checkpoint at the end of the first epoch
    holds those of its last two iterations. mmengine loses them when the run is resumed.
    """

    priority = 'VERY_HIGH'

    def after_train_epoch(self, runner: Runner) -> None:
        """Average the pending gradients, so that what the main process saves next holds for all processes."""
        share_pending_gradients(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if 'optimizer' in checkpoint and _are_pending(runner):
            checkpoint['gradients'] = {
                name: parameter.grad.detach().cpu()
                for name, parameter in _model(runner).named_parameters()
                if parameter.grad is not None
            }

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        gradients = checkpoint.get('gradients') if runner.resuming else None
        for name, parameter in _model(runner).named_parameters() if gradients else ():
            if name in gradients:
                parameter.grad = gradients[name].to(parameter)


def share_pending_gradients(runner: Runner) -> None:
    """Give every process the mean over all, which leaves the update unchanged; call it in all of them."""
    if get_world_size() == 1 or not _are_pending(runner):
        return
    for parameter in _model(runner).parameters():
        if parameter.requires_grad:
            if parameter.grad is None:
                parameter.grad = parameter.new_zeros(parameter.shape)
            all_reduce(parameter.grad, op='mean')


def _are_pending(runner: Runner) -> bool:
    wrapper = runner.optim_wrapper
    wrappers = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
    return any(one.inner_count and not one.should_update() for one in wrappers)


def _model(runner: Runner) -> nn.Module:
    return runner.model.module if is_model_wrapper(runner.model) else runner.model
