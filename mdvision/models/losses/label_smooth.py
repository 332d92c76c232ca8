"""Cross-entropy with MDNET's smoothed target, which sums to slightly more than 1.

Source: MDNET (Gaojinghan1/MDNET).
Shapes: B samples, K classes.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from mdvision.errors import UserError
from mdvision.registry import MODELS

__all__ = ['UnnormalizedLabelSmoothLoss']


@MODELS.register_module()
class UnnormalizedLabelSmoothLoss(nn.Module):
    """``-sum_k t_k log softmax(score)_k`` with ``t = (1 - e) onehot + e / (K - 1)`` in every class.

    The smoothing is added to the true class too, so the target sums to ``1 + e / (K - 1)``: with
    e = 0.1 and 100 classes the true class has 0.90101. Label smoothing proper shares e among all K
    classes (mmpretrain's ``LabelSmoothLoss``, torch's ``label_smoothing``).

    Args:
        label_smooth_val: e, from 0 to below 1.
        reduction: 'mean', 'sum' or 'none'.
        loss_weight: factor on the result.

    Raises:
        UserError: an argument is out of range, labels have the wrong shape, or there is a single class.
    """

    def __init__(self, label_smooth_val: float = 0.1, reduction: str = 'mean', loss_weight: float = 1.0):
        super().__init__()
        if not 0 <= label_smooth_val < 1:
            raise UserError(
                f'{type(self).__name__}: label_smooth_val must be in [0, 1), got {label_smooth_val}.'
            )
        self._check_reduction(reduction)
        self.label_smooth_val = label_smooth_val
        self.reduction = reduction
        self.loss_weight = loss_weight

    def _check_reduction(self, reduction: str) -> None:
        if reduction not in ('mean', 'sum', 'none'):
            raise UserError(
                f"{type(self).__name__}: the reduction must be 'mean', 'sum' or 'none', got {reduction!r}."
            )

    def forward(
        self,
        cls_score: Tensor,
        label: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | None = None,
        reduction_override: str | None = None,
    ) -> Tensor:
        """(B, K) scores and (B,) or one-hot or mixed (B, K) labels -> the loss, or (B,) losses for 'none'.

        Args:
            cls_score: scores before the softmax.
            label: class numbers, or the share of each class.
            weight: (B,) factor on each sample.
            avg_factor: what 'mean' divides the sum by, instead of B.
            reduction_override: a reduction for this call.
        """
        reduction = reduction_override or self.reduction
        self._check_reduction(reduction)
        if avg_factor is not None and reduction == 'sum':
            raise UserError(f"{type(self).__name__}: avg_factor has no meaning with the reduction 'sum'.")
        classes = cls_score.shape[1]
        if classes < 2:
            raise UserError(f'{type(self).__name__}: smoothing needs at least 2 classes, got {classes}.')
        if label.shape not in (cls_score.shape[:1], cls_score.shape):
            raise UserError(
                f'{type(self).__name__}: for scores of shape {tuple(cls_score.shape)} the labels must have '
                f'the same shape or {tuple(cls_score.shape[:1])}, got {tuple(label.shape)}.'
            )
        log_probability = F.log_softmax(cls_score, dim=1)
        if label.dim() == 1:
            label = F.one_hot(label, classes)
        smoothing = self.label_smooth_val
        target = (1 - smoothing) * label.to(log_probability) + smoothing / (classes - 1)
        loss = -(target * log_probability).sum(1)  # (B,)
        if weight is not None:
            loss = loss * weight
        if reduction == 'mean':
            loss = loss.sum() / (len(loss) if avg_factor is None else avg_factor)
        elif reduction == 'sum':
            loss = loss.sum()
        return self.loss_weight * loss
