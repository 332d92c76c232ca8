"""Measure the speed of training steps fairly: all variants in one session, taking turns."""

import copy
import gc
import statistics
import time
from collections.abc import Sequence

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

__all__ = ['batch_of', 'measure']

ROUNDS = 7
ROUNDS_IF_SLOW = 3
SLOW = 2.0  # seconds per step
BURST = 0.2  # seconds of steps timed in one go


def batch_of(cfg: Config) -> int:
    """Return the number of images per training step of one process."""
    loader = cfg.train_dataloader
    return loader.get('batch_size') or (loader.get('batch_sampler') or {}).get('batch_size', 1)


def measure(
    names: Sequence[str], configs: Sequence[Config], images: Sequence[list | None], device: torch.device
) -> list[dict]:
    """Time the forward and backward pass of each model on random images.

    Every round times each variant once, so that a machine that slows down slows all of them. Models wait on
    the CPU, so that the memory of one does not include another's.

    Args:
        images: channels, height and width per model; None if unknown.

    Returns:
        ``images_per_second`` (from the median of the rounds) and, on a GPU, ``memory`` in bytes per model;
        ``problem`` if a step fails.
    """
    print(f'measuring speed on {device.type}')
    steps, results = [], []
    for name, cfg, image in zip(names, configs, images, strict=True):
        try:
            if image is None:
                raise ValueError('the size of its images is not known')
            step = _Step(cfg, image, device)
            step.warm_up()
            results.append(dict(memory=step.memory))
        except Exception as error:
            print(f'  {name}: not measured, {type(error).__name__}: {error}')
            step = None
            results.append(dict(problem=f'{type(error).__name__}: {error}'))
        _free(device)
        steps.append(step)
    working = [step for step in steps if step]
    rounds = ROUNDS if all(step.seconds < SLOW for step in working) else ROUNDS_IF_SLOW
    times = [[] for _ in steps]
    for _ in range(rounds):
        for step, taken in zip(steps, times, strict=True):
            if step:
                taken.append(step.time())
                _free(device)
    for step, taken, result in zip(steps, times, results, strict=True):
        if step:
            result['images_per_second'] = step.batch / statistics.median(taken)
    return results


def _free(device: torch.device) -> None:
    gc.collect()
    if device.type == 'cuda':
        torch.cuda.empty_cache()


def _half_of(wrapper: dict) -> torch.dtype | None:
    """Return the dtype of a run's forward pass in mixed precision; None for float32."""
    kind = str(wrapper.get('type'))
    if 'BFloat16' in kind:
        return torch.bfloat16
    if 'Amp' not in kind:
        return None
    dtype = wrapper.get('dtype') or torch.float16
    return getattr(torch, dtype) if isinstance(dtype, str) else dtype


class _Step:
    """A training step of one model, without the optimizer and data loading."""

    def __init__(self, cfg: Config, image: Sequence[int], device: torch.device):
        self.scope = cfg.get('default_scope') or 'mmengine'
        self.batch, self.device = batch_of(cfg), device
        self.half = _half_of(cfg.get('optim_wrapper') or {})
        self.benchmark = bool((cfg.get('env_cfg') or {}).get('cudnn_benchmark'))
        init_default_scope(self.scope)
        self.model: nn.Module = MODELS.build(copy.deepcopy(cfg.model)).train()
        generator = torch.Generator().manual_seed(0)
        self.images = torch.randn(self.batch, *image, generator=generator)
        self.seconds, self.count, self.memory = 0.0, 1, None

    def warm_up(self) -> None:
        """Find how long a step takes and, on a GPU, how much memory it needs."""
        self._take_out()
        self._run()
        if self.device.type == 'cuda':
            torch.cuda.reset_peak_memory_stats()
        self.seconds = self._timed(1)
        if self.device.type == 'cuda':
            self.memory = torch.cuda.max_memory_allocated()
        self.count = max(1, min(50, round(BURST / self.seconds)))
        self._put_away()

    def time(self) -> float:
        """Return the seconds of one step."""
        self._take_out()
        if self.seconds < SLOW:
            self._run()  # back in the caches
        taken = self._timed(self.count)
        self._put_away()
        return taken

    def _take_out(self) -> None:
        self.model.to(self.device)
        self.images = self.images.to(self.device)

    def _put_away(self) -> None:
        self.model.zero_grad(set_to_none=True)
        self.model.cpu()
        self.images = self.images.cpu()

    def _timed(self, count: int) -> float:
        self._wait()
        started = time.perf_counter()
        for _ in range(count):
            self._run()
        self._wait()
        return (time.perf_counter() - started) / count

    def _wait(self) -> None:
        if self.device.type == 'cuda':
            torch.cuda.synchronize()

    def _run(self) -> None:
        torch.backends.cudnn.benchmark = self.benchmark
        init_default_scope(self.scope)
        self.model.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, dtype=self.half, enabled=self.half is not None):
            loss = self._detector_loss() if self.scope == 'mmdet' else self._sum_of_outputs()
        loss.backward()

    def _sum_of_outputs(self) -> Tensor:
        arguments = dict(mode='tensor') if self.scope == 'mmpretrain' else {}
        return _sum(self.model(self.images, **arguments))

    def _detector_loss(self) -> Tensor:
        return _sum(self.model.loss(self.images, _boxes(self.model, self.images)))


def _sum(outputs: object) -> Tensor:
    return sum(t.float().sum() for t in tree_leaves(outputs) if isinstance(t, Tensor) and t.requires_grad)


def _boxes(model: nn.Module, images: Tensor, count: int = 5) -> list:
    """Place a few boxes on every image, so that all parts of the loss have something to do."""
    from mmdet.structures import DetDataSample

    height, width = images.shape[-2:]
    shape = dict.fromkeys(('img_shape', 'ori_shape', 'pad_shape', 'batch_input_shape'), (height, width))
    counts = [getattr(module, 'num_classes', None) for module in model.modules()]
    classes = min((count for count in counts if isinstance(count, int)), default=1)
    samples = []
    for index in range(len(images)):
        generator = torch.Generator().manual_seed(index)
        corner = torch.rand(count, 2, generator=generator) * 0.6
        boxes = torch.cat([corner, corner + 0.1 + 0.3 * torch.rand(count, 2, generator=generator)], dim=1)
        boxes = (boxes * torch.tensor([width, height, width, height])).to(images.device)
        labels = torch.randint(max(1, classes), (count,), generator=generator).to(images.device)
        sample = DetDataSample(metainfo=dict(img_id=index, scale_factor=(1.0, 1.0), **shape))
        sample.gt_instances = InstanceData(bboxes=boxes, labels=labels)
        sample.ignored_instances = InstanceData(bboxes=boxes[:0], labels=labels[:0])
        samples.append(sample)
    return samples
