"""Check a training run before it starts: config, data, model, run, and a few real steps.

python tools/check.py configs/emanet/faster_rcnn_minivoc.py
"""

import argparse
import contextlib
import dataclasses
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from mmengine.config import Config
from mmengine.device import is_cuda_available
from mmengine.runner import Runner
from torch import nn

from mdvision.checks.data import check_data
from mdvision.checks.dry_run import TrialRunner, dry_run
from mdvision.checks.memory import check_memory
from mdvision.checks.run import check_classes, check_run
from mdvision.checks.smaller_images import LONGEST_SIDE, use_smaller_images
from mdvision.config.fault_places import explain
from mdvision.console import say
from mdvision.errors import UserError
from mdvision.findings import SEVERITIES, Finding, FoundError
from mdvision.text import shortlist

from .arguments import add_common_arguments, argument_parser, keep_config
from .faults import run
from .start import start_up
from .switches import add_switches

__all__ = ['check', 'check_and_print', 'main', 'parse_args']


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The arguments of ``argv``, by default those of this process."""
    parser = argument_parser(__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('--quick', action='store_true', help='skip the memory estimate and the real steps')
    parser.add_argument('--json', action='store_true', help='print the findings as JSON')
    add_switches(parser)
    add_common_arguments(parser)
    return parser.parse_args(keep_config(sys.argv[1:] if argv is None else argv, amp='fp16', ema='0.0002'))


def main(argv: list[str] | None = None) -> int:
    """Run the command; the exit status."""
    return run(check_and_print, parse_args(argv))


def check_and_print(args: argparse.Namespace) -> None:
    """Print what :func:`check` finds, as text or as JSON.

    Raises:
        UserError: where there are errors.
    """
    started = time.time()
    # With --json the progress goes elsewhere, so that JSON is all that is printed.
    with contextlib.redirect_stdout(sys.stderr) if args.json else contextlib.nullcontext():
        findings = check(args)
    seconds = time.time() - started
    errors = sum(finding.severity == 'error' for finding in findings)
    if args.json:
        found = [dataclasses.asdict(finding) for finding in findings]
        print(json.dumps(dict(may_train=not errors, seconds=round(seconds, 1), findings=found), indent=2))
    else:
        for finding in findings:
            print(f'{finding.severity}: {finding}')
        print(f'{len(findings)} findings in {seconds:.0f} s' + ': nothing stands in the way' * (not errors))
    if errors:
        raise UserError(f'{args.config} is not ready: {errors} error{"s" * (errors > 1)}, listed above.')


def check(args: argparse.Namespace) -> list[Finding]:
    """What can be known of a training: of its config, data, model and run, and by a few real steps.

    A part with an error ends the check, as what follows is built on it.

    Args:
        args: those of ``tools/check.py``; ``quick`` leaves out the memory and the steps.

    Returns:
        the findings, errors first.
    """
    findings: list[Finding] = []
    part = 'config'
    try:
        for part, look in _parts(args):
            print(f'check: {part}', flush=True)
            found = list(look())
            findings += found
            if any(finding.severity == 'error' for finding in found):
                break
    except FoundError as error:
        findings += error.findings
    except UserError as error:
        findings.append(Finding('error', part, str(error)))
    except Exception as error:
        if args.debug:
            raise
        findings.append(Finding('error', part, explain(error)))
    finally:
        TrialRunner.data_sets.clear()
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def _parts(args: argparse.Namespace):
    """The parts of a check, each with its function; a later one stands on those before it."""
    state = _Check(args)
    yield 'config', state.config
    with tempfile.TemporaryDirectory(prefix='mdvision_check_', ignore_cleanup_errors=True) as folder:
        yield 'model and data', lambda: state.build(Path(folder))
        yield 'run', state.run
    if not args.quick:
        yield 'memory', state.memory
        yield 'steps', state.steps


class _Check:
    """What the parts of one check hand on to each other."""

    def __init__(self, args: argparse.Namespace):
        self.args = args
        self.cfg: Config = None
        self.runner: Runner = None
        self.smaller_images = False

    def config(self) -> list[Finding]:
        found: list[Finding] = []

        def collect(more: list[Finding]) -> None:
            found.extend(more)
            if any(finding.severity == 'error' for finding in more):
                raise FoundError(found)

        self.cfg, _ = start_up(self.args, ('train', 'val'), collect)
        self.cfg.resume = False
        # Here already: the data sets, with their pipelines, are built once for all parts.
        self.smaller_images = not is_cuda_available() and use_smaller_images(self.cfg)
        return found

    def build(self, folder: Path) -> list[Finding]:
        """The whole training is built, in a folder of its own; its data sets check themselves."""
        whole = Config(self.cfg.to_dict())
        whole.work_dir, whole.experiment_name = str(folder), folder.name
        whole.pop('visualizer', None)  # mmengine keeps the first of a name, with its folder, for all runners
        self.runner = TrialRunner.from_cfg(whole)
        return [*check_data(self.runner), *check_classes(self.runner.train_dataloader.dataset)]

    def run(self) -> list[Finding]:
        return check_run(self.runner, Path(self.cfg.work_dir))

    def memory(self) -> list[Finding]:
        self.runner = None
        return check_memory(self.args.config, self.args.cfg_options, self.cfg)

    def steps(self) -> list[Finding]:
        """Two iterations, a validation, a checkpoint and a resumption; on a CPU with two images per batch."""
        record, cfg = _Gradients(), Config(self.cfg.to_dict())
        if not is_cuda_available():
            for loader in filter(None, (cfg.train_dataloader, cfg.get('val_dataloader'))):
                loader.batch_size = min(loader.batch_size, 2)
        if self.smaller_images:
            say(f'the steps use images of at most {LONGEST_SIDE} pixels a side, as this is a CPU; '
                'train.py --dry-run has them at full size')  # fmt: skip
        dry_run(cfg, 0.0 if self.args.allow_partial else 0.9, record.watch)
        return record.findings()


class _Gradients:
    """Which parameters get a gradient in the steps of a dry run."""

    def __init__(self):
        self._waiting: set[str] = set()

    def watch(self, runner: Runner) -> None:
        for name, parameter in runner.model.named_parameters():
            if parameter.requires_grad:
                self._waiting.add(name)
                parameter.register_post_accumulate_grad_hook(self._seen(name))

    def _seen(self, name: str) -> Callable[[nn.Parameter], None]:
        return lambda parameter: self._waiting.discard(name)

    def findings(self) -> list[Finding]:
        if not self._waiting:
            return []
        names = sorted(self._waiting)
        text = f'{len(names)} parameters got no gradient in two iterations: {shortlist(names, 8)}'
        fix = (
            'if that is meant, several processes need find_unused_parameters=True in the config; if not, '
            'look at what the model does with these parts'
        )
        return [Finding('warning', 'model', text, fix)]
