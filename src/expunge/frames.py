"""Runs as data frames."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import pandas as pd

from expunge.core.text import finite
from expunge.record.folders.runs import find_runs
from expunge.report.tables.table_rows import Row, ordered, rows


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


def _line(row: Row) -> dict[str, Any]:
    summary = row.of.summary
    others = {k: v for k, v in summary.items() if finite(v) is not None and k not in row.values}
    return {**row.values, "seed": summary.get("seed"), **others}
