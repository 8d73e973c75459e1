"""No tracker: the run's own files are enough."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

from expunge.core.columns import Columns


class NoTracker:
    """Receives everything and keeps nothing."""

    def start(self, config: dict[str, Any], folder: Path, group: str | None) -> None:
        """Nothing to begin."""

    def define(self, columns: Columns) -> None:
        """Nothing to define."""

    def log(self, record: dict[str, Any]) -> None:
        """Nothing to keep."""

    def finish(self, summary: dict[str, Any]) -> None:
        """Nothing to close."""

    def __enter__(self) -> NoTracker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to let go of."""
