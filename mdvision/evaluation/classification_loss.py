"""The validation loss of a classifier, which MMPretrain does not compute."""

from collections.abc import Sequence

import torch
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS
from torch import Tensor

from mdvision.errors import UserError

__all__ = ['ClassificationLoss', 'cross_entropy_of_probabilities']


def cross_entropy_of_probabilities(
    probabilities: Tensor, label: int | Tensor, label_smoothing: float = 0.0
) -> Tensor:
    """Return ``-sum_c q_c log p_c`` with ``q = (1 - s) onehot + s / C``, as ``torch.nn.CrossEntropyLoss``.

    Computed in float64. A probability that float32 has rounded to 0 counts as its smallest normal number,
    1.2e-38, so a single image contributes at most 87.4.

    Args:
        probabilities: (C,), not logits.
        label: the class of the image.
        label_smoothing: s, from 0 to 1.
    """
    logs = probabilities.double().clamp(min=torch.finfo(torch.float32).tiny).log()
    return -(1 - label_smoothing) * logs[label] - label_smoothing * logs.mean()


@METRICS.register_module()
class ClassificationLoss(BaseMetric):
    """Mean cross-entropy over the evaluated images, from the scores of the head.

    It is logged as ``loss``: the validation loss beside the training loss. The two are comparable if the
    training loss is a plain cross-entropy with the same smoothing, without mixup or further terms; with them
    the training loss is higher by construction.

    Args:
        label_smoothing: that of the training loss.
        collect_device: see mmengine's BaseMetric.

    Raises:
        UserError: a smoothing out of range, or images without a score or with several labels.
    """

    default_prefix = ''

    def __init__(self, label_smoothing: float = 0.0, collect_device: str = 'cpu'):
        super().__init__(collect_device=collect_device)
        if not 0 <= label_smoothing <= 1:
            raise UserError(
                f'ClassificationLoss: expected label_smoothing from 0 to 1, got {label_smoothing}.'
            )
        self.label_smoothing = label_smoothing

    def process(self, data_batch: object, data_samples: Sequence[dict]) -> None:
        for sample in data_samples:
            if 'pred_score' not in sample or 'gt_label' not in sample:
                raise UserError(
                    'ClassificationLoss needs pred_score and gt_label for each image, got '
                    f'{", ".join(sorted(sample.keys()))}. It is for classifiers and labeled data.'
                )
            score, label = sample['pred_score'].cpu(), sample['gt_label'].cpu()
            if label.numel() != 1:
                raise UserError(
                    f'ClassificationLoss: expected one label per image, got {label.numel()}. Multi-label '
                    'data needs another metric.'
                )
            loss = cross_entropy_of_probabilities(score, label.item(), self.label_smoothing)
            self.results.append(loss.item())

    def compute_metrics(self, results: list[float]) -> dict[str, float]:
        return dict(loss=float(torch.tensor(results, dtype=torch.float64).mean()))
