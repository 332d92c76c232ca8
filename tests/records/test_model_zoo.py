"""The page of results says what the table of results says."""

from pathlib import Path

from mdvision.records.results import render

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


def test_the_page_in_the_repository_is_up_to_date():
    page = (CONFIGS / 'README.md').read_text(encoding='utf-8')
    assert page == render(CONFIGS / 'results.csv'), 'run python -m mdvision.records.results'


def test_a_mean_is_over_the_seeds(tmp_path):
    header = 'config,metric,value,seed,parameters,minutes,hardware,versions,date,command\n'
    row = 'configs/a/b.py,mAP,{},{},1000,{},CPU,v,2026-01-01,c\n'
    (tmp_path / 'r.csv').write_text(header + row.format('0.5000', 0, 2.0) + row.format('0.7000', 1, 4.0))
    page = render(tmp_path / 'r.csv')
    assert '| [configs/a/b.py](a/b.py) | mAP | 0.6000 | 0: 0.5000, 1: 0.7000 | 1,000 | 3.0 | CPU |' in page
