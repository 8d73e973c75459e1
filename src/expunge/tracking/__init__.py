"""Where a run's values go besides its own files."""

from expunge.tracking.base import Tracker
from expunge.tracking.guarded import Guarded

__all__ = ["Guarded", "Tracker"]
