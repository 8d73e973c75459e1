"""One row of the side-by-side table: everything that the report says of a run, unrounded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from expunge.report.runs import Run, finite


@dataclass(frozen=True)
class Row:
    """What is said of one run.

    Attributes:
        of: The run; of a mean over seeds, the first of them.
        values: Key -> value, a line of ``table.csv``: words, counts, and unrounded numbers. A value can also
            be had as an attribute, which is None where the row has no such key.
    """

    of: Run
    values: Mapping[str, Any]

    def __getattr__(self, key: str) -> Any:
        if key == "values" or key.startswith("_"):
            raise AttributeError(key)
        return self.values.get(key)

    def number(self, key: str) -> float | None:
        """Return the value of ``key`` as a finite number; None where it is something else, or not there."""
        return finite(self.values.get(key))


def ratio(above: float | None, below: float | None) -> float | None:
    """Return ``above / below``; None where one of them is not known, or from 0."""
    return above / below if above is not None and below else None
