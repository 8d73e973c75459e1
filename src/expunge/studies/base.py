"""The interface of a study. One file that implements it and one YAML are a new experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol


class Study(Protocol):
    """What is to be computed, one cell at a time, and what it comes to.

    The constructor takes the keys of the ``study`` node, and ``seed``, ``threads`` and ``cache`` (the folder
    of what was trained) of the run where it names them; it checks all that can be checked before the first
    cell. Everything shown afterwards is made from the records alone, so that a study that was killed goes on
    at its next cell.

    Attributes:
        name: What summary and report call it.
    """

    name: str

    def cells(self) -> list[dict[str, Any]]:
        """The cells in order, each a few JSON values; the same settings give the same cells."""

    def run_cell(self, cell: dict[str, Any], seed: int) -> dict[str, Any]:
        """Compute one cell; it must not depend on the cells before it.

        Returns:
            JSON values without NaN. ``seconds`` may be among them; else it is the wall time of this call.
        """

    def table(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Rows to show: column -> text, number or None; the first column names the row."""

    def summary(self, records: list[dict[str, Any]]) -> dict[str, Any]:
        """Headline numbers for ``summary.json``."""

    def figures(self, records: list[dict[str, Any]], folder: Path) -> None:
        """Write pictures into ``folder``, which may not exist yet."""
