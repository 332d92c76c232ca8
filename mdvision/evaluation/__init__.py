"""Metrics, each named after its protocol."""

from .classification_loss import ClassificationLoss
from .confusion import confusion_matrix
from .detection_metric import DetectionMetric
from .voc_ap import VocResult, evaluate_voc

__all__ = ['ClassificationLoss', 'DetectionMetric', 'VocResult', 'confusion_matrix', 'evaluate_voc']
