"""The model file of a training: its best weights, and what is known about them."""

import datetime
import math
from pathlib import Path

from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from mdvision.checkpoints.reading import read_checkpoint
from mdvision.datasets.fingerprint import fingerprint
from mdvision.engine.hooks.csv_log import read_rows
from mdvision.provenance import command_line, git_state, hardware_name, package_versions
from mdvision.work_dir.files import LAST_CHECKPOINT, METRICS
from mdvision.work_dir.model_file import describe, write_model

__all__ = ['write_model_of_run']


def write_model_of_run(runner: Runner) -> list[Path]:
    """Write ``model.safetensors`` and ``model.json`` of the best checkpoint to the work directory.

    Where no metric chose a best one, it is the last one; where none was saved, nothing is written.

    Args:
        runner: that has trained.

    Returns:
        the files.

    Raises:
        UserError: the run is of neither a classifier nor a detector, or does not say its classes.
    """
    file, best = _checkpoint_of(runner)
    dataset = None if runner.val_loop is None else runner.val_loop.dataloader.dataset
    if file is None or dataset is None:
        return []
    checkpoint = read_checkpoint(str(file))
    meta = checkpoint['meta']
    work_dir = Path(runner.work_dir)
    classes = (meta.get('dataset_meta') or {}).get('classes') or (
        getattr(dataset, 'metainfo', None) or {}
    ).get('classes')
    description = describe(runner.cfg, tuple(classes or ()), work_dir.resolve().name)
    return write_model(
        work_dir,
        description,
        checkpoint['state_dict'],
        checkpoint=dict(file=file.name, epoch=meta.get('epoch'), iter=meta.get('iter'), chosen_by=best),
        preprocessing=meta.get('preprocessing'),
        metrics=_metrics(work_dir, meta),
        validation=dict(images=len(dataset), fingerprint=fingerprint(dataset)),
        provenance=dict(
            command=command_line(),
            date=datetime.date.today().isoformat(),
            seed=runner.seed,
            hardware=hardware_name(),
            versions=package_versions(),
            git=git_state(),
        ),
    )


def _checkpoint_of(runner: Runner) -> tuple[Path | None, str | None]:
    """Return the best checkpoint, and the metric that chose it; or the last one."""
    for hook in runner.hooks:
        if not isinstance(hook, CheckpointHook):
            continue
        indicators = hook.key_indicators if hook.save_best else []
        paths = (
            [hook.best_ckpt_path]
            if len(indicators) == 1
            else [*getattr(hook, 'best_ckpt_path_dict', {}).values()]
        )
        for name, path in zip(indicators, paths, strict=False):
            if path and Path(path).is_file():
                return Path(path), name
    pointer = Path(runner.work_dir, LAST_CHECKPOINT)
    last = Path(pointer.read_text(encoding='utf-8').strip()) if pointer.is_file() else None
    return (last, None) if last is not None and last.is_file() else (None, None)


def _metrics(work_dir: Path, meta: dict) -> dict[str, float | None]:
    """Return what the validation of these weights measured."""
    for row in reversed(read_rows(work_dir / METRICS)):
        if row['phase'] == 'val' and row['iter'] == str(meta.get('iter')):
            skipped = ('phase', 'epoch', 'iter', 'time', 'data_time')
            numbers = {key: float(value) for key, value in row.items() if value and key not in skipped}
            return {key: value if math.isfinite(value) else None for key, value in numbers.items()}
    return {}
