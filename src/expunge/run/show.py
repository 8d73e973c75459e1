"""What is shown of a run when it is complete: its figures, and its table on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from expunge.core.errors import say
from expunge.core.folders import whole

FIGURES = "figures"
"""Folder of the figures in a run folder; it is there when all of them are."""


def is_study(settings: Mapping[Any, Any]) -> bool:
    """Whether the configuration is that of a study, which fits and removes nothing."""
    return settings.get("study") is not None


def show(folder: Path, settings: dict[str, Any], swept: bool) -> None:
    """Draw the figures of a run and print its table; of a cell draw them only where that is asked for."""
    if settings["figures"] != "all" and (swept or not settings["figures"]):
        return
    table = show_study(folder, settings) if is_study(settings) else show_run(folder)
    if not swept:
        say(f"{table}\nRun folder: {folder}\n")


def show_run(folder: Path) -> str:
    """Draw the figures of a run and return its table."""
    from expunge.report import read_run
    from expunge.report.figures.draw import write_run_figures
    from expunge.report.tables import table
    from expunge.report.tables.table_rows import rows

    finished = read_run(folder)
    with whole(folder / FIGURES) as drawn:
        write_run_figures(finished, drawn)
    return table.as_text(rows([finished]))


def show_study(folder: Path, settings: dict[str, Any]) -> str:
    """Draw the figures of a study and return its table."""
    from expunge.report.read.runs import read_study
    from expunge.report.tables.studies import as_text
    from expunge.run.build import build_study
    from expunge.studies.run import draw_study

    with whole(folder / FIGURES) as drawn:
        draw_study(build_study(settings)[0], folder, drawn)
    return as_text(read_study(folder))
