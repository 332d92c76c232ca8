"""The generated pages say what the tables say, and a run enters the tables by one command."""

import json
import shutil
from pathlib import Path

import pytest

from mdvision import UserError
from mdvision.records.__main__ import main, pages
from mdvision.records.results import COLUMNS, read_results, render_results

ROOT = Path(__file__).resolve().parents[2]
CONFIG = 'configs/a/b.py'
RECORD = dict(
    metrics={'accuracy/top1': 91.23456, 'loss': 0.5},
    seed=3,
    parameters=1000,
    seconds=90,
    hardware='CPU',
    versions=dict(mdvision='1', torch='2'),
    date='2026-01-01',
    command=f'python tools/train.py {CONFIG} --seed 3',
)


@pytest.fixture
def checkout(tmp_path):
    """The tables of the project without results, one config, and the results.json of a run."""
    shutil.copytree(ROOT / 'results', tmp_path / 'results')
    (tmp_path / 'results' / 'results.csv').write_text(','.join(COLUMNS) + '\n')
    (tmp_path / 'docs').mkdir()
    (tmp_path / CONFIG).parent.mkdir(parents=True)
    (tmp_path / CONFIG).touch()
    (tmp_path / 'results.json').write_text(json.dumps(RECORD))
    return tmp_path


def test_every_page_in_the_repository_is_up_to_date():
    for path, text in pages(ROOT).items():
        assert path.read_text(encoding='utf-8') == text, f'{path.name}: run python -m mdvision.records'


def test_a_mean_is_over_the_seeds(checkout):
    row = f'{CONFIG},mAP,{{}},{{}},1000,{{}},CPU,v,2026-01-01,c\n'
    with open(checkout / 'results' / 'results.csv', 'a') as file:
        file.write(row.format('0.5000', 0, 2.0) + row.format('0.7000', 1, 4.0))
    line = f'| [{CONFIG}](../{CONFIG}) | mAP | 0.6000 | 0: 0.5000, 1: 0.7000 | 1,000 | 3.0 | CPU |'
    assert line in render_results(checkout)


def test_a_run_enters_the_table_and_the_pages_with_where_it_comes_from(checkout):
    main(['add', CONFIG, str(checkout / 'results.json'), 'accuracy/top1', 'loss'], checkout)
    first, second = read_results(checkout)
    assert first == dict(
        config=CONFIG,
        metric='accuracy/top1',
        value='91.2346',
        seed='3',
        parameters='1000',
        minutes='1.5',
        hardware='CPU',
        versions='mdvision=1 torch=2',
        date='2026-01-01',
        command=RECORD['command'],
    )
    assert (second['metric'], second['value']) == ('loss', '0.5000')
    assert '| accuracy/top1 | 91.2346 | 3: 91.2346 |' in (checkout / 'results' / 'README.md').read_text()
    assert '91.23, seed 3' in (checkout / 'docs' / 'reproduce.md').read_text()


@pytest.mark.parametrize(
    ('config', 'metric', 'message'),
    [
        ('configs/a/c.py', 'loss', 'configs/a/c.py does not exist'),
        ('configs/a/other.py', 'loss', 'is not of configs/a/other.py: its command is python tools/train.py'),
        (CONFIG, 'accuracy/top5', "no metric 'accuracy/top5'. Did you mean 'accuracy/top1'"),
    ],
)
def test_what_does_not_fit_is_not_added(checkout, config, metric, message):
    (checkout / 'configs' / 'a' / 'other.py').touch()
    with pytest.raises(UserError, match=message):
        main(['add', config, str(checkout / 'results.json'), 'loss', metric], checkout)
    assert read_results(checkout) == []


def test_a_run_is_added_once(checkout):
    command = ['add', CONFIG, str(checkout / 'results.json'), 'loss']
    main(command, checkout)
    with pytest.raises(UserError, match=r'has loss of configs/a/b\.py with seed 3 already'):
        main(command, checkout)
    assert len(read_results(checkout)) == 1


def test_outside_a_checkout_it_says_so(tmp_path):
    with pytest.raises(UserError, match='Run from the root of a checkout'):
        main([], tmp_path)
