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

from .distributed import finish_distributed
from .fault_places import explain
from .interruption import Interrupted
from .peers import announce_end, describe_lost, says_it_first
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
        if says_it_first(str(error)):
            _complain(str(error))
        announce_end('error')
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
        if lost := describe_lost(error):
            _note_traceback()
            _complain(lost + ' Continue with --resume.' * hasattr(args, 'resume'))
        else:
            _complain(_describe(error))
            announce_end('error')
        return 1
    return 0


def _complain(text: str) -> None:
    process = f' in process {os.environ["RANK"]}' if int(os.environ.get('WORLD_SIZE', '1')) > 1 else ''
    print(f'\nError{process}: {text}', file=sys.stderr, flush=True)


def _note_traceback() -> None:
    if MMLogger._instance_dict:
        MMLogger.get_current_instance().info(traceback.format_exc())


def _describe(error: Exception) -> str:
    """What went wrong and where; the traceback goes to the log file of the run, if there is one."""
    _note_traceback()
    return explain(error)
