"""Metrics: what turns boxes into numbers, each named after its protocol."""

from .detection_metric import DetectionMetric
from .voc_ap import VocResult, evaluate_voc

__all__ = ['DetectionMetric', 'VocResult', 'evaluate_voc']
