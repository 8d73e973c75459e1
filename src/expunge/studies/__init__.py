"""Experiments that fit and remove nothing: they time or evaluate a part of the package, cell by cell."""

from expunge.studies.base import Study

__all__ = ["Study"]
