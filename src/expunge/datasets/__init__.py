"""Data sets: one module each, with one ``load`` that returns a ``Dataset``."""

from expunge.datasets.base import Dataset

__all__ = ["Dataset"]
