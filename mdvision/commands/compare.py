"""Train several variants with the same seeds and report the statistically distinguishable differences.

python tools/compare.py configs/a.py configs/b.py --seeds 3
python tools/compare.py configs/a.py --vary model.backbone.attention "dict(type='mdvision.CBAM')" None

Finished runs are kept: running the same command again resumes where it stopped.
"""

import argparse
import dataclasses
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.device import is_cuda_available

from mdvision.compare import plan
from mdvision.compare.budget import Timing, choose_epochs, epoch_options, makespan, parse_time, show_time
from mdvision.compare.probe import probe
from mdvision.compare.record import read_record, refuse_changes, refuse_runs, write_record
from mdvision.compare.report import write_comparison
from mdvision.compare.run import Run, Slots, locked, run_all
from mdvision.compare.values import is_lower_better, metric_of, value_of
from mdvision.config.overrides import apply_overrides
from mdvision.cpu import available_cores, plan_cpu
from mdvision.errors import UserError

from .arguments import add_overrides, argument_parser, at_least, keep_config
from .faults import run
from .switches import use_amp

__all__ = ['compare', 'main', 'parse_args']

_TRAINER = Path(__file__).resolve().parents[2] / 'tools' / 'train.py'


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The arguments of ``argv``, by default those of this process."""
    parser = argument_parser(__doc__)
    parser.add_argument('config', nargs='+', help='config files; the first is the reference')
    parser.add_argument(
        '--vary', nargs='+', metavar=('KEY', 'VALUE'), help='values of one key of a single config'
    )
    parser.add_argument('--names', nargs='+', metavar='NAME', help='names of the variants in the tables')
    parser.add_argument(
        '--seeds',
        nargs='+',
        default=['3'],
        metavar='N',
        help='the number of seeds, or the seeds themselves (default: 3)',
    )
    parser.add_argument('--metric', help='metric to compare, such as accuracy/top1')
    parser.add_argument('--lower-is-better', action='store_true', help='for metrics such as an error')
    parser.add_argument(
        '--select', choices=['last', 'best'], default='last', help='which validation of a run to compare'
    )
    parser.add_argument(
        '--budget', metavar='TIME', help='choose the number of epochs to fit this time: 45m, 2h, 1h30m'
    )
    parser.add_argument('--work-dir', help='folder of the comparison (default: work_dirs/compare_CONFIG)')
    parser.add_argument('--jobs', type=at_least(1), help='runs at a time (default: one, or one per GPU)')
    parser.add_argument(
        '--redo', action='store_true', help='set aside runs with other settings and train again'
    )
    parser.add_argument('--no-speed', action='store_true', help='do not measure speed at the end')
    add_overrides(parser, 'override keys of all configs')
    parser.add_argument(
        '--amp', nargs='?', const='fp16', choices=['fp16', 'bf16'], help='train in mixed precision'
    )
    parser.add_argument(
        '--device', default='auto', help="'auto' (GPUs if there are any), 'cpu', 'cuda' or 'cuda:1'"
    )
    parser.add_argument(
        '--threads', type=at_least(1), help='CPU threads per run (default: from the number of cores)'
    )
    parser.add_argument(
        '--workers', type=at_least(0), help='data workers per run (default: from the number of cores)'
    )
    args = parser.parse_args(keep_config(sys.argv[1:] if argv is None else argv, amp='fp16'))
    args.trainer = [sys.executable, str(_TRAINER)]
    return args


def main(argv: list[str] | None = None) -> int:
    """Run the command; the exit status."""
    return run(compare, parse_args(argv))


@dataclass
class _Planned:
    """A variant with all that its trainings need."""

    variant: plan.Variant
    cfg: Config

    def add(self, options: Sequence[str]) -> None:
        if options:
            self.variant = dataclasses.replace(self.variant, options=(*self.variant.options, *options))
            apply_overrides(self.cfg, list(options))


def compare(args: argparse.Namespace) -> None:
    """Train what is missing, then write the tables and the picture.

    Args:
        args: of the tool, and ``trainer``: the command that trains, without its arguments.
    """
    signal.signal(signal.SIGTERM, _stop)
    if hasattr(sys.stdout, 'reconfigure'):
        sys.stdout.reconfigure(line_buffering=True)  # progress, also into a file
    variants, seeds = plan.plan_variants(args), plan.parse_seeds(args.seeds)
    folder = Path(args.work_dir or f'work_dirs/compare_{Path(args.config[0]).stem}')
    jobs, gpus = _places(args)
    planned = [_Planned(variant, plan.resolve(variant)) for variant in variants]
    with locked(folder):
        recorded = read_record(folder)
        workers = _workers(args, recorded, [one.cfg for one in planned], jobs)
        slots = Slots(jobs, gpus, _threads(args, jobs, workers))
        arguments = ['--workers', str(workers), *(['--amp', args.amp] if args.amp else [])]
        if args.device != 'auto':
            # The tool has left only the device of cuda:N visible, and the trainings inherit that.
            arguments += ['--device', args.device.partition(':')[0]]
        if args.budget:
            recorded['budget'] = _budget(args, folder, recorded, planned, seeds, arguments, slots)
            for one in planned:
                one.add(epoch_options(one.cfg, recorded['budget']['epochs']))
        variants = [one.variant for one in planned]
        settings = [plan.settings_of(one.variant, one.cfg, arguments) for one in planned]
        refuse_changes(folder, recorded, variants, settings, args.redo)
        recorded['workers'] = workers
        for one, now in zip(planned, settings, strict=True):
            recorded['variants'][one.variant.folder] = now
        write_record(folder, recorded)
        runs = [_runs(args, folder, one, seeds, arguments) for one in planned]
        _announce(planned, runs, seeds, slots, recorded.get('budget') if args.budget else None)
        # One seed of each variant first, so that a fault of one shows early.
        run_all([of_variant[i] for i in range(len(seeds)) for of_variant in runs], slots, _check_metric(args))
        keys = [now['config_sha256'] + (f' {args.amp}' if args.amp else '') for now in settings]
        for one in planned:
            use_amp(one.cfg, args.amp)
        if args.threads and not is_cuda_available():
            torch.set_num_threads(args.threads)
        write_comparison(args, folder, variants, [one.cfg for one in planned], keys, runs, seeds)


def _check_metric(args: argparse.Namespace) -> Callable[[Run], object]:
    """Whether a finished run has the number to compare by: said after the first run, not after the last."""
    lower = args.lower_is_better

    def check(run: Run) -> None:
        metric = metric_of([run], args.metric)
        value_of(run, metric, args.select, lower or is_lower_better(metric))

    return check


def _stop(*_) -> None:
    raise KeyboardInterrupt


def _places(args: argparse.Namespace) -> tuple[int, list[str]]:
    """How many trainings at a time, and the GPUs to deal out where there are several."""
    count = torch.cuda.device_count() if is_cuda_available() and args.device in ('auto', 'cuda') else 0
    named = [name for name in os.environ.get('CUDA_VISIBLE_DEVICES', '').split(',') if name]
    gpus = (named or list(map(str, range(count)))) if count > 1 else []
    return args.jobs or max(1, len(gpus)), gpus


def _threads(args: argparse.Namespace, jobs: int, workers: int) -> int | None:
    """Of each training, so that those of all, with their data workers, do not exceed the cores."""
    if args.threads or jobs == 1:
        return args.threads
    return max(1, available_cores() // jobs - workers)


def _workers(args: argparse.Namespace, recorded: dict, configs: Sequence[Config], jobs: int) -> int:
    """Data workers of each run.

    The same in all runs, and after an interruption: each worker draws random numbers of its own.
    """
    if args.workers is not None:
        return args.workers
    if 'workers' in recorded:
        return recorded['workers']
    wanted = max(cfg.train_dataloader.get('num_workers', 0) for cfg in configs)
    return plan_cpu(wanted, is_cuda_available(), jobs).workers


def _budget(
    args: argparse.Namespace,
    folder: Path,
    recorded: dict,
    planned: Sequence[_Planned],
    seeds: Sequence[int],
    arguments: Sequence[str],
    slots: Slots,
) -> dict:
    """The epochs that fit: those chosen at the first start, or chosen now after timing each variant."""
    started, seconds = time.monotonic(), parse_time(args.budget)
    for one in planned:
        if not plan.is_epoch_based(one.cfg):
            raise UserError(
                f'--budget: {one.variant.config} counts its training in iterations; expected '
                'train_cfg.max_epochs.'
            )
    base = {
        one.variant.folder: plan.settings_of(one.variant, one.cfg, arguments)['config_sha256']
        for one in planned
    }
    before = recorded.get('budget')
    if before and before['seconds'] == seconds:
        same = [before['base'].get(name, key) == key for name, key in base.items()]
        if all(same) and not (args.redo and not before['base'].keys() >= base.keys()):
            # A variant that came later trains as long as the others.
            return dict(before, base={**base, **before['base']})
    if not args.redo:
        refuse_runs(folder, recorded, [one.variant for one in planned], 'budget or config')
    print(f'timing {len(planned)} variants for a budget of {show_time(seconds)}')
    timings = []
    for one in planned:
        command = [*args.trainer, one.variant.config, *arguments, '--seed', str(seeds[0])]
        copies = min(slots.jobs, len(planned) * len(seeds))
        timings.append(probe(one.variant, one.cfg, folder / '.timing', command, slots, copies))
    epochs = choose_epochs(timings, len(seeds), seconds, slots.jobs, time.monotonic() - started)
    return dict(seconds=seconds, epochs=epochs, base=base, timings=[vars(timing) for timing in timings])


def _runs(
    args: argparse.Namespace, folder: Path, one: _Planned, seeds: Sequence[int], arguments: Sequence[str]
) -> list[Run]:
    """The trainings of a variant, one per seed."""
    train_cfg = one.cfg.train_cfg
    epochs = train_cfg.max_epochs if plan.is_epoch_based(one.cfg) else None
    interval, begin = train_cfg.get('val_interval', 1), train_cfg.get('val_begin', 1)
    wanted = range(interval, epochs or 0, interval) if args.select == 'best' else ()
    val_steps = frozenset(step for step in wanted if step >= begin)
    runs = []
    for seed in seeds:
        work_dir = folder / one.variant.folder / f'seed_{seed}'
        own = ['--work-dir', str(work_dir), '--seed', str(seed), *arguments]
        command = (*args.trainer, one.variant.config, *own, '--cfg-options', *one.variant.options)
        runs.append(Run(f'{one.variant.name}, seed {seed}', work_dir, command, epochs, val_steps))
    return runs


def _announce(
    planned: Sequence[_Planned],
    runs: Sequence[Sequence[Run]],
    seeds: Sequence[int],
    slots: Slots,
    budget: dict | None,
) -> None:
    lengths = [of_variant[0].max_epochs for of_variant in runs]
    if None not in lengths and len(set(lengths)) > 1:
        print(f'note: the variants train for different numbers of epochs: {", ".join(map(str, lengths))}')
    length = f' x {lengths[0]} epochs' if len(set(lengths)) == 1 and lengths[0] else ''
    estimate = ''
    if budget:
        timings = [Timing(**timing) for timing in budget['timings']]
        estimate = f', about {show_time(makespan(timings, len(seeds), budget["epochs"], slots.jobs))}'
    total = len(planned) * len(seeds)
    size = f'{len(planned)} variants x {len(seeds)} seeds{length} = {total} runs'
    print(f'{size}, {slots.jobs} at a time{estimate}')
    for one in planned:
        batch = one.cfg.train_dataloader.get('batch_size')
        print(f'  {one.variant.name}: {one.variant.config}' + (f', batch {batch}' if batch else ''))
        _note_unscaled(one, budget)


def _note_unscaled(one: _Planned, budget: dict | None) -> None:
    schedulers = one.cfg.get('param_scheduler') or []
    for scheduler in schedulers if isinstance(schedulers, list) else [schedulers]:
        if budget and not scheduler.get('by_epoch', True):
            print(f'    note: its {scheduler.type} is counted in iterations and stays as it is')
