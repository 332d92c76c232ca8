"""For pytest: the quickest tests first, as mutmut has measured them; most mutants fail in one of those."""

import json
from pathlib import Path


def pytest_collection_modifyitems(items: list) -> None:
    measured = Path('mutmut-stats.json')  # written after the first run of all tests
    if measured.is_file():
        seconds = json.loads(measured.read_text(encoding='utf-8'))['duration_by_test']
        items.sort(key=lambda item: seconds.get(item.nodeid, 0.0))
