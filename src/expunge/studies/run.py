"""Running a study: a line per cell in ``results.jsonl``, on disk before the next begins, then a summary."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from expunge.core.errors import InvalidValue, RunFolderError
from expunge.core.plain import plain
from expunge.record.inputs import Inputs
from expunge.record.ledger import RESULTS, Ledger, read_ledger
from expunge.record.summary import versions
from expunge.record.written import write_summary
from expunge.studies.base import Study
from expunge.tracking import Guarded, Tracker

_KEYS = ("cell", "seconds")


def run_study(
    study: Study,
    settings: dict[str, Any],
    folder: Path,
    seed: int,
    progress: bool,
    tracker: Tracker,
    group: str | None = None,
    inputs: Inputs | None = None,
    hidden: Callable[[Any], Any] = lambda value: value,
    draw: Callable[[Path], Path | None] = lambda folder: None,
) -> dict[str, Any]:
    """Run ``study`` in ``folder`` and return its summary; one that was interrupted goes on at its next cell.

    ``tracker`` is given ``settings`` (the resolved configuration), ``group`` (the name of the sweep the run
    belongs to), and each record's plain values with ``request`` as the number of the cell. ``progress`` shows
    a bar on a terminal. ``inputs`` are what the study is made from besides. ``hidden`` takes out
    of a summary what is not for its readers. ``draw`` draws the figures for a tracker that takes them.

    Raises:
        RunFolderError: The folder holds records of other cells.
        DataError: A file that a setting names has changed in the meantime.
        InvalidValue: A setting turned out not to be usable; it is named ``study.key``.
    """
    cells = [plain(cell, "cell") for cell in study.cells()]  # as they come back from the file
    with Ledger(folder / RESULTS, _KEYS, "study") as results, Guarded(tracker) as told:
        _must_belong(folder / RESULTS, results.records(), cells)
        told.start(settings, folder, group)
        for record in results.records():
            told.log(_plain(record))
        done, disable = results.lines, None if progress else True
        with tqdm(total=len(cells), initial=done, disable=disable, unit="cell", dynamic_ncols=True) as bar:
            for number, cell in enumerate(cells[done:], start=done + 1):
                bar.set_postfix_str(" ".join(map(str, cell.values())))
                told.log(_plain(results.append(_record(study, number, cell, seed))))
                bar.update()
        inputs = inputs or Inputs()
        inputs.require_unchanged(thorough=True)
        results.require_whole()
        records = list(results.records())
        found = {
            "study": study.name,
            "seed": settings.get("seed", seed),
            "cells": len(cells),
            "seconds": sum(record["seconds"] for record in records),
            **study.summary(records),
            "table": study.table(records),
            "inputs": inputs.shown(),
            "versions": versions(),
        }
        summary: dict[str, Any] = plain(hidden(found), "summary")
        write_summary(folder, summary)  # the seed is in it
        told.finish(summary)
        told.figures(partial(draw, folder))
    return summary


def draw_study(study: Study, folder: Path, into: Path) -> None:
    """Draw the figures of a complete study, from its records in ``folder``."""
    study.figures(list(read_ledger(folder / RESULTS, _KEYS, "study")), into)


def _record(study: Study, number: int, cell: dict[str, Any], seed: int) -> dict[str, Any]:
    started = time.perf_counter()
    try:
        result = study.run_cell(cell, seed)
    except InvalidValue as error:
        raise error.within("study") from None
    return {"cell": number, "seconds": time.perf_counter() - started, **cell, **result}


def _must_belong(path: Path, records: Iterable[dict[str, Any]], cells: list[dict[str, Any]]) -> None:
    """The settings match already; the cells do too unless the file or the code has changed."""
    for number, record in enumerate(records, start=1):
        cell = cells[number - 1] if number <= len(cells) else None
        if cell is None or any(record.get(key) != value for key, value in cell.items()):
            raise RunFolderError(f"{path}:{number}: not the cell {cell}; the study cannot be continued")


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    """What a tracker can plot: numbers and names, with the step under the name that runs use."""
    kept = {key: value for key, value in record.items() if isinstance(value, (str, int, float))}
    return {"request": record["cell"], **kept}
