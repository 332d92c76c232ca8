"""Check a built run before the first iteration: schedule, learning rate, disk space, classes."""

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config
from mmengine.hooks import LoggerHook
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import nn

from mdvision.checkpoints.preprocessing import check_pipelines
from mdvision.config.learning_rate import effective_batch_size, learning_rate_factor, learning_rate_line
from mdvision.engine.hooks.checkpoint import CheckpointHook
from mdvision.findings import Finding
from mdvision.text import shortlist

__all__ = ['check_classes', 'check_run', 'check_schedule', 'checkpoint_bytes', 'readable_size']

# A learning rate beyond these is hardly intended: ten times the maximum in the recipes of the upstream
# libraries.
_HIGH_RATES = dict(sgd=4.0, adam=0.02, adamw=0.05)
# Numbers that an optimizer stores per weight; 2 for an optimizer that is not listed.
_STATES = dict(sgd=1, adam=2, adamw=2, adagrad=1, rmsprop=1)


def check_run(runner: Runner, work_dir: Path) -> list[Finding]:
    """Find what is odd about learning rate, schedule, pipelines, log and checkpoints of a built run."""
    return [
        *_check_rate(runner),
        *check_schedule(runner.cfg),
        *check_pipelines(runner.cfg),
        *_check_log(runner),
        *_check_disk(runner, work_dir),
    ]


def checkpoint_bytes(runner: Runner) -> int:
    """Return the size of a checkpoint: weights, buffers, and optimizer state of each trained weight."""
    optimizer = (runner.cfg.get('optim_wrapper') or {}).get('optimizer') or {}
    kind = _kind(optimizer).lower()
    states = _STATES.get(kind, 2)
    if kind == 'sgd' and not optimizer.get('momentum'):
        states = 0
    trained = sum(p.numel() * p.element_size() for p in runner.model.parameters() if p.requires_grad)
    return _bytes(runner.model) + states * trained


def _kind(optimizer: dict) -> str:
    """Return the name of an optimizer: ``type`` is that, a path such as ``torch.optim.SGD``, or the class."""
    kind = optimizer.get('type')
    return getattr(kind, '__name__', str(kind)).rsplit('.', 1)[-1]


def _bytes(model: nn.Module) -> int:
    return sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))


def _check_rate(runner: Runner) -> Iterator[Finding]:
    cfg = runner.cfg
    optimizer = (cfg.get('optim_wrapper') or {}).get('optimizer') or {}
    kind, rate = _kind(optimizer), optimizer.get('lr')
    factor, high = learning_rate_factor(cfg, runner.world_size), _HIGH_RATES.get(kind.lower())
    where = 'optim_wrapper.optimizer.lr'
    if rate is not None and high and rate * factor > high:
        scaled = '' if factor == 1 else f' ({rate:g} scaled to the batch size)'
        text = f'{rate * factor:g}{scaled} is more than in any known recipe with {kind} ({high:g})'
        yield Finding('warning', where, text, f'try {high / 10 / factor:.3g} or less')
    if not (cfg.get('auto_scale_lr') or {}).get('base_batch_size'):
        batch = effective_batch_size(cfg, runner.world_size)
        text = (
            f'the config does not say for which batch size this learning rate is; the batch size is {batch}'
        )
        yield Finding('note', where, text, 'add auto_scale_lr = dict(base_batch_size=...)')
    elif line := learning_rate_line(cfg, runner.world_size):
        yield Finding('note', where, line)


def check_schedule(cfg: Config) -> Iterator[Finding]:
    """Find schedules that end before or after the run: most often, they were forgotten."""
    epochs = cfg.train_cfg.get('max_epochs')
    schedulers = cfg.get('param_scheduler') or []
    for index, scheduler in enumerate(schedulers if isinstance(schedulers, list) else [schedulers]):
        if not epochs or not scheduler.get('by_epoch', True):
            continue
        if scheduler.get('T_max') is not None:
            end = scheduler.get('end', scheduler.get('begin', 0) + scheduler.T_max)
            # A schedule that leaves a learning rate above 0 may end early on purpose.
            early = end < epochs and not (scheduler.get('eta_min') or scheduler.get('eta_min_ratio'))
            what, keys = 'cosine schedule', 'T_max and .end'
        else:
            end, early = max(scheduler.get('milestones') or [0]) + 1, False
            what, keys = 'step schedule', 'milestones'
        if end > epochs or early:
            text = f'the {what} ends after epoch {end}, the run after {epochs}'
            yield Finding('note', f'param_scheduler.{index}.{keys}, train_cfg.max_epochs', text)


def _check_log(runner: Runner) -> Iterator[Finding]:
    loop = runner.train_loop
    iterations = len(runner.train_dataloader) if isinstance(loop, EpochBasedTrainLoop) else runner.max_iters
    for hook in runner.hooks:
        if (
            isinstance(hook, LoggerHook)
            and not getattr(hook, '_adapts', False)
            and hook.interval > iterations
        ):
            text = f'{hook.interval} is more than the {iterations} iterations, so no line is logged'
            fix = 'omit it: the interval then follows the length of an epoch'
            yield Finding('warning', 'default_hooks.logger.interval', text, fix)


def _check_disk(runner: Runner, folder: Path) -> Iterator[Finding]:
    hook = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
    if hook is None:
        text = 'nothing is saved: there is no CheckpointHook'
        yield Finding(
            'warning', 'default_hooks.checkpoint', text, "add checkpoint=dict(type='CheckpointHook')"
        )
        return
    length = runner.max_epochs if hook.by_epoch else runner.max_iters
    kept = length // max(hook.interval, 1) if hook.interval > 0 else 0
    if hook.max_keep_ckpts > 0:
        kept = min(kept, hook.max_keep_ckpts)
    # Plus the best ones, and the next one while the oldest still exists.
    kept += len(hook.save_best or ()) + 1
    size = checkpoint_bytes(runner)
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if runner.cfg.get('resume'):  # existing ones are replaced
        free += sum(file.stat().st_size for file in folder.glob('*.pth'))
    text = (
        f'{kept} checkpoints of {readable_size(size)} need {readable_size(kept * size)}; free in {folder}: '
        f'{readable_size(free)}'
    )
    if kept * size > free:
        fix = (
            'free some space, choose another --work-dir, or keep fewer: '
            'default_hooks.checkpoint.max_keep_ckpts=2'
        )
        yield Finding('error', 'disk', text, fix)


def readable_size(count: float) -> str:
    """Format bytes for people."""
    return f'{count / 2**30:.1f} GiB' if count >= 2**30 else f'{count / 2**20:.1f} MiB'


def check_classes(dataset: object) -> list[Finding]:
    """Return how the classes of a training set are distributed; nothing if the data has no known labels."""
    classes = (getattr(dataset, 'metainfo', None) or {}).get('classes')
    if not classes or not hasattr(dataset, 'get_data_info'):
        return []
    counts = Counter()
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        labels = (
            [one.get('bbox_label') for one in info['instances']]
            if 'instances' in info
            else info.get('gt_label')
        )
        counts.update(_labels(labels))
    if not counts:
        return []
    numbers = {name: counts[label] for label, name in enumerate(classes)}
    absent = [name for name, number in numbers.items() if number == 0]
    where, findings = 'train_dataloader.dataset', []
    if absent:
        text = f'{len(absent)} of {len(classes)} classes have no example: {shortlist(absent, 10)}'
        fix = 'add examples, or remove the names from classes and lower num_classes'
        findings.append(Finding('warning', where, text, fix))
    present = sorted((number, name) for name, number in numbers.items() if number)
    (least, rare), (most, frequent) = present[0], present[-1]
    total = sum(numbers.values())
    text = f'{total} examples of {len(classes)} classes: from {least} of {rare} to {most} of {frequent}'
    if most >= 100 * least:
        fix = 'expect little of the rare classes; ClassBalancedDataset repeats their images'
        findings.append(Finding('warning', where, text, fix))
    else:
        findings.append(Finding('note', where, text))
    return findings


def _labels(value: object) -> list[int]:
    if value is None:
        return []
    return [int(one) for one in (value if hasattr(value, '__iter__') else [value]) if one is not None]
