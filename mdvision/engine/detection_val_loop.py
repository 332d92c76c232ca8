"""The validation loop of detectors, with the loss that mmdet computes only in training."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from mmengine.device import is_cuda_available
from mmengine.dist import all_gather_object, get_world_size
from mmengine.evaluator import Evaluator
from mmengine.model import is_model_wrapper
from mmengine.registry import LOOPS
from mmengine.runner import Runner, ValLoop
from mmengine.runner.amp import autocast
from mmengine.structures import BaseDataElement
from torch import nn
from torch.utils.data import DataLoader, Dataset

from mdvision.datasets.wrappers import unwrapped
from mdvision.errors import UserError
from mdvision.upstream import replace_method, restore_method

__all__ = ['DetectionValLoop']

_SWITCH_OFF = 'or leave the validation loss out with val_cfg.loss_images=0'


@LOOPS.register_module()
class DetectionValLoop(ValLoop):
    """Run mmengine's validation loop and compute the loss of the validation images in the same pass.

    The loss is logged as ``val/loss``, its parts as ``val/loss_cls`` and so on. It is what the model's
    ``loss`` returns for the ground-truth boxes, averaged over all processes with each batch weighted by its
    number of images. The model is in evaluation mode (batch norm uses its running statistics, no dropout),
    and no gradient is computed. With averaged weights (EMA), the loss is theirs, as the metrics are. The
    features of an image are computed once for boxes and loss. Proposal samplers draw the same numbers in
    each validation, and the random numbers of the training continue as if none had been drawn: the trained
    weights are the same with and without this loss.

    mmdet divides a loss by what it finds in a batch, such as the number of positive anchors, so the loss
    depends slightly on the batch size. If the images do not divide evenly among the processes, the few that
    are repeated count twice.

    Args:
        runner: as for mmengine's loop, like the next three.
        dataloader: its pipeline has ``LoadAnnotations`` after ``Resize``, so that the ground-truth boxes are
            in pixels of the original image; they are scaled by ``scale_factor``.
        evaluator: the metrics.
        fp16: evaluate in half precision.
        loss_images: compute the loss for about this many images per process, the first ones, in whole
            batches; None for all, 0 for no loss.

    Raises:
        UserError: if the model has no such loss, the pipeline gives no boxes or resizes them, or
            ``loss_images`` is not a count.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        evaluator: Evaluator | dict | list,
        fp16: bool = False,
        loss_images: int | None = None,
    ):
        if loss_images is not None and (type(loss_images) is not int or loss_images < 0):
            raise UserError(
                f'val_cfg.loss_images: expected a number of images, 0 for no validation loss or None for all '
                f'images, got {loss_images!r}.'
            )
        super().__init__(runner, dataloader, evaluator, fp16)
        self.loss_images = loss_images
        self._sums: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        if loss_images != 0:
            _check_model(_unwrapped(runner.model))
            _check_pipelines(self.dataloader.dataset)

    def run(self) -> dict:
        self.runner.call_hook('before_val')
        self.runner.call_hook('before_val_epoch')
        self.runner.model.eval()
        self._sums, self._counts = Counter(), Counter()
        for index, data_batch in enumerate(self.dataloader):
            self.run_iter(index, data_batch)
        metrics = self.evaluator.evaluate(len(self.dataloader.dataset))
        metrics.update(self._mean_losses())
        self.runner.call_hook('after_val_epoch', metrics=metrics)
        self.runner.call_hook('after_val')
        return metrics

    @torch.no_grad()
    def run_iter(self, idx: int, data_batch: dict) -> None:
        self.runner.call_hook('before_val_iter', batch_idx=idx, data_batch=data_batch)
        with autocast(enabled=self.fp16):
            if self.loss_images is None or self._counts['loss'] < self.loss_images:
                outputs = self._boxes_and_loss(idx, data_batch)
            else:
                outputs = self.runner.model.val_step(data_batch)
        self.evaluator.process(data_samples=outputs, data_batch=data_batch)
        self.runner.call_hook('after_val_iter', batch_idx=idx, data_batch=data_batch, outputs=outputs)

    def _boxes_and_loss(self, index: int, data_batch: dict) -> list[BaseDataElement]:
        model = _unwrapped(self.runner.model)
        data = model.data_preprocessor(data_batch, False)
        truth = [_to_input_scale(sample) for sample in data['data_samples']]
        with _cached_features(model):
            outputs = model(**data, mode='predict')
            with _isolated_rng(seed=index):
                losses = model(**dict(data, data_samples=truth), mode='loss')
        _, scalars = model.parse_losses(losses)
        for name, value in scalars.items():
            if 'loss' in name:  # the others are accuracies of the sampled proposals
                self._sums[name] += float(value) * len(truth)
                self._counts[name] += len(truth)
        return outputs

    def _mean_losses(self) -> dict[str, float]:
        """Return the mean losses over the images of all processes; empty if none was requested."""
        of_processes = [(self._sums, self._counts)]
        if get_world_size() > 1:
            of_processes = all_gather_object(of_processes[0])
        names = dict.fromkeys(name for _, counts in of_processes for name in counts)
        sums, counts = zip(*of_processes, strict=True)
        return {name: sum(s[name] for s in sums) / sum(c[name] for c in counts) for name in names}


def _unwrapped(model: nn.Module) -> nn.Module:
    return model.module if is_model_wrapper(model) else model


def _check_model(model: nn.Module) -> None:
    from mmdet.models import BaseDetector  # here, since the loop is registered without mmdet

    if not isinstance(model, BaseDetector):
        raise UserError(
            f"DetectionValLoop computes the loss of mmdet's detectors; the model is {type(model).__name__}. "
            "Use val_cfg = dict(type='ValLoop')."
        )


def _check_pipelines(dataset: Dataset) -> None:
    """Check that the ground-truth boxes are loaded, in pixels of the original image."""
    for one in unwrapped(dataset):
        _check_pipeline(one)


def _check_pipeline(dataset: Dataset) -> None:
    steps = [type(step).__name__ for step in getattr(getattr(dataset, 'pipeline', None), 'transforms', ())]
    if not steps:
        return
    if 'LoadAnnotations' not in steps:
        raise UserError(
            'The validation loss needs ground-truth boxes, but the pipeline of val_dataloader loads none: '
            f"{', '.join(steps)}. Put dict(type='LoadAnnotations', with_bbox=True) after Resize, "
            f'{_SWITCH_OFF}.'
        )
    late = [name for name in steps[steps.index('LoadAnnotations') :] if 'Resize' in name]
    if late:
        raise UserError(
            f'The pipeline of val_dataloader has {late[0]} after LoadAnnotations, so ground-truth boxes are '
            'resized, while predictions are in pixels of the original image: metrics and validation loss '
            f'would be wrong. Put LoadAnnotations after {late[0]}.'
        )


def _to_input_scale(sample: BaseDataElement) -> BaseDataElement:
    """Return the sample as in training: the same image, with its boxes in pixels of the resized image."""
    scale = sample.get('scale_factor')
    if scale is None:
        if sample.ori_shape != sample.img_shape:
            raise UserError(
                f'The validation loss needs scale_factor of image {sample.get("img_id")!r}, which was '
                f"resized from {sample.ori_shape} to {sample.img_shape}. Add 'scale_factor' to meta_keys of "
                f'PackDetInputs in the pipeline of val_dataloader, {_SWITCH_OFF}.'
            )
        scale = (1.0, 1.0)
    scaled = type(sample)(metainfo=sample.metainfo)
    for kind in ('gt_instances', 'ignored_instances'):
        if not hasattr(sample, kind):
            continue
        instances = getattr(sample, kind).clone()
        if 'masks' in instances:
            raise UserError(
                'The validation loss supports boxes only, but the pipeline of val_dataloader also loads '
                f'masks. Remove them, {_SWITCH_OFF}.'
            )
        if 'bboxes' in instances:
            instances.bboxes = instances.bboxes * instances.bboxes.new_tensor([*scale, *scale])
        setattr(scaled, kind, instances)
    return scaled


@contextmanager
def _cached_features(model: nn.Module) -> Iterator[None]:
    """Share the features of a batch between prediction and loss, so that the backbone runs only once."""
    known = []

    def caching(extract: Callable) -> Callable:
        def extract_once(batch_inputs: torch.Tensor) -> object:
            if not known or known[0] is not batch_inputs:
                known[:] = [batch_inputs, extract(batch_inputs)]
            return known[1]

        return extract_once

    replace_method(model, 'extract_feat', caching)
    try:
        yield
    finally:
        restore_method(model, 'extract_feat')


@contextmanager
def _isolated_rng(seed: int) -> Iterator[None]:
    """Draw random numbers from ``seed``; what follows continues as if none had been drawn."""
    before = random.getstate(), np.random.get_state()
    devices = [torch.cuda.current_device()] if is_cuda_available() else []
    try:
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed)
            yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
