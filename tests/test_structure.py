"""The tests keep to what makes them independent of each other."""

import re
from pathlib import Path

HERE = Path(__file__).parent


def test_no_test_imports_a_module_of_tests():
    """It would be there twice, and what it registers would be that of the copy."""
    wrong = re.compile(r'^\s*(from\s+tests[\w.]*\.test_|from\s+tests[\w.]*\s+import\s.*\btest_)', re.M)
    assert [p.name for p in HERE.rglob('test_*.py') if wrong.search(p.read_text(encoding='utf-8'))] == []
