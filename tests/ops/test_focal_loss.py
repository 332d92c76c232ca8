"""Sigmoid focal loss against its formula."""

import math

import pytest
import torch
from mmcv.ops import SigmoidFocalLoss, sigmoid_focal_loss
from torchvision.ops import sigmoid_focal_loss as torchvision_focal_loss


def formula(logits, target, gamma, alpha, weight=None):
    """The loss element by element, from the definition."""
    rows = []
    for row, label in zip(logits.tolist(), target.tolist(), strict=True):
        factor = 1 if weight is None else weight[label].item()
        losses = []
        for column, logit in enumerate(row):
            p = 1 / (1 + math.exp(-logit))
            if column == label:
                losses.append(factor * -alpha * (1 - p) ** gamma * math.log(p))
            else:
                losses.append(factor * -(1 - alpha) * p**gamma * math.log(1 - p))
        rows.append(losses)
    return torch.tensor(rows, dtype=torch.float64)


@pytest.fixture
def logits(rng):
    return torch.randn(6, 4, generator=rng, dtype=torch.float64) * 2


TARGET = torch.tensor([0, 3, 4, 1, 4, 2])  # 4 is the background of four classes


def test_the_loss_at_probability_one_half_is_a_quarter_of_the_weighted_logarithm():
    loss = sigmoid_focal_loss(torch.zeros(1, 2), torch.tensor([0]), 2.0, 0.25, None, 'none')
    torch.testing.assert_close(loss, torch.tensor([[0.0625, 0.1875]]) * math.log(2))


@pytest.mark.parametrize(('gamma', 'alpha'), [(2.0, 0.25), (0.0, 0.5), (1.5, 0.9)])
def test_the_loss_agrees_with_the_formula(logits, gamma, alpha):
    loss = sigmoid_focal_loss(logits, TARGET, gamma, alpha, None, 'none')
    torch.testing.assert_close(loss, formula(logits, TARGET, gamma, alpha), rtol=1e-12, atol=1e-12)


def test_the_loss_agrees_with_torchvision(logits):
    one_hot = torch.nn.functional.one_hot(TARGET, 5)[:, :4].double()
    expected = torchvision_focal_loss(logits, one_hot, alpha=0.25, gamma=2.0, reduction='none')
    torch.testing.assert_close(sigmoid_focal_loss(logits, TARGET, 2.0, 0.25, None, 'none'), expected)


def test_sum_adds_all_elements_and_mean_divides_by_the_rows(logits):
    expected = formula(logits, TARGET, 2.0, 0.25).sum()
    torch.testing.assert_close(sigmoid_focal_loss(logits, TARGET, 2.0, 0.25, None, 'sum'), expected)
    torch.testing.assert_close(sigmoid_focal_loss(logits, TARGET, 2.0, 0.25, None, 'mean'), expected / 6)


def test_class_weights_multiply_the_rows_of_their_class(logits):
    weight = torch.tensor([0.5, 2.0, 3.0, 0.1], dtype=torch.float64)
    with_background = torch.cat([weight, torch.ones(1, dtype=torch.float64)])
    loss = SigmoidFocalLoss(2.0, 0.25, weight, 'none')(logits, TARGET)
    torch.testing.assert_close(loss, formula(logits, TARGET, 2.0, 0.25, with_background))


@pytest.mark.parametrize('weight', [None, torch.tensor([0.5, 2.0, 3.0, 0.1], dtype=torch.float64)])
@pytest.mark.parametrize('gamma', [0.0, 1.5, 2.0])
def test_the_gradient_is_right(logits, gamma, weight):
    logits.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: sigmoid_focal_loss(x, TARGET, gamma, 0.25, weight, 'mean'), (logits,)
    )


def test_confident_mistakes_have_an_exact_loss_and_a_finite_gradient():
    logits = torch.tensor([[-200.0, 200.0]], requires_grad=True)
    loss = sigmoid_focal_loss(logits, torch.tensor([0]), 2.0, 0.25, None, 'none')
    torch.testing.assert_close(loss, torch.tensor([[50.0, 150.0]]))
    loss.sum().backward()
    torch.testing.assert_close(logits.grad, torch.tensor([[-0.25, 0.75]]))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_16_bit_equals_float32_rounded_once(logits, dtype):
    low = logits.to(dtype).requires_grad_()
    wide = low.detach().float().requires_grad_()
    loss, expected = (sigmoid_focal_loss(x, TARGET, 2.0, 0.25, None, 'none') for x in (low, wide))
    assert loss.dtype == dtype
    torch.testing.assert_close(loss, expected.to(dtype), rtol=0, atol=0)
    loss.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(low.grad, wide.grad.to(dtype), rtol=0, atol=0)


def test_no_rows_give_no_loss():
    logits = torch.zeros(0, 4, requires_grad=True)
    loss = sigmoid_focal_loss(logits, torch.zeros(0, dtype=torch.long), 2.0, 0.25, None, 'sum')
    loss.backward()
    assert loss == 0
    assert logits.grad.shape == (0, 4)
