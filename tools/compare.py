"""Train several variants with the same seeds, and say which differences can be told from chance.

python tools/compare.py configs/a.py configs/b.py --seeds 3
python tools/compare.py configs/a.py --vary model.backbone.attention "dict(type='CBAM')" None --budget 30m

Finished runs are kept: the same command again continues where it stopped.
"""

import argparse
import sys
from pathlib import Path

# The clone's own code, even where another mdvision is installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _arguments import at_least, choose_device, keep_config, use_utf8


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', nargs='+', help='config files; the first is the reference')
    parser.add_argument(
        '--vary', nargs='+', metavar=('KEY', 'VALUE'), help='values of one key of a single config'
    )
    parser.add_argument('--names', nargs='+', metavar='NAME', help='names of the variants in the tables')
    parser.add_argument(
        '--seeds', nargs='+', default=['3'], metavar='N', help='how many, or the seeds themselves (3)'
    )
    parser.add_argument('--metric', help='metric to compare by, such as accuracy/top1')
    parser.add_argument('--lower-is-better', action='store_true', help='for a metric like an error')
    parser.add_argument(
        '--select', choices=['last', 'best'], default='last', help='which validation of a run counts'
    )
    parser.add_argument('--budget', metavar='TIME', help='choose the epochs for this time: 45m, 2h, 1h30m')
    parser.add_argument('--work-dir', help='folder of the comparison (work_dirs/compare_CONFIG)')
    parser.add_argument('--jobs', type=at_least(1), help='trainings at a time (one, or one for each GPU)')
    parser.add_argument('--redo', action='store_true', help='set runs with other settings aside')
    parser.add_argument('--no-speed', action='store_true', help='measure no speed at the end')
    parser.add_argument(
        '--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='override keys of all configs'
    )
    parser.add_argument(
        '--amp', nargs='?', const='fp16', choices=['fp16', 'bf16'], help='train in mixed precision'
    )
    parser.add_argument(
        '--device', default='auto', help="'auto' (GPUs if there are any), 'cpu', 'cuda' or 'cuda:1'"
    )
    parser.add_argument(
        '--threads', type=at_least(1), help='CPU threads of each training (chosen by the cores)'
    )
    parser.add_argument(
        '--workers', type=at_least(0), help='data workers of each training (chosen by the cores)'
    )
    parser.add_argument('--debug', action='store_true', help='show the whole traceback of an error')
    args = parser.parse_args(keep_config(sys.argv[1:] if argv is None else argv, amp='fp16'))
    choose_device(parser, args.device)
    args.trainer = [sys.executable, str(Path(__file__).resolve().with_name('train.py'))]
    return args


if __name__ == '__main__':
    use_utf8()
    args = parse_args()
    from mdvision.commands import compare, faults

    sys.exit(faults.run(compare.main, args))
