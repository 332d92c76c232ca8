"""A run that writes nothing into its folder before its first iteration has succeeded."""

import logging
import shutil
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.visualization import Visualizer
from torch import nn

from mdvision.upstream import expect, replace_method, restore_method
from mdvision.work_dir.files import TEST, config_header

__all__ = ['PatientRunner']


class PatientRunner(Runner):
    """mmengine's runner, except that it leaves the work dir alone until there is something to write.

    mmengine's own runner writes log, config and charts there when it is built; a failed start then leaves the
    folder of an earlier run in a mess. Here, the log begins in a temporary folder. It moves when the first
    training iteration is done, when a validation or a test begins, or when the first checkpoint is written.
    A failed start leaves nothing behind.

    Attributes:
        make_room: called once by the main process before anything is written, with the name of the run's
            own log folder.
        begun: whether the runner writes into the work dir; what it logs before that is lost if the start
            fails.
    """

    make_room: Callable[[str], None] = staticmethod(lambda own: None)

    def __init__(self, model: nn.Module | dict, work_dir: str, *args, **kwargs):
        self.begun = False
        self._real_work_dir = str(Path(work_dir).absolute())
        self._waiting_room = tempfile.mkdtemp(prefix='mdvision_start_')
        weakref.finalize(self, shutil.rmtree, self._waiting_room, ignore_errors=True)
        super().__init__(model, self._waiting_room, *args, **kwargs)

    def build_visualizer(self, visualizer: Visualizer | dict | None = None) -> Visualizer:
        expect(self, '_work_dir', '_log_dir')
        # The log, which needs a file right away, has been built. From here on, the folders are the real ones.
        self._work_dir = self._real_work_dir
        self._log_dir = str(Path(self._work_dir) / self.timestamp)
        built = super().build_visualizer(visualizer)
        # The config is the first thing it is given to write; it gets it when the run begins.
        replace_method(built, 'add_config', lambda _: _write_nothing)
        return built

    def dump_config(self) -> None:
        """Do nothing when the runner is built: :meth:`begin` writes the config."""

    def register_hooks(self, default_hooks: dict | None = None, custom_hooks: list | None = None) -> None:
        super().register_hooks(default_hooks, custom_hooks)
        self.register_hook(_BeginHook())

    def save_checkpoint(self, *args, **kwargs) -> None:
        self.begin()
        super().save_checkpoint(*args, **kwargs)

    def begin(self, prefix: str = '') -> None:
        """Make room in the work dir and begin to write there; only the first call does anything.

        Args:
            prefix: prepended to the name of the config.
        """
        if self.begun:
            return
        self.begun = True
        if is_main_process():
            self.make_room(self.timestamp)
        log_dir = Path(self._log_dir)
        log_dir.mkdir(parents=True, exist_ok=True)
        for handler in self.logger.handlers:
            if isinstance(handler, logging.FileHandler):
                _move_log(handler, Path(self._waiting_room), log_dir)
        shutil.rmtree(self._waiting_room, ignore_errors=True)
        if is_main_process():
            self._write_config(prefix)
        restore_method(self.visualizer, 'add_config')
        self.visualizer.add_config(self.cfg)

    def _write_config(self, prefix: str) -> None:
        name = Path(self.cfg.filename).name if self.cfg.filename else f'{self.timestamp}.py'
        text = config_header(self.cfg.filename) + self.cfg.pretty_text
        (Path(self._work_dir) / f'{prefix}{name}').write_text(text, encoding='utf-8')


def _write_nothing(config: Config) -> None:
    """Replace ``Visualizer.add_config``."""


def _move_log(handler: logging.FileHandler, waiting_room: Path, folder: Path) -> None:
    """Continue the log in a file of the same name in another folder, keeping what was logged so far."""
    before = Path(handler.baseFilename)
    if not before.is_relative_to(waiting_room.resolve()) and not before.is_relative_to(waiting_room):
        return  # two runs with the same name in the same second: mmengine gives them the same logger
    handler.close()
    after = folder / before.name
    with after.open('ab') as file:
        file.write(before.read_bytes())
    handler.baseFilename, handler.mode = str(after), 'a'  # opened again with the next line


class _BeginHook(Hook):
    priority = 'HIGHEST'  # everything that other hooks write comes after it

    def after_train_iter(self, runner: PatientRunner, *args, **kwargs) -> None:
        runner.begin()

    def before_val(self, runner: PatientRunner) -> None:
        runner.begin()

    def before_test(self, runner: PatientRunner) -> None:
        runner.begin(TEST)

    def after_train(self, runner: PatientRunner) -> None:
        runner.begin()
