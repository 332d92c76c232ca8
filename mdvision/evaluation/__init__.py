"""Metrics: what turns predictions into numbers, each named after its protocol."""

from .classification_loss import ClassificationLoss
from .detection_metric import DetectionMetric
from .voc_ap import VocResult, evaluate_voc

__all__ = ['ClassificationLoss', 'DetectionMetric', 'VocResult', 'evaluate_voc']
