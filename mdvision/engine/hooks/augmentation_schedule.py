"""How strongly the training images are augmented, epoch by epoch."""

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import IterBasedTrainLoop, Runner

from mdvision.datasets.augmentation_schedule import augmentation_probability
from mdvision.datasets.scheduled_transform import ScheduledProbability
from mdvision.errors import UserError, did_you_mean

__all__ = ['AugmentationScheduleHook', 'scheduled_transforms']

_SCHEDULES = ('cosine', 'constant')
# The attributes in which data sets, pipelines and transforms keep what they wrap.
_CHILDREN = ('dataset', 'datasets', 'pipeline', 'transforms', 'inner')


def scheduled_transforms(dataset) -> list[ScheduledProbability]:
    """Return all scheduled transforms of a data set, each once, looking through wrappers."""
    found, seen, waiting = [], set(), [dataset]
    while waiting:
        node = waiting.pop(0)
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, (list, tuple)):
            waiting += node
            continue
        if isinstance(node, ScheduledProbability):
            found.append(node)
        waiting += [getattr(node, name, None) for name in _CHILDREN]
    return found


@HOOKS.register_module()
class AugmentationScheduleHook(Hook):
    """Set the probability of every ``ScheduledProbability`` of the training data before each epoch.

    It depends only on the epoch, so a resumed run continues the curve. It is logged as
    ``augmentation_probability``; if the transforms differ, the largest is logged.

    Args:
        schedule: ``'cosine'``, half a cosine from each transform's ``start`` down to 0 at the end of
            training, as in ``mdvision.datasets.augmentation_schedule``; or ``'constant'``, ``start`` in
            every epoch.

    Raises:
        UserError: if the schedule is unknown, if the training data has no such transform, or for
            ``'cosine'`` in a training loop that does not count epochs.
    """

    def __init__(self, schedule: str = 'cosine'):
        if schedule not in _SCHEDULES:
            raise UserError(
                f'AugmentationScheduleHook: schedule must be one of {_SCHEDULES}, got {schedule!r}.'
                + did_you_mean(str(schedule), _SCHEDULES)
            )
        self.schedule = schedule

    def before_train(self, runner: Runner) -> None:
        """Find the transforms and set them for the next epoch, also after resuming."""
        if self.schedule == 'cosine' and isinstance(runner.train_loop, IterBasedTrainLoop):
            raise UserError(
                "AugmentationScheduleHook: the schedule 'cosine' counts epochs, but the training counts "
                'iterations. Use an epoch-based train_cfg (by_epoch=True, max_epochs=...) or '
                "schedule='constant'."
            )
        self._set(runner)

    def before_train_epoch(self, runner: Runner) -> None:
        """Set the probability before the workers start on the epoch."""
        self._set(runner)

    def _set(self, runner: Runner) -> None:
        # Looked up each time: other hooks may change the pipeline or the data set during the run.
        transforms = scheduled_transforms(runner.train_dataloader.dataset)
        if not transforms:
            raise UserError(
                'AugmentationScheduleHook: the training data set has no scheduled transform. Wrap the one to '
                "schedule in train_dataloader.dataset.pipeline: dict(type='mdvision."
                "ScheduledProbability', start=0.6, transform=dict(...)); or remove the hook from "
                'custom_hooks.'
            )
        for transform in transforms:
            probability = transform.start
            if self.schedule == 'cosine':
                probability = augmentation_probability(runner.epoch, runner.max_epochs, transform.start)
            transform.probability = probability
        greatest = max(transform.probability for transform in transforms)
        runner.message_hub.update_scalar('train/augmentation_probability', greatest)
