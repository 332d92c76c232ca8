"""mmengine's runner, with a console for people and no silent faults."""

import logging

import torch
from mmengine.logging import MMLogger
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner as HostRunner
from mmengine.runner.checkpoint import _load_checkpoint

from mdvision.console import ConsoleFilter, say
from mdvision.errors import UserError

from .checkpoint import load_weights, read_checkpoint
from .progress import ProgressLog

__all__ = ['DivergedError', 'Runner']


class DivergedError(UserError):
    """The loss of this process became NaN or infinite."""


class Runner(HostRunner):
    """The OpenMMLab runner; what differs is only what happens around a step.

    * The console shows our lines and warnings; environment, config and the rest go to the log file.
    * Checkpoints are read safely and must match: whole for testing and resuming, at least
      ``min_match`` of the tensors when training starts from one.
    * A loss that is not finite stops the run before it reaches the weights.
    """

    min_match = 1.0

    def build_logger(self, *args, **kwargs) -> MMLogger:
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
                handler.addFilter(ConsoleFilter())
                handler.setFormatter(logging.Formatter('%(message)s'))
        return logger

    def build_log_processor(self, log_processor):
        if isinstance(log_processor, dict) and log_processor.get('type', 'LogProcessor') == 'LogProcessor':
            settings = {k: v for k, v in log_processor.items() if k not in ('type', '_scope_')}
            return ProgressLog(**settings)
        return super().build_log_processor(log_processor)

    def build_optim_wrapper(self, optim_wrapper) -> OptimWrapper | OptimWrapperDict:
        if isinstance(optim_wrapper, OptimWrapper | OptimWrapperDict):
            return optim_wrapper  # built and guarded before: resuming asks again
        wrapper = super().build_optim_wrapper(optim_wrapper)
        for one in wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]:
            self._guard_updates(one)
        return wrapper

    def _guard_updates(self, wrapper: OptimWrapper) -> None:
        """Stop before an update with a loss that is NaN or infinite."""
        update = wrapper.update_params

        def update_params(loss: torch.Tensor, *args, **kwargs) -> None:
            if not torch.isfinite(loss.detach()).all():
                raise DivergedError(
                    f'The loss became {loss.detach().item()} at iteration {self.iter + 1}; the weights are '
                    'still those of the last good iteration and nothing was saved from this one. Usual '
                    'causes: a learning rate too high (optim_wrapper.optimizer.lr), no warm-up, no '
                    'optim_wrapper.clip_grad, or half precision.'
                )
            update(loss, *args, **kwargs)

        wrapper.update_params = update_params

    def load_checkpoint(self, filename: str, map_location='cpu', strict: bool = True, **kwargs) -> dict:
        """Read ``filename`` safely, load it into the model and say how much matched.

        Raises:
            UserError: when the file is damaged or too little of it matches.
        """
        if '://' in filename:  # a model zoo: mmengine knows how to fetch it, through our safe loader
            checkpoint = _load_checkpoint(filename, map_location=map_location)
            checkpoint = checkpoint if 'state_dict' in checkpoint else dict(state_dict=checkpoint)
        else:
            checkpoint = read_checkpoint(filename, map_location)
        # mmengine would execute this text when resuming.
        checkpoint.setdefault('meta', {}).pop('config', None)
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        model = self.model.module if is_model_wrapper(self.model) else self.model
        matched = load_weights(model, checkpoint, filename, self.min_match)
        self._check_classes(checkpoint, filename)
        self._has_loaded = True
        say(f'{filename}: {matched}')
        return checkpoint

    def _check_classes(self, checkpoint: dict, filename: str) -> None:
        """The class names of the checkpoint must be those of the data, in the same order."""
        trained = (checkpoint['meta'].get('dataset_meta') or {}).get('classes')
        for loop in (self._train_loop, self._test_loop):
            dataset = getattr(getattr(loop, 'dataloader', None), 'dataset', None)
            classes = (getattr(dataset, 'metainfo', None) or {}).get('classes')
            if trained and classes and tuple(trained) != tuple(classes) and self.min_match == 1.0:
                raise UserError(
                    f'Checkpoint {filename} was trained on the classes {tuple(trained)}, the data set of the '
                    f'config has {tuple(classes)}: names and order must be the same, or every label is wrong.'
                )
