"""The losses of several processes, recorded as their mean."""

from mmengine.dist import all_gather_object, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner

__all__ = ['SharedLossesHook', 'share_losses']


class SharedLossesHook(Hook):
    """Keep the losses that this process has recorded and not yet shared.

    mmengine records losses separately in each process. A log line shows the mean of the last iterations; a
    checkpoint has only the losses of the main process, from which a resumed run could not reproduce it.
    """

    priority = 'HIGH'  # after mmengine records, before the log is written

    def __init__(self):
        self.own: list[dict[str, float]] = []  # by iteration

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        if get_world_size() > 1:
            names = [name for name in outputs or () if 'loss' in name]
            recorded = runner.message_hub.get_scalar
            self.own.append({name: float(recorded(f'train/{name}').current()) for name in names})

    def before_val_epoch(self, runner: Runner) -> None:
        """Share before validation, in which a process may be stopped alone."""
        share_losses(runner)


def share_losses(runner: Runner) -> None:
    """Record the mean of all processes instead of the losses of each; call it in all of them.

    A loss term that not every process has in an iteration is averaged over those that have it.
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
