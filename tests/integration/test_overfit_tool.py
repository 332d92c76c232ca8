"""The learning test of detectors learns, and says so when one does not."""

import csv

import pytest

from tests.running import ROOT, run_tool, start_tool


def test_every_detector_config_has_passed():
    with open(ROOT / 'results' / 'overfit.csv', newline='', encoding='utf-8') as file:
        rows = {row['config']: row for row in csv.DictReader(file)}
    found = [*ROOT.glob('configs/*/*faster_rcnn*.py'), *ROOT.glob('configs/*/*retinanet*.py')]
    assert set(rows) == {path.relative_to(ROOT).as_posix() for path in found}
    assert all(float(row['mAP50']) >= 0.9 for row in rows.values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ('config', 'options'),
    [
        ('lma/lma_resnet18_faster_rcnn_voc.py', []),
        # One convolution in each head instead of four: it learns in fewer than half the iterations.
        ('lma/lma_resnet50_retinanet_voc.py', ['--cfg-options', 'model.bbox_head.stacked_convs=1']),
    ],
)
def test_a_detector_learns_eight_images(config, options):
    printed = run_tool(
        'overfit.py', ROOT / 'configs' / config, '--small', '--minutes', '4', '--threads', '1',
        '--lr', '0.002', *options,
    )  # fmt: skip
    assert 'passed' in printed
    score = float(printed.partition('passed')[2].partition('mAP50 ')[2].split()[0])
    assert score >= 0.9


@pytest.mark.slow
def test_a_detector_that_cannot_learn_fails():
    """At a rate of nearly nothing."""
    config = ROOT / 'configs/lma/lma_resnet50_retinanet_voc.py'
    result = start_tool(
        'overfit.py', config, '--small', '--minutes', '0.05', '--threads', '1', '--lr', '1e-9'
    )
    assert result.returncode == 1
    assert 'FAILED' in result.stdout
    assert '1 of 1 did not reach mAP50 0.9 on 8 images in 0.05 minutes' in result.stderr
    assert 'Traceback' not in result.stdout + result.stderr


def test_a_classifier_is_refused():
    result = start_tool('overfit.py', ROOT / 'configs/emanet/emanet50_cifar10.py', '--small')
    assert result.returncode == 1
    assert 'is no detector' in result.stderr
