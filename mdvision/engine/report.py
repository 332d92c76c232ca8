"""What a run leaves behind: the numbers and where they come from, curves, and a sheet of pictures."""

import contextlib
import datetime
import json
import math
import platform
import re
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import mmcv
import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import EMAHook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mdvision.analysis.curves import draw_curves
from mdvision.analysis.detection_plots import (
    draw_confusion_matrix,
    draw_pr_curves,
    write_confusion_matrix,
    write_pr_curves,
)
from mdvision.analysis.prediction_sheet import draw_prediction_sheet
from mdvision.console import say
from mdvision.evaluation import DetectionMetric

from .cpu import available_cores

__all__ = ['hardware_name', 'package_versions', 'write_report']

_PACKAGES = ('mdvision', 'torch', 'torchvision', 'onedl-mmengine', 'onedl-mmcv', 'onedl-mmdetection',
             'onedl-mmpretrain')  # fmt: skip


def write_report(runner: Runner, started: float, command: str, metrics: dict | None = None) -> None:
    """Write results.json, curves.png and, for detectors, the pictures of them to the work dir and name them.

    These are confusion_matrix and pr_curves (.png and .csv) and predictions.png. A test writes no
    curves.png and puts ``test_`` before the other names, so that the files of the training stay.

    Args:
        runner: after training or testing.
        started: ``time.time()`` at the start of the command.
        command: the command line.
        metrics: of a test; after training the last validation's are taken.
    """
    if not is_main_process():
        return
    work_dir = Path(runner.work_dir)
    if metrics is None:
        prefix, loop, metrics = '', runner._val_loop, _last_validation(runner)
    else:
        prefix, loop = 'test_', runner._test_loop
    # The numbers first: a picture that fails must not cost them.
    results = work_dir / f'{prefix}results.json'
    # Of a resumed training with what it took before.
    seconds = time.time() - started + (getattr(runner, 'seconds_before', 0.0) if not prefix else 0.0)
    _write_results(runner, results, metrics, seconds, command)
    written = [results]
    if not prefix:
        # A resumed run goes on where the logs before it ended.
        logs = sorted(p for p in work_dir.glob('*/vis_data/scalars.json') if _is_run(p) and p.stat().st_size)
        written.append(draw_curves(logs, work_dir / 'curves.png'))
    if loop is not None:
        for metric in loop.evaluator.metrics:
            if getattr(metric, 'last_table', ''):
                say('\n' + metric.last_table)
            if isinstance(metric, DetectionMetric) and metric.last_voc is not None:
                written += _write_confusions_and_curves(metric, work_dir, prefix)
        with _averaged_weights(runner):
            sheet = _draw_sheet(runner, loop.dataloader.dataset, work_dir / f'{prefix}predictions.png')
        written += [sheet] if sheet else []
    say('')
    for name, meaning in _HEADLINES.items():
        if name in metrics:
            say(f'{meaning:<44}{metrics[name]:.4f}' + f'   ({name})')
    say(f'{"wall time":<44}{datetime.timedelta(seconds=round(seconds))}')
    for path in written:
        say(f'  {_short(path)}')


def _short(path: Path) -> Path:
    """Relative to where the command was started, if it lies below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


_HEADLINES = {
    'voc12/mAP50': 'mAP at IoU 0.5 (VOC, area)',
    'voc07/mAP50': 'mAP at IoU 0.5 (VOC 2007, 11 points)',
    'coco/bbox_mAP': 'mAP at IoU 0.5:0.95 (COCO, MMDetection)',
    'coco/mAP': 'mAP at IoU 0.5:0.95 (COCO)',
    'accuracy/top1': 'top-1 accuracy (%)',
    'loss': 'validation loss',
}


def _last_validation(runner: Runner) -> dict[str, float]:
    scalars = runner.message_hub.log_scalars
    return {
        name.removeprefix('val/'): buffer.current()
        for name, buffer in scalars.items()
        if name.startswith('val/') and name not in ('val/time', 'val/data_time')
    }


def _is_run(scalars: Path) -> bool:
    return re.fullmatch(r'\d{8}_\d{6}', scalars.parts[-3]) is not None


def _write_confusions_and_curves(metric: DetectionMetric, work_dir: Path, prefix: str) -> list[Path]:
    """Pictures and numbers of the metric's last evaluation, the numbers first."""
    counts, voc, classes = metric.last_confusion, metric.last_voc, metric.dataset_meta['classes']
    confusions, curves = work_dir / f'{prefix}confusion_matrix', work_dir / f'{prefix}pr_curves'
    how = f'score ≥ {metric.confusion_threshold:g}, IoU ≥ 0.5'
    return [
        write_confusion_matrix(counts, classes, confusions.with_suffix('.csv')),
        write_pr_curves(voc, classes, curves.with_suffix('.csv')),
        draw_confusion_matrix(counts, classes, confusions.with_suffix('.png'), how),
        draw_pr_curves(voc, classes, curves.with_suffix('.png'), 'IoU ≥ 0.5 (VOC, area)'),
    ]


@contextlib.contextmanager
def _averaged_weights(runner: Runner):
    """The weights that validation evaluated: mmengine has put those of the training back since."""
    hooks = [hook for hook in runner.hooks if isinstance(hook, EMAHook) and hasattr(hook, 'ema_model')]
    for hook in hooks:
        hook._swap_ema_parameters()
    try:
        yield
    finally:
        for hook in hooks:
            hook._swap_ema_parameters()


def _draw_sheet(runner: Runner, dataset, out_png: Path, count: int = 8) -> Path | None:
    """Ground truth beside prediction for images spread evenly over a detection data set.

    None for data or models that have no boxes.
    """
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    model.eval()
    samples = []
    for index in np.linspace(0, len(dataset) - 1, min(count, len(dataset))).round().astype(int):
        info = dataset.get_data_info(int(index))
        if any('bbox' not in instance for instance in info.get('instances', [{}])):
            return None
        data = dataset[int(index)]
        with torch.no_grad():
            sample = model.test_step(dict(inputs=[data['inputs']], data_samples=[data['data_samples']]))[0]
        if 'pred_instances' not in sample:
            return None
        boxes = [instance['bbox'] for instance in info['instances']]
        samples.append(
            dict(
                image=mmcv.imread(info['img_path'], channel_order='rgb'),
                gt_boxes=np.array(boxes, dtype=float).reshape(-1, 4),
                gt_labels=np.array([instance['bbox_label'] for instance in info['instances']], dtype=int),
                gt_difficult=np.array([bool(i['ignore_flag']) for i in info['instances']], dtype=bool),
                pred_boxes=sample.pred_instances.bboxes.cpu().numpy(),
                pred_scores=sample.pred_instances.scores.cpu().numpy(),
                pred_labels=sample.pred_instances.labels.cpu().numpy(),
                title=str(info['img_id']),
            )
        )
    return draw_prediction_sheet(samples, dataset.metainfo['classes'], out_png, score_thr=0.5)


def _write_results(runner: Runner, path: Path, metrics: dict, seconds: float, command: str) -> None:
    """Every number with what it takes to get it again."""
    numbers = {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in metrics.items()}
    record = dict(
        command=command,
        date=datetime.date.today().isoformat(),
        hardware=hardware_name(),
        processes=runner.world_size,
        seed=runner.seed,
        seconds=round(seconds, 1),
        parameters=sum(p.numel() for p in runner.model.parameters()),
        python=platform.python_version(),
        versions=package_versions(),
        metrics=numbers,
    )
    text = json.dumps(record, indent=2, default=lambda value: getattr(value, 'tolist', value.__str__)())
    path.write_text(text + '\n', encoding='utf-8')


def hardware_name() -> str:
    """The GPU in use, or the processor and its cores."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else _processor()


def package_versions() -> dict[str, str | None]:
    """Of the packages that decide the numbers; None for one that is not installed."""
    return {name: _version(name) for name in _PACKAGES}


def _processor() -> str:
    model = platform.machine()
    with contextlib.suppress(OSError):
        for line in Path('/proc/cpuinfo').read_text().splitlines():
            if line.startswith('model name'):
                model = line.partition(':')[2].strip()
                break
    return f'CPU ({model}), {available_cores()} cores'


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
