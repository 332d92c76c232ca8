"""What the console shows of a run: mdvision's lines, warnings and errors; the log file has everything."""

import contextlib
import importlib
import io
import logging
import sys
import warnings

from mmengine.dist import is_main_process
from mmengine.logging import MMLogger

__all__ = [
    'ConsoleFilter',
    'current_logger',
    'import_upstream',
    'outlive_readers',
    'quiet_third_parties',
    'say',
]

# Warnings of the upstream libraries about their own code, which users neither cause nor can change.
_UPSTREAM_NOISE = (
    'FileClient',
    'HardDiskBackend',
    'save_param_scheduler',
    'resume_param_scheduler',
    'faster_coco_eval',
    'torch.jit.',
    'Fail to import ``MultiScaleDeformableAttention``',
    'pkg_resources',
    'torch.meshgrid',
    'Skip building ema model',
    'Resumed iteration number is not divisible',  # the gradients are in our checkpoints
)


def current_logger() -> MMLogger | None:
    """The logger of the run; None before there is one.

    Asking mmengine for it would make one named ``mmengine``, as do upstream messages before the run.
    """
    logger = MMLogger.get_current_instance() if MMLogger._instance_dict else None
    return None if logger is None or logger.instance_name == 'mmengine' else logger


def say(message: str) -> None:
    """Show a message on the console and write it to the log file of the run (main process only)."""
    logger = current_logger()
    if logger is not None:
        logger.info(message, extra={'for_console': True})
    elif is_main_process():  # no run yet, so no log file
        print(message, flush=True)


class ConsoleFilter(logging.Filter):
    """Lets through all errors, warnings that concern the user, progress lines, and what :func:`say` said."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if record.levelno >= logging.ERROR:
            return True
        if record.levelno >= logging.WARNING:
            return not any(noise in text for noise in _UPSTREAM_NOISE)
        if getattr(record, 'for_console', False):
            return True
        return record.module == 'logger_hook' and not text.startswith('Exp name')


class _Unread(io.FileIO):
    """A file whose writing cannot fail: what cannot be written is dropped."""

    def write(self, data) -> int | None:
        try:
            return super().write(data)
        except OSError:
            return len(data)


def outlive_readers() -> None:
    """Let standard output and error never end a run: it continues when nobody can read them any more.

    The program behind a pipe may have ended (``2>&1 | tee log`` and Ctrl-C, which ends both), the
    terminal may be closed, the file be on a full disk. The log file of the run has every line.
    """
    for name in ('stdout', 'stderr'):
        stream = getattr(sys, name)
        # Not one that was put there in its place, as tests and notebooks do.
        if stream is None or stream is not getattr(sys, f'__{name}__'):
            continue
        with contextlib.suppress(OSError):
            stream.flush()
        lasting = io.BufferedWriter(_Unread(stream.fileno(), 'w', closefd=False))
        setattr(sys, name, io.TextIOWrapper(
            lasting, encoding=stream.encoding, errors=stream.errors, line_buffering=True,
        ))  # fmt: skip


def quiet_third_parties() -> None:
    """Silence deprecation warnings of torch and the upstream libraries, which users cannot act on.

    Warnings raised from mdvision's own modules stay visible.
    """
    for category in (DeprecationWarning, FutureWarning):
        warnings.filterwarnings('ignore', category=category)
        warnings.filterwarnings('default', category=category, module=r'mdvision\b')
    for noise in _UPSTREAM_NOISE:
        warnings.filterwarnings('ignore', message=f'.*{noise.replace("(", ".")}')


def import_upstream(scope: str) -> None:
    """Import an upstream library's data sets and models, without what it prints about its optional parts.

    Args:
        scope: ``'mmdet'`` or ``'mmpretrain'``, the ``default_scope`` of a config.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        for part in ('datasets', 'models'):
            importlib.import_module(f'{scope}.{part}')
