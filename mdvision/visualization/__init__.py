"""Figures: learning curves, confusion matrices, precision-recall curves, sheets of predictions."""
