"""No tracker: the run's own files are enough."""

from __future__ import annotations

from expunge.tracking.base import Tracker


class NoTracker(Tracker):
    """Receives everything and keeps nothing."""
