"""Write the table of known faults in tests/README.md from the results of the marked tests.

A test marked ``@pytest.mark.fault('1.17', 'D13')`` shows that these rows of faults.csv are fixed. ``make
fault-table`` runs the suite and writes the table; test_fault_table.py keeps it complete.
"""

import collections
import csv
import datetime
import platform
import re
from pathlib import Path

import pytest
import torch

__all__ = ['FaultTable', 'marked_tests', 'read_faults', 'written_table']

HERE = Path(__file__).parent
README = HERE / 'README.md'
FAULTS = HERE / 'faults.csv'
_BEGIN, _END = '<!-- faults: begin -->', '<!-- faults: end -->'
_MARKED = pytest.StashKey[dict[str, set[str]]]()


def read_faults() -> list[dict[str, str]]:
    """Read rows of ``id``, ``fault`` and ``why_not``, the reason why mdvision cannot fix a fault."""
    with FAULTS.open(newline='', encoding='utf-8') as file:
        return list(csv.DictReader(file))


def marked_tests(config: pytest.Config) -> dict[str, set[str]]:
    """Return the collected tests that carry the mark of each row, such as ``engine/test_x.py::test_y``."""
    return config.stash[_MARKED]


def written_table() -> dict[str, tuple[set[str], str]]:
    """Read the table in README.md: each row's tests and their results."""
    rows = {}
    for line in README.read_text(encoding='utf-8').splitlines():
        cells = [cell.strip() for cell in re.split(r'(?<!\\)\|', line)[1:-1]]
        if len(cells) == 4 and cells[0] not in ('row', '---'):
            rows[cells[0]] = (set(re.findall(r'`([^`]+::[^`]+)`', cells[2])), cells[3])
    return rows


class FaultTable:
    """Collect the marks and, with ``--fault-table``, write the results of the marked tests."""

    def __init__(self, config: pytest.Config):
        config.stash[_MARKED] = collections.defaultdict(set)
        self._results = collections.defaultdict(collections.Counter)

    @pytest.hookimpl(tryfirst=True)  # before -m takes tests away
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        known = {row['id'] for row in read_faults()}
        for item in items:
            ids = [name for mark in item.iter_markers('fault') for name in mark.args]
            if unknown := set(ids) - known:
                raise pytest.UsageError(f'{item.nodeid}: faults.csv has no row {", ".join(sorted(unknown))}')
            for name in ids:
                config.stash[_MARKED][name].add(_short(item.nodeid))
            if ids:
                item.user_properties.append(('faults', ids))  # travels from the processes of xdist

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # What a test did, or that it did not come to it.
        if report.when == 'call' or report.outcome != 'passed':
            for name in dict(report.user_properties).get('faults', ()):
                self._results[name][(_short(report.nodeid), report.outcome)] += 1

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        marked = session.config.stash[_MARKED]
        if hasattr(session.config, 'workeroutput'):  # a process of xdist, which has collected the tests
            session.config.workeroutput['marked'] = {name: sorted(tests) for name, tests in marked.items()}
        elif session.config.getoption('--fault-table'):
            _write(self._results, marked)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object, error: object) -> None:
        """What a process of xdist collected, for the one that writes the table and collects nothing."""
        for name, tests in getattr(node, 'workeroutput', {}).get('marked', {}).items():
            node.config.stash[_MARKED][name].update(tests)


def _short(nodeid: str) -> str:
    return nodeid.partition('[')[0].removeprefix('tests/')


def _write(results: dict[str, collections.Counter], marked: dict[str, set[str]]) -> None:
    lines = ['| row | fault | tests | result |', '|---|---|---|---|']
    for row in read_faults():
        given, tests = results.get(row['id'], {}), sorted(marked[row['id']])
        counts = collections.Counter()
        for (_, outcome), count in given.items():
            counts[outcome] += count
        result = [f'{count} {outcome}' for outcome, count in sorted(counts.items())]
        if left := set(tests) - {name for name, _ in given}:
            result.append(f'{len(left)} in `make test-faults`')
        if row['why_not']:
            result.append(f'not fixed here: {row["why_not"]}')
        names = ', '.join(f'`{name}`' for name in tests)
        cells = [row['id'], row['fault'], names or '-', '; '.join(result) or '**open**']
        lines.append('| ' + ' | '.join(cell.replace('|', '\\|') for cell in cells) + ' |')
    said = (
        f'`make fault-table`, {datetime.date.today()}, Python {platform.python_version()}, '
        f'torch {torch.__version__}, {platform.system()}, CPU.'
    )
    text = README.read_text(encoding='utf-8')
    head, rest = text.split(_BEGIN)
    tail = rest.split(_END)[1]
    README.write_text('\n'.join([head + _BEGIN, said, '', *lines, _END + tail]), encoding='utf-8')
