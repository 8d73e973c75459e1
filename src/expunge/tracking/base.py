"""The tracker's interface. A run's files are the truth; a tracker only receives the same values."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from expunge.core.columns import Columns


class Tracker(Protocol):
    """A context manager that is told each record and the summary.

    One that also has ``figures(folder)`` gets the folder of the run's figures after the summary, where it
    is to have any; they are drawn while the tracker is still there, and otherwise when the run is over.
    """

    def start(self, config: dict[str, Any], folder: Path, group: str | None) -> None:
        """Begin: the resolved configuration, the run folder, the sweep the run belongs to."""

    def define(self, columns: Columns) -> None:
        """Receive what the records' numbers are called and mean, once, before the first record."""

    def before(self, record: dict[str, Any]) -> None:
        """Receive the numbers of the model before any removal, as request 0, before the first record."""

    def log(self, record: dict[str, Any]) -> None:
        """Receive one ledger record; on resume the earlier ones come first."""

    def finish(self, summary: dict[str, Any]) -> None:
        """Receive the summary of a run that is complete."""

    def __enter__(self) -> Tracker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of everything; called on failure too, so that the next job of a sweep starts clean."""
