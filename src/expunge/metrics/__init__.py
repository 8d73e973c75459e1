"""Metrics: pure functions of outputs, and small classes that say when and over what they are evaluated."""

from expunge.metrics.base import Metric, View

__all__ = ["Metric", "View"]
