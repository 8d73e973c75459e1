"""Where a run's values go besides its own files."""

from expunge.tracking.base import Tracker

__all__ = ["Tracker"]
