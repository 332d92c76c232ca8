"""The layout holds: imports of the package lead down, and tests are independent of each other."""

import re
from pathlib import Path

from tests.structure import (
    FLOORS,
    PACKAGE,
    PAGE,
    Import,
    circles,
    imports_of_the_package,
    render,
    replaced,
    wrong_imports,
)

HERE = Path(__file__).parent


def test_no_import_of_the_package_leads_up_or_sideways():
    assert wrong_imports(imports_of_the_package()) == []


def test_every_part_has_a_floor_and_every_floor_its_parts():
    parts = {
        path.stem for path in PACKAGE.iterdir() if path.suffix == '.py' or (path / '__init__.py').is_file()
    }
    assert {part for floor in FLOORS for part in floor} == parts


def test_an_import_that_leads_up_is_named():
    up = Import('mdvision/config/x.py', 3, 'mdvision.config.x', 'mdvision.engine.runner')
    aside = Import('mdvision/models/x.py', 4, 'mdvision.models.x', 'mdvision.datasets.voc')
    down = Import('mdvision/engine/x.py', 5, 'mdvision.engine.x', 'mdvision.config.tree')
    new = Import('mdvision/cellar/x.py', 6, 'mdvision.cellar.x', 'mdvision.errors')
    found = wrong_imports([up, aside, down, new])
    assert [line.split(':')[0] for line in found] == [one.file for one in (up, aside, new)]


def test_circles_are_found_through_others():
    names = [('a', 'b'), ('b', 'c'), ('c', 'a'), ('d', 'a'), ('a', 'e')]
    imports = [Import('x', 1, f'mdvision.{a}', f'mdvision.{b}') for a, b in names]
    assert circles(imports) == ['mdvision.a', 'mdvision.b', 'mdvision.c']
    assert circles(imports[:2]) == []


def test_the_page_shows_the_layout_as_it_is():
    page = PAGE.read_text(encoding='utf-8')
    assert replaced(page, render(imports_of_the_package())) == page, 'run python -m tests.structure'


def test_no_test_imports_a_module_of_tests():
    """It would be there twice, and what it registers would be that of the copy."""
    wrong = re.compile(r'^\s*(from\s+tests[\w.]*\.test_|from\s+tests[\w.]*\s+import\s.*\btest_)', re.M)
    assert [p.name for p in HERE.rglob('test_*.py') if wrong.search(p.read_text(encoding='utf-8'))] == []
