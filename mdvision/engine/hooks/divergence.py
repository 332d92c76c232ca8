"""Stopping before a loss or a gradient that is not finite reaches the weights."""

import functools
import math
from collections.abc import Callable, Iterator, Mapping

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner
from torch import Tensor, nn

from mdvision.errors import UserError
from mdvision.upstream import replace_method, restore_method

__all__ = ['DivergedError', 'DivergenceHook']

# Consecutive updates that a loss scaler may skip: starting from 65,536, its scale is then below 1e-10.
MOST_SKIPPED = 50
SHOWN = 16  # images of a batch in the message

_ADVICE = (
    'Usual causes: a learning rate too high (optim_wrapper.optimizer.lr), no warm-up, no '
    'optim_wrapper.clip_grad, half precision, or one of these images. --resume continues from the last '
    'checkpoint, with the changes you make to the config.'
)


class DivergedError(UserError):
    """A loss or gradient of this process, or of another process of the run, became NaN or infinite."""


class DivergenceHook(Hook):
    """Check every loss before its gradients are computed, and the gradients before every update.

    A finite loss can have gradients that are not, for example with the square root of 0. Gradients that
    overflow under the loss scaler of half precision are skipped by it and do not count, unless it skips
    every update. Several processes stop after the same iteration: they agree before each update.
    """

    priority = 'VERY_HIGH'

    def __init__(self):
        self._guarded: list[OptimWrapper] = []
        self._terms: Mapping[str, Tensor] = {}
        self._images: list[str] = []  # since the last update
        self._bad_loss: str | None = None
        self._skipped = 0

    def before_run(self, runner: Runner) -> None:
        wrapper = runner.optim_wrapper
        wrappers = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
        for one in wrappers:
            if isinstance(one, OptimWrapper) and not any(one is other for other in self._guarded):
                self._guarded.append(one)
                self._guard(runner, one)

    def before_train(self, runner: Runner) -> None:
        model = _unwrapped(runner)
        parse = getattr(model, 'parse_losses', None)
        if parse is None or hasattr(parse, '__wrapped__'):
            return

        replace_method(model, 'parse_losses', self._remembering)

    def after_train(self, runner: Runner) -> None:
        restore_method(_unwrapped(runner), 'parse_losses')

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        self._images += _images(data_batch)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        self._terms = {}  # they keep the graph of the iteration alive

    def _remembering(self, parse: Callable) -> Callable:
        @functools.wraps(parse)
        def parse_and_remember(*args, **kwargs):
            loss, self._terms = parse(*args, **kwargs)
            return loss, self._terms

        return parse_and_remember

    def _guard(self, runner: Runner, wrapper: OptimWrapper) -> None:
        def guarding_update(update_params: Callable) -> Callable:
            @functools.wraps(update_params)
            def guarded_update(loss: Tensor, *args, **kwargs) -> None:
                if not torch.isfinite(loss.detach()).all():
                    self._bad_loss = self._describe_loss(loss.detach(), runner.iter + 1)
                    if get_world_size() == 1:
                        raise self._error(runner, self._bad_loss)
                update_params(loss, *args, **kwargs)

            return guarded_update

        def guarding_step(step: Callable) -> Callable:
            # Schedulers look for their counter on the step, an attribute that wraps() copies.
            @functools.wraps(step)
            def guarded_step(**kwargs) -> None:
                self._check_gradients(runner, wrapper)
                step(**kwargs)
                self._images = []

            return guarded_step

        replace_method(wrapper, 'update_params', guarding_update)
        replace_method(wrapper, 'step', guarding_step)

    def _check_gradients(self, runner: Runner, wrapper: OptimWrapper) -> None:
        gradients = list(_gradients(wrapper))
        if not gradients:
            return
        largest = torch.nn.utils.get_total_norm(gradients, norm_type=math.inf)
        spoilt_loss = torch.tensor(self._bad_loss is not None, device=largest.device)
        bad = torch.stack([~torch.isfinite(largest), spoilt_loss]).int()
        if get_world_size() > 1:
            all_reduce(bad, 'max')
        bad_gradient, bad_loss = (bool(value) for value in bad.tolist())
        if bad_loss:
            other = f'The loss of another process is not finite, at or before iteration {runner.iter + 1}'
            raise self._error(runner, self._bad_loss or other)
        scaler = getattr(wrapper, 'loss_scaler', None)
        scaled = scaler is not None and scaler.is_enabled()
        self._skipped = self._skipped + 1 if bad_gradient else 0
        if bad_gradient and (not scaled or self._skipped > MOST_SKIPPED):
            raise self._error(runner, self._describe_gradients(runner, scaled))

    def _describe_loss(self, loss: Tensor, iteration: int) -> str:
        terms = {name: value.detach() for name, value in self._terms.items() if name != 'loss'}
        values = {name: float(value) for name, value in terms.items() if value.numel() == 1}
        spoilt = [f'{name} is {value}' for name, value in values.items() if not math.isfinite(value)]
        sound = [f'{name} {value:.4g}' for name, value in values.items() if math.isfinite(value)]
        which = f': {", ".join(spoilt)}' if spoilt else ''
        rest = f' (finite: {", ".join(sound)})' if spoilt and sound else ''
        return f'The loss became {loss.item()} at iteration {iteration}{which}{rest}'

    def _describe_gradients(self, runner: Runner, scaled: bool) -> str:
        named = [(name, p) for name, p in _unwrapped(runner).named_parameters() if p.grad is not None]
        spoilt = [name for name, p in named if not _finite(_values(p.grad))]
        loss = self._terms.get('loss')
        while_loss = '' if loss is None else f' (the loss is {float(loss.detach()):.4g})'
        often = f', as in the {MOST_SKIPPED} updates before it' if scaled else ''
        where = f'in {len(spoilt)} of {len(named)} parameters, the first {spoilt[0]}' if spoilt else ''
        where += f', the last {spoilt[-1]}' if len(spoilt) > 1 else ''
        return (
            f'The gradient of a finite loss became NaN or infinite at iteration {runner.iter + 1}{while_loss}'
            f'{often}: {where or "in parameters outside the modules of the model"}'
        )

    def _error(self, runner: Runner, what: str) -> DivergedError:
        images = list(dict.fromkeys(self._images))
        most = SHOWN if runner.begun else len(images)  # the log of a first iteration is not kept
        more = f' and {len(images) - most} more (all of them in the log file)' if len(images) > most else ''
        if more:
            runner.logger.info(f'images since the last update: {", ".join(images)}')
        shown = f' Images since the last update: {", ".join(images[:most])}{more}.' if images else ''
        return DivergedError(f'{what}.{shown} {_state_of_weights(_unwrapped(runner))} {_ADVICE}')


def _unwrapped(runner: Runner) -> nn.Module:
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def _values(gradient: Tensor) -> Tensor:
    return gradient._values() if gradient.is_sparse else gradient


def _gradients(wrapper: OptimWrapper) -> Iterator[Tensor]:
    for group in wrapper.optimizer.param_groups:
        for parameter in group['params']:
            if parameter.grad is not None and _values(parameter.grad).numel():
                yield _values(parameter.grad)


def _finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(torch.isfinite(tensor).all())


def _state_of_weights(model: nn.Module) -> str:
    """Describe the state of the model after the iteration."""
    weights = [name for name, p in model.named_parameters() if not _finite(p.detach())]
    statistics = [name for name, buffer in model.named_buffers() if not _finite(buffer)]
    if weights:
        return (
            f'{len(weights)} weight tensors already contain NaN or infinity, the first {weights[0]}: an '
            'earlier update corrupted them. Nothing was saved from this iteration.'
        )
    also = ''
    if statistics:
        also = f', but {len(statistics)} running statistics include the batch (the first {statistics[0]})'
    return f'The weights are still those of the last good iteration{also}; nothing was saved from this one.'


def _images(batch: object) -> list[str]:
    """Return the names of the images in a batch of any nesting, as far as its samples have them."""
    if isinstance(batch, Mapping):
        if isinstance(batch.get('img_path'), str):
            return [batch['img_path']]
        return [name for value in batch.values() for name in _images(value)]
    if isinstance(batch, list | tuple):
        return [name for value in batch for name in _images(value)]
    if isinstance(batch, Tensor) or not hasattr(batch, 'metainfo'):
        return []
    known = batch.metainfo
    if known.get('img_path'):
        return [str(known['img_path'])]
    number = known.get('img_id', known.get('sample_idx'))
    return [] if number is None else [f'image {number}']
