"""The validation loss is torch's cross-entropy, computed from probabilities."""

import math

import pytest
import torch
from mmengine.registry import METRICS
from torch import nn

import mdvision
from mdvision import ClassificationLoss, UserError
from mdvision.evaluation.classification_loss import cross_entropy_of_probabilities


def samples(scores, labels):
    return [
        dict(pred_score=score, gt_label=torch.tensor([label]))
        for score, label in zip(scores, labels, strict=True)
    ]


@pytest.mark.parametrize('smoothing', [0.0, 0.1, 1.0])
def test_it_is_the_cross_entropy_of_torch(smoothing):
    logits = 4 * torch.randn(32, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.arange(32) % 7
    metric = ClassificationLoss(label_smoothing=smoothing)
    for part in (slice(0, 20), slice(20, 32)):
        metric.process(None, samples(logits[part].softmax(1), labels[part].tolist()))
    expected = nn.CrossEntropyLoss(label_smoothing=smoothing)(logits, labels).item()
    assert metric.evaluate(32) == {'loss': pytest.approx(expected, rel=1e-12)}


def test_a_probability_of_zero_is_bounded():
    loss = cross_entropy_of_probabilities(torch.tensor([1.0, 0.0]), 1)
    assert loss.dtype == torch.float64
    assert loss.item() == pytest.approx(-math.log(torch.finfo(torch.float32).tiny))


def test_what_it_cannot_judge_is_refused():
    metric = ClassificationLoss()
    with pytest.raises(UserError, match='pred_score and gt_label'):
        metric.process(None, [dict(pred_instances=1)])
    two = dict(pred_score=torch.tensor([0.5, 0.5]), gt_label=torch.tensor([0, 1]))
    with pytest.raises(UserError, match='one label per image, got 2'):
        metric.process(None, [two])
    with pytest.raises(UserError, match='label_smoothing from 0 to 1'):
        ClassificationLoss(label_smoothing=1.5)


def test_configs_find_it_by_name():
    assert isinstance(METRICS.build(dict(type='mdvision.ClassificationLoss')), mdvision.ClassificationLoss)
