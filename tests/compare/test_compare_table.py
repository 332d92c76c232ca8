"""Tables and picture of a comparison, from numbers made up."""

import csv
import io
import json
import re
import struct

import pytest
import torch
from mmengine.config import Config

from mdvision.compare import costs, speed, table
from mdvision.compare.plan import Variant
from mdvision.compare.plot import draw_comparison
from mdvision.compare.speed import measure
from mdvision.compare.statistics import paired_difference, summarize

NASTY = r'a|b_c & 50% $x$ #1 {y} ~^\ [z] <w> `v` *u*'


def comparison(names=('first', 'second'), values=((90.0, 80.0, 70.0), (91.0, 81.1, 70.9)), **more):
    rows = tuple(
        table.Row(
            name,
            f'configs/{index}.py',
            tuple(own),
            summarize(own),
            paired_difference(own, values[0]) if index else None,
            params=1_234_567,
            macs=2_500_000,
        )
        for index, (name, own) in enumerate(zip(names, values, strict=True))
    )
    seeds = tuple(range(len(values[0])))
    return table.Comparison('accuracy/top1', False, 'last', seeds, rows, **more)


def test_a_table_says_how_its_numbers_came_about():
    text = table.as_markdown(comparison())
    assert '| second | 81.00 ± 10.05 | ' in text
    assert '| +1.00 | \\[+0.75, +1.25\\] | better | 1,234,567 | 2.500 M |' in text
    assert '| first | 90.00 | 80.00 | 70.00 |' in text
    assert 'over 3 seeds (0, 1, 2), of the last validation' in text
    assert "Student's t with 2 degrees of freedom" in text
    assert 'images/s' not in text  # nothing was measured


def test_one_seed_has_no_interval_and_no_verdict():
    text = table.as_markdown(comparison(values=((0.5,), (0.9,))))
    assert '| second | 0.9000 | - | +0.4000 | - | not distinguishable |' in text
    assert 'one seed: no interval' in text


def test_many_variants_are_warned_of_chance():
    many = comparison(('a', 'b', 'c'), ((1.0, 2.0),) * 3)
    assert 'Each of the 2 differences is judged on its own' in table.as_markdown(many)
    assert 'on its own' not in table.as_markdown(comparison())


def test_names_do_not_break_a_markdown_table():
    lines = table.as_markdown(comparison((NASTY, 'second'))).splitlines()
    rows = [line for line in lines if line.startswith('|')]
    counts = {len(re.findall(r'(?<!\\)\|', row)) for row in rows[:4]}
    assert len(counts) == 1


def test_names_do_not_break_a_latex_table():
    text = table.as_latex(comparison((NASTY, 'second')))
    row = next(line for line in text.splitlines() if line.startswith('a'))
    assert row.startswith(
        r'a\textbar{}b\_c \& 50\% \$x\$ \#1 \{y\} \textasciitilde{}\textasciicircum{}\textbackslash{} {[}z{]}'
    )
    assert len(re.findall(r'(?<!\\)&', row)) == 7
    assert text.count('{') - text.count(r'\{') == text.count('}') - text.count(r'\}')
    assert r'81.00 $\pm$ 10.05' in text
    assert r'{[}$-$' in table.as_latex(comparison(values=((90.0, 80.0), (80.0, 71.0))))


def test_csv_and_json_have_all_digits():
    of_two = comparison((NASTY, 'second'))
    rows = list(csv.DictReader(io.StringIO(table.as_csv(of_two))))
    assert rows[0]['variant'] == NASTY
    assert float(rows[1]['mean']) == of_two.rows[1].summary.mean
    assert float(rows[1]['difference_low']) == of_two.rows[1].difference.interval[0]
    assert (rows[0]['difference'], rows[1]['verdict'], rows[1]['seed_2']) == ('', 'better', '70.9')
    record = json.loads(table.as_json(of_two))
    assert record['variants'][1]['values'] == {'0': 91.0, '1': 81.1, '2': 70.9}
    assert record['variants'][1]['difference']['verdict'] == 'better'


@pytest.mark.parametrize('count', [2, 8])
def test_the_picture_grows_with_the_variants(count, tmp_path):
    names = [f'AVeryLongNameOfAnAttention_with_{i}_arguments(reduction=16, gate=$x_$)' for i in range(count)]
    values = [(90.0 + i, 80.0 + 2 * i, 70.0) for i in range(count)]
    path = draw_comparison(comparison(names, values), tmp_path / 'c.png')
    width, height = struct.unpack('>II', path.read_bytes()[16:24])
    assert width == 1500
    assert 300 < height < 1500


def test_speed_is_measured_for_each_and_a_fault_is_named():
    torch.manual_seed(0)
    backbone = dict(type='mdvision.AttentionResNet', depth=18, stem='cifar')
    model = dict(type='ImageClassifier', backbone=backbone, neck=dict(type='GlobalAveragePooling'),
                 head=dict(type='LinearClsHead', num_classes=3, in_channels=512))  # fmt: skip
    cfg = Config(dict(default_scope='mmpretrain', model=model, train_dataloader=dict(batch_size=2)))
    results = measure(['a', 'b'], [cfg, cfg], [[3, 16, 16], None], torch.device('cpu'))
    assert results[0]['images_per_second'] > 0
    assert results[0]['memory'] is None
    assert 'not known' in results[1]['problem']


@pytest.mark.fault('D34')
@pytest.mark.parametrize(
    ('wrapper', 'dtype'),
    [
        (dict(type='AmpOptimWrapper'), torch.float16),
        (dict(type='AmpOptimWrapper', dtype='bfloat16'), torch.bfloat16),
        (dict(type='AmpOptimWrapper', dtype='float16'), torch.float16),
        (dict(type='BFloat16OptimWrapper'), torch.bfloat16),
        (dict(type='OptimWrapper'), None),
        (dict(), None),
    ],
)
def test_speed_is_measured_in_the_precision_of_the_training(wrapper, dtype):
    assert speed._half_of(wrapper) == dtype


@pytest.mark.fault('D33')
@pytest.mark.parametrize('text', ['{"counts": {"a"', '[]', '{}', ''])
def test_costs_that_were_cut_short_are_counted_again(text, tmp_path, monkeypatch):
    monkeypatch.setattr(costs, '_counted', lambda *_: dict(macs=7))
    (tmp_path / 'costs.json').write_text(text)
    cfg = Config(dict(train_dataloader=dict(batch_size=2)))
    arguments = (tmp_path, [Variant('a', 'a.py')], [cfg], ['key'], False)
    assert costs.costs_of(*arguments)['counts'] == [dict(macs=7)]
    assert json.loads((tmp_path / 'costs.json').read_text())['counts'] == dict(key=dict(macs=7))
    assert [path.name for path in tmp_path.iterdir()] == ['costs.json']
