"""Runs as data frames, and tables as CSV."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from expunge.report.read.runs import find_runs, finite
from expunge.report.tables.table_rows import Row, ordered, rows

_FORMULA = re.compile(r"'*\s*[=+\-@\t\n\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|-?inf", re.ASCII)


class Runs(pd.DataFrame):
    """A data frame with a row a run; ``removals`` is one with a row a request of each run."""

    _metadata = ["removals"]


def load(folders: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> Runs:
    """Read finished runs into data frames, in the order of the report's table.

    Args:
        folders: A folder of a run, or one that holds run folders at any depth; or several.

    Returns:
        One row a run: names and values of ``table.csv``, and every other number of ``summary.json``. Its
        ``removals`` has one row a request: the run's name as ``run``, and the columns of ``removals.jsonl``.

    Raises:
        RunFolderError: A folder is missing, a file in a run folder is broken, or there is no finished run.
    """
    runs = ordered(find_runs([folders] if isinstance(folders, (str, os.PathLike)) else folders).runs)
    frame = Runs([_line(row) for row in rows(runs)])
    frame.removals = pd.DataFrame([{"run": run.name, **record} for run in runs for record in run.records])
    return frame


def as_csv(lines: Iterable[Mapping[str, Any]], head: Sequence[str] | None = None) -> str:
    """Return CSV with the values as they are; what a line does not have, or is None, is an empty cell.

    A text that a spreadsheet would take for a formula has an apostrophe in front: names may be another's.

    Args:
        lines: One mapping a line.
        head: The columns; by default all keys, in the order in which they appear.
    """
    safe = ({key: unformulated(value) for key, value in line.items()} for line in lines)
    frame = pd.DataFrame(list(safe), columns=head, dtype=object)
    frame.columns = [unformulated(name) for name in frame.columns]
    return str(frame.to_csv(index=False, lineterminator="\n"))


def unformulated(value: Any) -> Any:
    """A cell that no spreadsheet computes, nor what comes after a break in it; numbers stay as they are."""
    if not isinstance(value, str) or _NUMBER.fullmatch(value):
        return value
    whole = value.replace("\r\n", "\n").replace("\r", "\n")  # a return alone is not quoted
    return f"'{whole}" if _FORMULA.match(whole) else whole


def _line(row: Row) -> dict[str, Any]:
    summary = row.of.summary
    numbers = {key: value for key, value in summary.items() if finite(value) is not None}
    return {
        **row.values,
        "seed": summary.get("seed"),
        **{k: v for k, v in numbers.items() if k not in row.values},
    }
