"""Files that cannot be written: a full disk ends a run with its work saved, if possible."""

import contextlib
import errno
import logging
import sys
import threading
from collections.abc import Callable, Iterator

from mmengine.runner import Runner

from mdvision.upstream import replace_method

__all__ = [
    'describe_unwritable',
    'naming_the_folder',
    'note_failures_of_log_files',
    'noted_failures',
    'quiet_chart_threads',
]

_CAUSES = {errno.ENOSPC, errno.EFBIG, errno.EROFS, errno.EIO, getattr(errno, 'EDQUOT', errno.ENOSPC)}


def describe_unwritable(error: Exception) -> str | None:
    """Return what could not be written and why; None for other errors."""
    if not isinstance(error, OSError) or error.errno not in _CAUSES:
        return None
    return f'{error.filename or "A file"} could not be written: [Errno {error.errno}] {error.strerror}.'


@contextlib.contextmanager
def naming_the_folder(folder: str) -> Iterator[None]:
    """Name the folder in errors: the system does not say which file could not be written."""
    try:
        yield
    except OSError as error:
        if error.errno in _CAUSES:
            error.filename = error.filename or f'A file in {folder}'
        raise


@contextlib.contextmanager
def noted_failures(runner: Runner) -> Iterator[None]:
    """Record in ``runner.log_failure`` that a log cannot be written.

    The iteration finishes first: to be saved, it must have completed all of its steps, including the
    schedule's.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _CAUSES:
            raise
        error.filename = error.filename or f'A file in {runner.work_dir}'
        runner.log_failure = runner.log_failure or error


def note_failures_of_log_files(runner: Runner, logger: logging.Logger) -> None:
    """Like :func:`noted_failures`, for lines of the log file; logging would print a traceback for each."""

    def noting(file: logging.FileHandler) -> Callable:
        def handle_error(record: logging.LogRecord) -> None:
            error = sys.exc_info()[1]
            if isinstance(error, OSError) and error.errno in _CAUSES:
                error.filename = file.baseFilename
                runner.log_failure = runner.log_failure or error
            else:
                logging.FileHandler.handleError(file, record)

        return handle_error

    for handler in logger.handlers:
        if isinstance(handler, logging.FileHandler):
            replace_method(handler, 'handleError', lambda _, handler=handler: noting(handler))


def quiet_chart_threads() -> None:
    """Silence TensorBoard's thread: it passes its error to the next call; the traceback only repeats it."""
    shown = threading.excepthook

    def show(args) -> None:
        if not (
            type(args.thread).__module__.startswith('tensorboard') and describe_unwritable(args.exc_value)
        ):
            shown(args)

    threading.excepthook = show
