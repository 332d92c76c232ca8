"""Mutation testing of what promises rest on: does some test fail for each small change of the code?

pip install mutmut==3.8.1
python -m tests.mutation                # all targets, about an hour on two cores
python -m tests.mutation evaluation     # one of them

Writes results.csv (what was tried) and survivors.csv (what no test noticed, and why); fails while a survivor
is without its reason, or more than one in twenty survives. It works on a copy of the last commit.
"""

import csv
import datetime
import importlib.util
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MOST_SURVIVORS = 0.05

# Files, the tests that answer for them, and which mutants: all, or those whose number ends so.
TARGETS = {
    'evaluation': (
        'evaluation/voc_ap.py evaluation/confusion.py evaluation/detection_metric.py',
        'evaluation/test_voc_ap.py evaluation/test_confusion.py evaluation/test_detection_metric.py '
        'evaluation/test_detection_references.py',
        '*3 *7',
    ),
    'statistics': ('compare/statistics.py', 'compare/test_compare_statistics.py', '*'),
    'voc': (
        'datasets/voc_reader.py datasets/voc_annotation.py',
        'datasets/test_voc.py datasets/test_voc_annotation.py datasets/test_voc_faults.py',
        '*3 *7',
    ),
    'checkpoints': (
        'checkpoints/reading.py checkpoints/integrity.py engine/hooks/checkpoint.py',
        'checkpoints/test_checkpoint.py checkpoints/test_backbone_from.py engine/test_saving.py '
        'engine/test_runs.py work_dir/test_work_dir.py engine/test_positions.py',
        '*3 *7',
    ),
    'resume': (
        'checkpoints/resumable.py engine/hooks/resumed_settings.py engine/train_loop.py '
        'engine/data_loader.py',
        'engine/test_data_loader.py engine/test_runs.py engine/test_bad_images.py engine/test_positions.py '
        'engine/test_resume_config.py engine/test_resumption.py',
        '*5',
    ),
    'interruption': (
        'engine/hooks/interruption.py processes/signals.py',
        'processes/test_stopping.py engine/test_runs.py engine/test_bad_images.py work_dir/test_full_disk.py',
        '*1 *5',
    ),
    'operators': (
        'ops/torchvision_backend.py ops/deform_conv.py',
        'ops/test_nms.py ops/test_roi_pooling.py ops/test_focal_loss.py ops/test_deform_conv.py',
        '*3 *7',
    ),
}

# They train in a process of their own, where mutmut does not see what is called.
NOT_SEEN = (
    'processes/test_stopping.py::test_ctrl_c_where_the_program_behind_the_pipe_is_gone_first',
    'processes/test_stopping.py::test_a_closed_terminal',
    'processes/test_stopping.py::test_a_signal_to_the_whole_group_with_workers_and_summed_gradients',
)


def main(names: list[str]) -> int:
    if importlib.util.find_spec('mutmut') is None:
        print('mutmut is not installed: pip install mutmut==3.8.1', file=sys.stderr)
        return 1
    results = {row['target']: row for row in _read('results.csv')}
    survivors = _read('survivors.csv')
    for name in names or TARGETS:
        before = {_key(row): row['why'] for row in survivors}
        counts, survived = _mutate(*TARGETS[name])
        results[name] = dict(target=name, **counts, date=datetime.date.today().isoformat())
        survivors = [row for row in survivors if row['target'] != name]
        survivors += [row | dict(target=name, why=before.get(_key(row), '')) for row in survived]
        _write('results.csv', [results[name] for name in TARGETS if name in results])
        _write('survivors.csv', survivors)
        print(name, counts, flush=True)
    unexplained = [row for row in survivors if not row['why']]
    for row in unexplained:
        print(f'survives unexplained: {row["function"]}: {row["before"]}  ->  {row["after"]}')
    tried = sum(int(row['tried']) for row in results.values())
    share = sum(int(row['survived']) for row in results.values()) / max(tried, 1)
    print(f'{tried} mutants, {100 * share:.1f} % survive')
    return int(bool(unexplained) or share > MOST_SURVIVORS)


def _mutate(files: str, tests: str, which: str) -> tuple[dict[str, int], list[dict[str, str]]]:
    """How many mutants were tried and survived, and the changed lines of each that survived."""
    settings = dict(
        source_paths=['mdvision/'],
        only_mutate=[f'mdvision/{file}' for file in files.split()],
        also_copy=[path.name for path in ROOT.iterdir() if path.name[0] != '.' and path.name != 'mdvision'],
        pytest_add_cli_args_test_selection=[f'tests/{test}' for test in tests.split()]
        + [f'--deselect=tests/{test}' for test in NOT_SEEN],
        pytest_add_cli_args=['-p', 'no:cacheprovider', '-p', 'tests.mutation.quickest_first'],
        process_isolation=['forkserver'],  # what earlier tests leave behind does not reach a mutant
        # A mutant that hangs is noticed after this many times what its tests take, and these seconds.
        timeout_multiplier=['3'],
        timeout_constant=['10'],
    )
    with tempfile.TemporaryDirectory(prefix='mdvision_mutation_') as folder:
        archive = subprocess.run(['git', 'archive', 'HEAD'], cwd=ROOT, check=True, capture_output=True).stdout
        subprocess.run(['tar', '-x', '-C', folder], input=archive, check=True)
        lines = [f'{key} = ' + '\n    '.join(values) for key, values in settings.items()]
        (Path(folder) / 'setup.cfg').write_text('\n'.join(['[mutmut]', *lines, '']), encoding='utf-8')

        def mutmut(*command: str) -> str:
            run = [sys.executable, '-m', 'mutmut', *command]
            result = subprocess.run(run, cwd=folder, text=True, stdout=subprocess.PIPE)
            if result.returncode:
                sys.exit(f'mutmut {command[0]} has failed: {result.stdout[-3000:]}')
            return result.stdout

        patterns = [f'*__mutmut_{ending}' for ending in which.split()] if which != '*' else []
        mutmut('run', '--max-children', '2', *patterns)
        outcomes = dict(re.findall(r'^\s*(\S+): (\w[\w ]*)$', mutmut('results', '--all', 'true'), re.M))
        outcomes = {name: outcome for name, outcome in outcomes.items() if outcome != 'not checked'}
        print(dict(Counter(outcomes.values())))
        # A mutant that no test reaches survives as well; one that hangs is noticed.
        survived = [name for name, outcome in outcomes.items() if outcome in ('survived', 'no tests')]
        rows = [dict(function=_function(name), **_changed(mutmut('show', name))) for name in survived]
    return dict(tried=len(outcomes), survived=len(survived)), rows


def _function(mutant: str) -> str:
    module, _, name = mutant.removeprefix('mdvision.').partition('.x')
    name = re.sub(r'__mutmut_\d+$', '', name).replace('ǁ', '.').strip('._')
    return f'{module}:{name}'


def _changed(diff: str) -> dict[str, str]:
    lines = [line for line in diff.splitlines() if line[:1] in '+-' and line[:3] not in ('+++', '---')]
    sides = {'before': '-', 'after': '+'}
    return {
        side: ' '.join(' '.join(line[1:] for line in lines if line[0] == sign).split())
        for side, sign in sides.items()
    }


def _key(row: dict[str, str]) -> tuple[str, str, str]:
    return row['function'], row['before'], row['after']


def _read(name: str) -> list[dict[str, str]]:
    path = HERE / name
    if not path.is_file():
        return []
    with path.open(newline='', encoding='utf-8') as file:
        return list(csv.DictReader(file))


def _write(name: str, rows: list[dict[str, str]]) -> None:
    columns = dict(
        results=['target', 'tried', 'survived', 'date'],
        survivors=['target', 'function', 'before', 'after', 'why'],
    )
    with (HERE / name).open('w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, columns[Path(name).stem], lineterminator='\n')
        writer.writeheader()
        writer.writerows(rows)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
