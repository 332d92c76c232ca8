"""The comparisons that docs/ shows are those of the runs in results/results.csv."""

import csv
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / 'docs' / 'comparisons').glob('*.md'))


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.stem)
def test_a_page_shows_the_published_runs(page):
    record = json.loads(page.with_suffix('.json').read_text(encoding='utf-8'))
    with open(ROOT / 'results' / 'results.csv', newline='', encoding='utf-8') as file:
        rows = [row for row in csv.DictReader(file) if row['metric'] == record['metric']]
    text = page.read_text(encoding='utf-8')
    assert f'![accuracies and paired differences]({page.stem}.png)' in text
    assert page.with_suffix('.png').is_file()
    assert record['command'] in text
    for variant in record['variants']:
        runs = {row['seed']: float(row['value']) for row in rows if row['config'] == variant['config']}
        # What was published of a config later must not change the page.
        assert {seed: runs.get(seed) for seed in variant['values']} == pytest.approx(
            variant['values'], abs=5e-5
        )
        digits = 2 if variant['mean'] > 1.5 else 4
        assert f'{variant["mean"]:.{digits}f}' in text
