"""Turning faults into one readable message, without a traceback unless it is asked for."""

import argparse
import os
import signal
import sys
import traceback
from collections.abc import Callable

from mmengine.logging import MMLogger

from mdvision.console import outlive_readers, quiet_third_parties
from mdvision.errors import UserError

from .bad_images import TooManyBadImagesError
from .distributed import finish_distributed
from .divergence import DivergedError
from .fault_places import explain
from .interruption import Interrupted
from .signals import ending_at_once

__all__ = ['run']


def run(command: Callable[[argparse.Namespace], None], args: argparse.Namespace) -> int:
    """Run ``command`` and turn faults into one readable message; returns the exit status."""
    outlive_readers()
    quiet_third_parties()
    try:
        with ending_at_once():
            command(args)
            finish_distributed()
    except UserError as error:
        if args.debug:
            raise
        # A fault of the input is the same in every process: one of them speaks.
        if os.environ.get('RANK', '0') == '0' or isinstance(error, DivergedError | TooManyBadImagesError):
            _complain(str(error))
        return 1
    except Interrupted as stopped:
        return 128 + stopped.signal  # as a shell reports a process that such a signal ended
    except KeyboardInterrupt as stopped:
        number = getattr(stopped, 'signal', signal.SIGINT)
        advice = ' What was saved before is whole; continue with --resume.' * hasattr(args, 'resume')
        _complain(f'{signal.Signals(number).name}: stopped at once.{advice}')
        return 128 + number
    except Exception as error:
        if args.debug:
            raise
        _complain(_describe(error))
        return 1
    return 0


def _complain(text: str) -> None:
    process = f' in process {os.environ["RANK"]}' if int(os.environ.get('WORLD_SIZE', '1')) > 1 else ''
    print(f'\nError{process}: {text}', file=sys.stderr, flush=True)


def _describe(error: Exception) -> str:
    """What went wrong and where; the traceback goes to the log file of the run, if there is one."""
    if MMLogger._instance_dict:
        MMLogger.get_current_instance().info(traceback.format_exc())
    return explain(error)
