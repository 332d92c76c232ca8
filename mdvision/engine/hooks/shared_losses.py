"""The losses of several processes, recorded as their mean."""

from mmengine.dist import all_gather_object, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner

__all__ = ['SharedLossesHook', 'share_losses']


class SharedLossesHook(Hook):
    """Keeps what this process has recorded and the others do not know yet.

    mmengine records and saves the losses of each process for itself. A line of the log is the mean of the
    last iterations; a checkpoint has those of the main process only, from which a resumed run could not tell
    what the line would have been.
    """

    priority = 'HIGH'  # after mmengine has recorded, before the log is written

    def __init__(self):
        self.own: list[dict[str, float]] = []  # by iteration

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        if get_world_size() > 1:
            names = [name for name in outputs or () if 'loss' in name]
            recorded = runner.message_hub.get_scalar
            self.own.append({name: float(recorded(f'train/{name}').current()) for name in names})

    def before_val_epoch(self, runner: Runner) -> None:
        """In a validation a process may be stopped alone."""
        share_losses(runner)


def share_losses(runner: Runner) -> None:
    """Record the mean of all processes instead of the losses of each; call it in all of them.

    A part of the loss that not every process has in an iteration is the mean of those that have it.
    """
    hook = next(hook for hook in runner.hooks if isinstance(hook, SharedLossesHook))
    own, hook.own = hook.own, []
    if get_world_size() == 1 or not own:
        return
    means = []
    for iteration in zip(*all_gather_object(own), strict=True):
        values = {key: [one[key] for one in iteration if key in one] for one in iteration for key in one}
        means.append({key: sum(of_all) / len(of_all) for key, of_all in values.items()})
    for key in dict.fromkeys(key for losses in own for key in losses):
        mine = [mean[key] for mean, losses in zip(means, own, strict=True) if key in losses]
        history, _ = runner.message_hub.get_scalar(f'train/{key}').data
        history[-len(mine) :] = mine
