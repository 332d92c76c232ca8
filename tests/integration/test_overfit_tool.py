"""The learning test of detectors learns, and says so when one does not."""

import pytest

from tests.running import ROOT, run_tool, start_tool


@pytest.mark.slow
@pytest.mark.parametrize('config', ['emanet/faster_rcnn_voc.py', 'lma/lma_resnet50_retinanet_voc.py'])
def test_a_detector_learns_eight_images(config):
    printed = run_tool('overfit.py', ROOT / 'configs' / config, '--small', '--minutes', '4', '--threads', '1')
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
