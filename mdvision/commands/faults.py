"""The error message and the exit status of a command; a traceback only with ``--debug``."""

import argparse
import contextlib
import logging
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterator

from mdvision.config.fault_places import explain
from mdvision.console import current_logger, outlive_readers, quiet_third_parties
from mdvision.engine.hooks.interruption import Interrupted
from mdvision.errors import UserError
from mdvision.processes.distributed import finish_distributed
from mdvision.processes.peers import announce_end, describe_lost, says_it_first
from mdvision.processes.signals import ending_at_once
from mdvision.work_dir.full_disk import describe_unwritable, quiet_chart_threads

__all__ = ['run']


def run(command: Callable[[argparse.Namespace], None], args: argparse.Namespace) -> int:
    """Run ``command`` and turn faults into one readable message; returns the exit status."""
    outlive_readers()
    quiet_third_parties()
    quiet_chart_threads()
    try:
        with ending_at_once():
            command(args)
            finish_distributed()
    except UserError as error:
        if args.debug:
            raise
        if says_it_first(str(error)):
            _complain(str(error))
        announce_end('error')
        return 1
    except Interrupted as stopped:
        return 128 + stopped.signal  # as a shell reports a process that such a signal ended
    except (KeyboardInterrupt, Exception) as error:
        # mmengine makes a syntax error of the config of whatever is raised while it is written.
        if stopped := _in_chain(error, lambda one: isinstance(one, KeyboardInterrupt)):
            number = getattr(stopped, 'signal', signal.SIGINT)
            advice = ' What was saved before is whole; continue with --resume.' * hasattr(args, 'resume')
            _complain(f'{signal.Signals(number).name}: stopped at once.{advice}')
            return 128 + number
        if args.debug:
            raise
        with _undisturbed_by_workers():
            _report(error, hasattr(args, 'resume'))
        return 1
    return 0


@contextlib.contextmanager
def _undisturbed_by_workers() -> Iterator[None]:
    """When a data worker has died, torch raises in the middle of whatever comes next, here the report."""
    try:
        before = signal.signal(signal.SIGCHLD, lambda number, frame: None)
    except (AttributeError, ValueError):  # Windows has none; and it is the main thread's
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, before)


def _report(error: Exception, can_resume: bool) -> None:
    resume = ' Continue with --resume.' * can_resume
    if lost := describe_lost(error):
        _note_traceback()
        _complain(lost + resume)
        return
    if unwritable := describe_unwritable(error):
        _complain(f'{unwritable} Make room.{resume}')
    else:
        _complain(_describe(error))
    announce_end('error')


def _complain(text: str) -> None:
    process = f' in process {os.environ["RANK"]}' if int(os.environ.get('WORLD_SIZE', '1')) > 1 else ''
    print(f'\nError{process}: {text}', file=sys.stderr, flush=True)


def _note_traceback() -> None:
    logger = current_logger()
    # The one of a process that has not come to its runner yet has no file, and would show it.
    if logger and any(isinstance(handler, logging.FileHandler) for handler in logger.handlers):
        logger.info(traceback.format_exc())


def _in_chain(error: BaseException | None, wanted: Callable[[BaseException], bool]) -> BaseException | None:
    """The error, or the first of those that it was raised from or while handling, that is ``wanted``."""
    while error is not None and not wanted(error):
        error = error.__cause__ or error.__context__
    return error


def _says_worker_died(error: BaseException) -> bool:
    """Torch raises so in the middle of whatever runs when a data worker has died."""
    return isinstance(error, RuntimeError) and str(error).startswith('DataLoader worker (pid')


def _as_in_the_worker(error: Exception) -> Exception:
    """An error of a data worker without the traceback that torch makes its text."""
    if killed := _in_chain(error, _says_worker_died):
        return killed
    # The worker was killed while it handed over a batch.
    last = traceback.extract_tb(error.__traceback__)[-1].filename
    if isinstance(error, OSError | EOFError) and last.endswith(
        ('multiprocessing/connection.py', 'reductions.py')
    ):
        text = 'a data worker has ended; perhaps it was killed, as the system does when memory runs out'
        return RuntimeError(f'{text} ({error})').with_traceback(error.__traceback__)
    text = str(error.args[0]) if error.args else ''
    found = re.fullmatch(r'Caught \w+ in (DataLoader worker process \d+)\.\n(.*)', text.strip(), re.DOTALL)
    if found is None:
        return error
    # The line of the cause is the last one that is not indented and names an exception.
    causes = re.findall(r'^(?:[\w.]+\.)?(\w+): (.*?)(?=^\S|\Z)', found[2], re.MULTILINE | re.DOTALL)
    cause = f'{causes[-1][0]}: {causes[-1][1].strip()}' if causes else found[2].strip().splitlines()[-1]
    return RuntimeError(f'{cause} (in {found[1]})').with_traceback(error.__traceback__)


def _describe(error: Exception) -> str:
    """What went wrong and where; the traceback goes to the log file of the run, if there is one."""
    _note_traceback()
    return explain(_as_in_the_worker(error))
