"""MDNET's label smoothing: the authors' value, the reductions of a host's loss, a host's head."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mdvision.errors import UserError
from mdvision.models.losses import UnnormalizedLabelSmoothLoss

FIXTURE = Path(__file__).parents[1] / 'data' / 'golden' / 'schedules.npz'


@pytest.fixture(scope='module')
def fixture():
    with np.load(FIXTURE, allow_pickle=False) as file:
        return {name: torch.from_numpy(file[name]) for name in file.files if name.startswith('label_smooth')}


@pytest.fixture(scope='module')
def scores(fixture):
    return fixture['label_smooth_logits'].double()


@pytest.fixture(scope='module')
def labels(fixture):
    return fixture['label_smooth_targets']


def test_the_loss_is_the_authors(fixture, scores, labels):
    loss = UnnormalizedLabelSmoothLoss(0.1)(scores, labels)
    assert abs(loss - fixture['label_smooth_mdnet']) < 1e-6


def test_label_smoothing_proper_is_another_value(fixture, scores, labels):
    loss = F.cross_entropy(scores, labels, label_smoothing=0.1)
    assert abs(loss - fixture['label_smooth_torch']) < 1e-6
    assert fixture['label_smooth_mdnet'] - fixture['label_smooth_torch'] > 5e-3


def test_a_head_of_mmpretrain_takes_it(fixture, scores, labels):
    from mmengine.registry import init_default_scope
    from mmpretrain.registry import MODELS
    from mmpretrain.structures import DataSample

    init_default_scope('mmpretrain')
    loss = dict(type='mdvision.UnnormalizedLabelSmoothLoss', label_smooth_val=0.1)
    head = MODELS.build(dict(type='LinearClsHead', num_classes=100, in_channels=100, loss=loss)).double()
    torch.nn.init.eye_(head.fc.weight)
    torch.nn.init.zeros_(head.fc.bias)
    samples = [DataSample().set_gt_label(label) for label in labels]
    assert abs(head.loss((scores,), samples)['loss'] - fixture['label_smooth_mdnet']) < 1e-6
    # Mixup and CutMix hand over shares of classes.
    for sample, share in zip(samples, F.one_hot(labels, 100), strict=True):
        sample.set_gt_score(share.double())
    assert abs(head.loss((scores,), samples)['loss'] - fixture['label_smooth_mdnet']) < 1e-6


def test_without_smoothing_it_is_the_cross_entropy(scores, labels):
    loss = UnnormalizedLabelSmoothLoss(0.0)(scores, labels)
    torch.testing.assert_close(loss, F.cross_entropy(scores, labels))


def test_the_loss_is_linear_in_the_labels(scores, labels):
    loss = UnnormalizedLabelSmoothLoss(0.1)
    first, second = F.one_hot(labels, 100), F.one_hot(labels.flip(0), 100)
    mixed = loss(scores, 0.3 * first + 0.7 * second)
    torch.testing.assert_close(mixed, 0.3 * loss(scores, first) + 0.7 * loss(scores, second))


def test_reductions(scores, labels):
    loss = UnnormalizedLabelSmoothLoss(0.1, loss_weight=2.0)
    each = loss(scores, labels, reduction_override='none')
    assert each.shape == (6,)
    weight = torch.arange(6.0, dtype=torch.float64)
    torch.testing.assert_close(loss(scores, labels), each.mean())
    torch.testing.assert_close(loss(scores, labels, reduction_override='sum'), each.sum())
    torch.testing.assert_close(loss(scores, labels, weight, avg_factor=3), (each * weight).sum() / 3)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(label_smooth_val=1.0), r'label_smooth_val must be in \[0, 1\), got 1.0'),
        (dict(reduction='average'), "got 'average'"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(UserError, match=message):
        UnnormalizedLabelSmoothLoss(**arguments)


def test_bad_calls(scores, labels):
    loss = UnnormalizedLabelSmoothLoss()
    with pytest.raises(UserError, match=r'the same shape or \(6,\), got \(6, 1\)'):
        loss(scores, labels[:, None])
    with pytest.raises(UserError, match='at least 2 classes, got 1'):
        loss(scores[:, :1], labels * 0)
    with pytest.raises(UserError, match='avg_factor'):
        loss(scores, labels, avg_factor=6, reduction_override='sum')
