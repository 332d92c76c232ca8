"""The files written at the end of a run: results.json, curves, confusion matrix, sheet of predictions."""

import contextlib
import datetime
import json
import math
import platform
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

import mmcv
import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import EMAHook
from mmengine.logging import MMLogger
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop, Runner

from mdvision.console import say
from mdvision.engine.hooks.csv_log import read_log
from mdvision.errors import UserError
from mdvision.evaluation import DetectionMetric
from mdvision.evaluation.headlines import MEANINGS
from mdvision.inference.from_run import write_model_of_run
from mdvision.provenance import command_line, hardware_name, package_versions
from mdvision.visualization.curves import draw_curves
from mdvision.visualization.detection_plots import (
    draw_confusion_matrix,
    draw_pr_curves,
    write_confusion_matrix,
    write_pr_curves,
)
from mdvision.visualization.prediction_sheet import draw_prediction_sheet
from mdvision.work_dir.files import CONFUSIONS, CURVES, METRICS, MODEL, PR_CURVES, PREDICTIONS, RESULTS, TEST

__all__ = ['report_test', 'report_training']


def report_training(runner: Runner, started: float) -> None:
    """After a training: write results.json, curves.png and figures of the last validation to the work dir.

    The figures of a detector are confusion_matrix and pr_curves (.png and .csv) and predictions.png.

    Args:
        runner: that has trained.
        started: ``time.time()`` at the start of the command.
    """
    if not is_main_process():
        return
    # Of a resumed training with what it took before.
    started -= getattr(runner, 'seconds_before', 0.0)
    curves = {Path(runner.work_dir) / CURVES: partial(_draw_curves, runner)}
    _report(runner, started, _last_validation(runner), runner.val_loop, '', curves)
    _write_model(runner)


def report_test(runner: Runner, started: float, metrics: dict[str, float]) -> None:
    """After a test: the same but curves, under names with ``test_``, so that the training's files stay.

    Args:
        runner: that has tested.
        started: ``time.time()`` at the start of the command.
        metrics: what the test measured.
    """
    if is_main_process():
        _report(runner, started, metrics, runner.test_loop, TEST, {})


def _report(
    runner: Runner,
    started: float,
    metrics: dict[str, float],
    loop: BaseLoop | None,
    prefix: str,
    writers: dict[Path, Callable],
) -> None:
    """Numbers first: a figure that fails must not cost them. Then figures, and all of it named."""
    work_dir, seconds = Path(runner.work_dir), time.time() - started
    written = [work_dir / f'{prefix}{RESULTS}']
    _write_results(runner, written[0], metrics, seconds)
    for metric in loop.evaluator.metrics if loop is not None else ():
        if getattr(metric, 'last_table', ''):
            say('\n' + metric.last_table)
        if isinstance(metric, DetectionMetric) and metric.last_voc is not None:
            writers |= _confusions_and_curves(metric, work_dir, prefix)
    if loop is not None:
        writers |= {
            work_dir / f'{prefix}{PREDICTIONS}': partial(_draw_sheet, runner, loop.dataloader.dataset)
        }
    written += [path for path, write in writers.items() if _write(path, write)]
    say('')
    for name, meaning in MEANINGS.items():
        if name in metrics:
            say(f'{meaning:<44}{metrics[name]:.4f}' + f'   ({name})')
    say(f'{"wall time":<44}{datetime.timedelta(seconds=round(seconds))}')
    for path in written:
        say(f'  {_short(path)}')


def _short(path: Path) -> Path:
    """Relative to where the command was started, if it lies below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _last_validation(runner: Runner) -> dict[str, float]:
    """Of the weights that the training ended with; none where an earlier validation was the last."""
    validated = getattr(runner.train_loop, 'position', {}).get('validated', runner.iter)
    if validated != runner.iter:
        before = f'after iteration {validated}' if validated else 'never'
        say(
            f'note: the last validation was {before}, the training ended after {runner.iter}: results.json '
            'has no metrics (train_cfg.val_interval and val_begin say when to validate)'
        )
        return {}
    scalars = runner.message_hub.log_scalars
    return {
        name.removeprefix('val/'): buffer.current()
        for name, buffer in scalars.items()
        if name.startswith('val/') and name not in ('val/time', 'val/data_time')
    }


def _write(path: Path, write: Callable[[Path], Path | None]) -> bool:
    """Whether there is such a picture now. One that fails is said; its run is none the worse for it."""
    try:
        return write(path) is not None
    except Exception as error:
        say(f'warning: {path.name} could not be written: {type(error).__name__}: {error}')
        MMLogger.get_current_instance().info(traceback.format_exc())
        return False


def _write_model(runner: Runner) -> None:
    """Write the model file, and say what to do with it; where that fails, the checkpoints are still there."""
    try:
        files = write_model_of_run(runner)
    except UserError as error:
        say(f'note: no {MODEL}: {error}')
        return
    except Exception as error:
        say(f'warning: {MODEL} could not be written: {type(error).__name__}: {error}')
        MMLogger.get_current_instance().info(traceback.format_exc())
        return
    for path in files:
        say(f'  {_short(path)}')
    if files:
        say(f'predict with it: python tools/infer.py {_short(files[1].parent)} IMAGES')


def _draw_curves(runner: Runner, out_png: Path) -> Path:
    # Written by every run, whatever its charts are, and gone on with by resumed ones.
    rows = read_log(Path(runner.work_dir) / METRICS, runner.log_processor.by_epoch)
    return draw_curves(*rows, out_png)


def _confusions_and_curves(metric: DetectionMetric, work_dir: Path, prefix: str) -> dict[Path, Callable]:
    """What to write of the metric's last evaluation, the numbers first."""
    counts, voc, classes = metric.last_confusion, metric.last_voc, metric.dataset_meta['classes']
    confusions, curves = work_dir / f'{prefix}{CONFUSIONS}', work_dir / f'{prefix}{PR_CURVES}'
    how = f'score ≥ {metric.confusion_threshold:g}, IoU ≥ 0.5'
    return {
        confusions.with_suffix('.csv'): partial(write_confusion_matrix, counts, classes),
        curves.with_suffix('.csv'): partial(write_pr_curves, voc, classes),
        confusions.with_suffix('.png'): partial(draw_confusion_matrix, counts, classes, note=how),
        curves.with_suffix('.png'): partial(draw_pr_curves, voc, classes, note='IoU ≥ 0.5 (VOC, area)'),
    }


@contextlib.contextmanager
def _averaged_weights(runner: Runner):
    """The weights that validation evaluated: mmengine has put those of the training back since."""
    hooks = [hook for hook in runner.hooks if isinstance(hook, EMAHook) and hasattr(hook, 'ema_model')]
    for hook in hooks:
        hook.before_val_epoch(runner)
    try:
        yield
    finally:
        for hook in hooks:
            hook.after_val_epoch(runner)


def _draw_sheet(runner: Runner, dataset, out_png: Path, count: int = 8) -> Path | None:
    """Ground truth beside prediction for images spread evenly over a detection data set.

    None for data or models that have no boxes.
    """
    classes = (getattr(dataset, 'metainfo', None) or {}).get('classes')
    if not classes or not hasattr(dataset, 'get_data_info'):
        return None
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    model.eval()
    samples = []
    for index in np.linspace(0, len(dataset) - 1, min(count, len(dataset))).round().astype(int):
        info = dataset.get_data_info(int(index))
        if any('bbox' not in instance for instance in info.get('instances', [{}])):
            return None
        data = dataset[int(index)]
        with _averaged_weights(runner), torch.no_grad():
            sample = model.test_step(dict(inputs=[data['inputs']], data_samples=[data['data_samples']]))[0]
        if 'pred_instances' not in sample:
            return None
        boxes = [instance['bbox'] for instance in info['instances']]
        samples.append(
            dict(
                image=_as_loaded(dataset, int(index)),
                gt_boxes=np.array(boxes, dtype=float).reshape(-1, 4),
                gt_labels=np.array([instance['bbox_label'] for instance in info['instances']], dtype=int),
                gt_difficult=np.array([bool(i['ignore_flag']) for i in info['instances']], dtype=bool),
                pred_boxes=sample.pred_instances.bboxes.cpu().numpy(),
                pred_scores=sample.pred_instances.scores.cpu().numpy(),
                pred_labels=sample.pred_instances.labels.cpu().numpy(),
                title=str(info['img_id']),
            )
        )
    return draw_prediction_sheet(samples, classes, out_png, score_thr=0.5)


def _as_loaded(dataset, index: int) -> np.ndarray:
    """(H, W, 3) uint8 RGB: the image as the pipeline loads it, turned by its EXIF tag or not."""
    results = dataset.get_data_info(index)
    for transform in dataset.pipeline.transforms:
        results = transform(results)
        if 'img' in results:
            image = results['img'].clip(0, 255).astype(np.uint8)
            return mmcv.gray2rgb(image) if image.ndim == 2 else image[..., ::-1]
    raise UserError('The pipeline of the data set loads no image.')


def _write_results(runner: Runner, path: Path, metrics: dict, seconds: float) -> None:
    """Every number with what it takes to get it again."""
    numbers = {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in metrics.items()}
    record = dict(
        command=command_line(),
        date=datetime.date.today().isoformat(),
        hardware=hardware_name(),
        processes=runner.world_size,
        seed=runner.seed,
        seconds=round(seconds, 1),
        parameters=sum(p.numel() for p in runner.model.parameters()),
        python=platform.python_version(),
        versions=package_versions(),
        metrics=numbers,
        bad_images=getattr(runner, 'bad_images', []),
    )
    text = json.dumps(record, indent=2, default=lambda value: getattr(value, 'tolist', value.__str__)())
    path.write_text(text + '\n', encoding='utf-8')
