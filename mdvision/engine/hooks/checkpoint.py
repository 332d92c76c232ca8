"""Checkpoints that are complete or absent: a run that is killed while it writes loses nothing."""

import inspect
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook as HostHook
from mmengine.runner import Runner

from mdvision.console import say
from mdvision.engine.train_loop import EpochLoop, IterLoop
from mdvision.errors import UserError, did_you_mean
from mdvision.evaluation.direction import is_lower_better
from mdvision.upstream import expect
from mdvision.work_dir.files import INTERRUPTED

from .accumulation import share_pending_gradients
from .shared_losses import share_losses

__all__ = ['CheckpointHook', 'write_atomically']

# Overridden below: if mmengine renamed them, the overrides would not be called.
expect(HostHook, '_init_rule', '_save_best_checkpoint', '_save_checkpoint_with_step')


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file under a temporary name in the same folder, and rename it when it is on disk.

    Raises:
        UserError: the disk is full or not writable; the attempt leaves nothing behind.
    """
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    try:
        write(temporary)
        with temporary.open('rb+') as file:  # Windows does not flush files that are open for reading only
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(
            f'{path} could not be written: {error}. Earlier checkpoints are intact; free some space and '
            'continue with --resume.'
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _rule(metric: str) -> str | None:
    """Return whether a lower or a higher value of a metric is better, by its name.

    Raises:
        UserError: the name does not tell.
    """
    if metric == 'auto':  # the first metric of the first validation
        return None
    lower = is_lower_better(metric)
    if lower is None:
        raise UserError(
            f'default_hooks.checkpoint.save_best={metric!r}: the name does not tell whether higher or lower '
            "is better. Set default_hooks.checkpoint.rule='greater' or 'less'."
        )
    return 'less' if lower else 'greater'


class CheckpointHook(HostHook):
    """mmengine's hook, with these differences.

    * A superseded checkpoint is deleted once its successor is complete, not before.
    * A misspelled argument is an error at the start; in mmengine it is one only at the first save.
    * The error for a ``save_best`` that no metric has lists the existing metrics; whether higher or lower is
      better follows from the name.
    * Checkpoints are deleted only in the folder of the run.
    * The checkpoint before a validation is rewritten after it. Until then it records that the validation is
      still due, so that a run killed during the validation makes up for it.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        known = set(inspect.signature(HostHook.__init__).parameters)
        for name in self.args:
            raise UserError(f'CheckpointHook has no argument {name!r}.{did_you_mean(name, known)}')
        usual = 'epoch_{}.pth' if self.by_epoch else 'iter_{}.pth'
        for name, given in (('out_dir', self.out_dir), ('filename_tmpl', self.filename_tmpl)):
            if given not in (None, usual):
                raise UserError(
                    f'default_hooks.checkpoint.{name}={given!r}: checkpoints are {usual} in the work dir, '
                    'where --resume finds them and the next run sets them aside. Omit this key; to move the '
                    'whole run to another folder, use --work-dir.'
                )
        self._before_validation: tuple[int, dict] | None = None  # what was saved, if a validation is due
        self._trains = False  # with a loop that knows its position

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        outdated = []
        if self.max_keep_ckpts > 0:
            # mmengine deletes nothing for a step that is already in its list.
            if not self.keep_ckpt_ids or self.keep_ckpt_ids[-1] != step:
                self.keep_ckpt_ids.append(step)
            # Includes the outdated ones: if the run is killed before it deletes them, the resumed run does.
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
            while len(self.keep_ckpt_ids) > self.max_keep_ckpts:
                outdated.append(self.keep_ckpt_ids.popleft())
        share_pending_gradients(runner)
        share_losses(runner)
        due = getattr(runner.train_loop, 'position', {}).get('validate_first')
        self._before_validation = (step, dict(meta)) if due else None
        super()._save_checkpoint_with_step(runner, step, meta)
        for old in outdated:
            self._delete(self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(old)))
        # There is a newer checkpoint now.
        self._delete(str(Path(runner.work_dir) / INTERRUPTED))

    def _init_rule(self, rules: list[str | None], key_indicators: list[str]) -> None:
        """Do as mmengine does, but derive the rule from the name of the metric if the config gives none."""
        rules = rules * len(key_indicators) if len(rules) == 1 else rules
        pairs = zip(rules, key_indicators, strict=True)
        super()._init_rule([rule or _rule(name) for rule, name in pairs], key_indicators)

    def before_train(self, runner: Runner) -> None:
        self._trains = isinstance(runner.train_loop, EpochLoop | IterLoop)
        self._map_best_paths(runner)
        # Here mmengine deletes surplus checkpoints, before the first iteration of a resumed run.
        kept = runner.message_hub.runtime_info.pop('keep_ckpt_ids', [])
        super().before_train(runner)
        if self.max_keep_ckpts > 0:
            self.keep_ckpt_ids = deque(kept)
            runner.message_hub.update_info('keep_ckpt_ids', list(kept))
        if getattr(runner.train_loop, 'position', {}).get('validate_first'):
            # The resumed checkpoint; after the validation it is written as it would have been.
            step, last = (
                (runner.epoch, runner.max_epochs) if self.by_epoch else (runner.iter, runner.max_iters)
            )
            regular = self.interval > 0 and step >= self.save_begin
            if (regular and (step - self.save_begin) % self.interval == 0) or (
                self.save_last and step == last
            ):
                self._before_validation = step, dict(epoch=runner.epoch, iter=runner.iter)

    def after_val_epoch(self, runner: Runner, metrics: dict) -> None:
        """Save the best, and rewrite the checkpoint of this position, to record the validation."""
        if not self._trains:
            super().after_val_epoch(runner, metrics)
            return
        runner.train_loop.validated()
        # While this is None, mmengine does not rewrite the last checkpoint for each new best.
        last, self.last_ckpt = self.last_ckpt, None
        super().after_val_epoch(runner, metrics)
        self.last_ckpt = last
        if self._before_validation:
            self._save_checkpoint_with_step(runner, *self._before_validation)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        for name in self.save_best or ():
            if name != 'auto' and name not in metrics:
                numbers = [key for key, value in metrics.items() if isinstance(value, int | float)]
                raise UserError(
                    f'default_hooks.checkpoint.save_best={name!r}: the validation has no such metric.'
                    f'{did_you_mean(name, set(numbers))} It has: {", ".join(numbers[:12])}.'
                )
        if not self.save_best:
            return
        before = self._best_paths()
        # mmengine does not delete what it does not know.
        self._set_best_paths(dict.fromkeys(before))
        super()._save_best_checkpoint(runner, metrics)
        after = self._best_paths()
        self._set_best_paths({key: after[key] or path for key, path in before.items()})
        for key, path in before.items():
            if path and after[key] and path != after[key]:
                self._delete(path)

    def _map_best_paths(self, runner: Runner) -> None:
        """Map the best checkpoint of a resumed run to the file of that name in this folder, if it exists.

        The stored path is absolute and may lead into the folder of another run, the one that was resumed or
        copied. If the file is missing, the search for the best checkpoint starts over.
        """
        stored = runner.message_hub.runtime_info
        for key in [key for key in stored if key == 'best_ckpt' or key.startswith('best_ckpt_')]:
            name = Path(stored[key]).name
            if (Path(runner.work_dir) / name).is_file():
                runner.message_hub.update_info(key, str(Path(runner.work_dir) / name))
                continue
            stored.pop(key)
            stored.pop(key.replace('best_ckpt', 'best_score'), None)
            say(f'note: {name} is not in {runner.work_dir}; the search for the best checkpoint starts over')

    def _best_paths(self) -> dict[str, str | None]:
        if len(self.key_indicators) == 1:
            return {'': self.best_ckpt_path}
        return dict(self.best_ckpt_path_dict)

    def _set_best_paths(self, paths: dict[str, str | None]) -> None:
        if len(self.key_indicators) == 1:
            self.best_ckpt_path = paths['']
        else:
            self.best_ckpt_path_dict.update(paths)

    def _delete(self, path: str) -> None:
        if is_main_process() and self.file_backend.isfile(path):
            self.file_backend.remove(path)
