"""The table of faults is complete: every row has a test that shows it fixed, or the reason why it is not."""

import pytest

from tests.fault_table import marked_tests, read_faults, written_table


@pytest.fixture
def marked(request) -> dict[str, set[str]]:
    if request.config.args not in (['tests'], [str(request.config.rootpath / 'tests')]):
        pytest.skip('needs the whole suite: run pytest without naming files')
    return marked_tests(request.config)


def test_every_row_has_a_test_or_a_reason(marked):
    open_rows = [row['id'] for row in read_faults() if not marked[row['id']] and not row['why_not']]
    assert not open_rows


def test_the_readme_names_the_tests_that_there_are(marked):
    table = written_table()
    assert list(table) == [row['id'] for row in read_faults()]
    different = {name: tests ^ marked[name] for name, (tests, _) in table.items() if tests != marked[name]}
    assert not different, 'run `make fault-table`'


def test_no_result_of_the_readme_is_a_failure():
    bad = {name: result for name, (_, result) in written_table().items() if not _is_good(result)}
    assert not bad


def _is_good(result: str) -> bool:
    return 'open' not in result.split(';')[0] and 'failed' not in result and bool(result)
