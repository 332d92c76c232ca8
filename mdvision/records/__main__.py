"""Write the pages of published numbers: ``results/README.md`` and ``docs/reproduce.md``.

python -m mdvision.records                 from the tables in results/
python -m mdvision.records --count         first recounts the models for model_costs.json; takes a minute
python -m mdvision.records --estimate      first updates gpu_hours.csv from the configs; takes minutes
python -m mdvision.records add CONFIG RESULTS_JSON METRIC...      first adds a run to results.csv
python -m mdvision.records zoo CONFIG WORK_DIR NAME ...           first adds its model to mdvision/zoo
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mdvision.errors import UserError

from .costs import write_costs
from .ledger import render_ledger, write_estimates
from .results import add_result, render_results
from .zoo import ZOO, add_to_zoo, read_zoo, render_card, render_zoo

__all__ = ['main', 'pages']


def pages(root: Path) -> dict[Path, str]:
    """Every generated page of a checkout and its text.

    Args:
        root: the project root.
    """
    cards = {root / ZOO / f'{one["name"]}.md': render_card(one) for one in read_zoo(root)}
    return {
        root / 'results' / 'README.md': render_results(root),
        root / 'docs' / 'reproduce.md': render_ledger(root),
        root / ZOO / 'README.md': render_zoo(root),
        **cards,
    }


def main(argv: Sequence[str] | None = None, root: Path = Path()) -> None:
    """Bring the tables up to date as asked, then write the pages.

    Args:
        argv: the arguments; by default those of the command line.
        root: the project root; by default the current folder.

    Raises:
        UserError: ``root`` is no checkout, or a result cannot be added.
    """
    parser = argparse.ArgumentParser(
        prog='python -m mdvision.records',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--count', action='store_true', help='recount the named models')
    parser.add_argument('--estimate', action='store_true', help='recount the configs of the estimates')
    commands = parser.add_subparsers(dest='command')
    add = commands.add_parser('add', help='add the results of a run')
    add.add_argument('config', help='path of its config from the root')
    add.add_argument('results_json', type=Path, help='the results.json in its work dir')
    add.add_argument('metric', nargs='+', help='what to publish, such as accuracy/top1')
    zoo = commands.add_parser('zoo', help='add the model of a run to mdvision/zoo')
    zoo.add_argument('config', help='path of its config from the root')
    zoo.add_argument('work_dir', type=Path, help='with the model.json of the training')
    zoo.add_argument('name', help='of the model in the zoo')
    zoo.add_argument('--data', required=True, help='what it was trained on')
    zoo.add_argument('--license', required=True, help='of the data')
    zoo.add_argument('--not-for', required=True, help='what the model is not good for')
    args = parser.parse_args(argv)
    if not (root / 'results' / 'results.csv').is_file():
        raise UserError(f'No results/results.csv in {root.absolute()}. Run from the root of a checkout.')
    if args.count:
        write_costs(root)
    if args.estimate:
        write_estimates(root)
    if args.command == 'add':
        add_result(root, args.config, args.results_json, args.metric)
    elif args.command == 'zoo':
        card = dict(data=args.data, license=args.license, not_for=args.not_for)
        add_to_zoo(root, args.work_dir, args.name, args.config, card)
    for path, text in pages(root).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding='utf-8')


if __name__ == '__main__':
    try:
        main()
    except UserError as error:
        sys.exit(f'error: {error}')
