"""What a sweep comes to: ``sweep.json`` with everything, ``sweep.csv`` with what repeats byte for byte."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf

from expunge.core import spreadsheets
from expunge.core.errors import one_line
from expunge.core.files import write_atomically, write_json
from expunge.core.intervals import interval
from expunge.core.text import finite
from expunge.core.variance import Draws, decomposed, outermost
from expunge.record.chance import LEVELS, is_nested, path_of
from expunge.record.columns import as_json, merged, of_run
from expunge.record.folders.runs import FoundRuns
from expunge.record.folders.sweeps import FILE as JSON
from expunge.run.sound import RECORD
from expunge.run.yaml_files import load_yaml
from expunge.sweep.command import matters
from expunge.sweep.jobs import Job, earlier, read

CSV = "sweep.csv"
DAMAGED = "damaged"
_VARYING = ("versions",)  # besides times and memory
_COST = re.compile("seconds|memory")
_NOT_OF_DATA = re.compile("(extractor|model|training|unlearner|removal|metrics|stop_at_limit)([.@]|$)")
_FIRST = ("run", "status", "error")


def collect(sweep: Path) -> tuple[dict[str, Any], FoundRuns]:
    """Return what ``sweep.json`` holds, from the jobs of the latest command and their run folders; and those.

    After them come the cells that earlier commands have done in the same folder, marked ``earlier``. Where a
    file of a cell that is done cannot be read, it is ``damaged``, and nothing else is said of it.
    """
    latest = read(sweep)
    runs = {job.run for job in latest}
    others = [job for job in earlier(sweep) if job.run not in runs]
    done = dict.fromkeys(job.run for job in [*latest, *others] if job.status == "done" and job.run)
    found = FoundRuns.of(((sweep / run, run) for run in done), strict=False)
    summaries: dict[str | None, dict[str, Any]] = {run.name: run.summary for run in found.runs}
    summaries |= {study.name: study.summary for study in found.studies}
    damage: dict[str | None, str] = {one.name: f"{one.name}: {one.error}" for one in found.left_out}
    cells = [
        *(_cell(job, summaries, damage) for job in latest),
        *(_cell(job, summaries, damage) | {"earlier": True} for job in others),
    ]
    # What the numbers are is said once, not in every cell.
    said = merged(of_run({"columns": (cell["summary"] or {}).pop("columns", {})}) for cell in cells)
    whole = {"sweep": sweep.name, "columns": as_json(said), "cells": cells, "over_seeds": over_seeds(cells)}
    if sources := variance(cells, [key for key, column in said.items() if column.main]):
        whole["variance"] = sources
    return whole, found


def write(sweep: Path, found: Mapping[str, Any]) -> None:
    """Write ``sweep.json`` and ``sweep.csv``, each whole or not at all; seeds are for the owner alone."""
    write_json(sweep / JSON, found, secret=True)
    write_atomically(sweep / CSV, as_csv(found["cells"]).encode(), secret=True)


def mixed(cells: Sequence[Mapping[str, Any]], sweep: Path) -> list[str]:
    """Return the parts of data of which cells have different contents that differ in no setting of data.

    Such data have changed while the sweep was running, from one cell to the next.
    """
    found = _of_different_content(cells, but=("seed",))
    if found and any(_draws_data(sweep / cell["run"]) for cell in cells if cell["summary"]):
        return _of_different_content(cells)
    return found


def _draws_data(run: Path) -> bool:
    """Whether a run's data may depend on its seed."""
    recorded = run / RECORD / "config.yaml"
    if not recorded.is_file():
        return True
    return "${seed}" in OmegaConf.to_yaml(OmegaConf.select(load_yaml(recorded)[0], "dataset") or {})


def _of_different_content(cells: Sequence[Mapping[str, Any]], but: Sequence[str] = ()) -> list[str]:
    seen: dict[tuple[str, str], set[str]] = {}
    for cell in cells:
        settings = {key: value for key, value in cell["settings"].items() if key not in but}
        asked = {key: value for key, value in settings.items() if not _NOT_OF_DATA.match(key)}
        for name, digest in ((cell["summary"] or {}).get("inputs") or {}).items():
            if name.startswith("dataset"):
                seen.setdefault((name, json.dumps(asked, sort_keys=True)), set()).add(digest)
    return list(dict.fromkeys(name for (name, _), digests in seen.items() if len(digests) > 1))


def as_csv(cells: Sequence[Mapping[str, Any]]) -> str:
    """Return one row per cell: status, what it was asked for, and the numbers and names of its summary.

    Times, memory and versions are left out: the same command gives the same file, broken off or not.
    """
    settings = _keys(cell["settings"] for cell in cells)
    summary = _keys(_repeating(cell["summary"] or {}) for cell in cells)
    head = [*_FIRST, *settings, *(key for key in summary if key not in settings)]
    lines = [
        {**_repeating(cell["summary"] or {}), **cell["settings"], **{key: cell[key] for key in _FIRST}}
        for cell in cells
    ]
    return spreadsheets.as_csv(lines, head)


def over_seeds(cells: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return mean and 95% interval of every number of the summaries of cells that differ in their seed alone.

    Only cells that are done count; where fewer than two seeds are, there is nothing to say. Repeats and
    evaluations of one seed are no more seeds: their mean counts once.
    """
    return [_group(group) for group in _alike(cells) if len({path[0] for path in group}) > 1]


def variance(cells: Sequence[Mapping[str, Any]], keys: Iterable[str]) -> list[dict[str, Any]]:
    """Return where the variance of numbers comes from, where cells of one seed have several draws.

    Cells without the number, or that are not done, are missing draws (``expunge.core.variance``).
    """
    found = []
    for group in filter(is_nested, _alike(cells)):
        numbers = {}
        for key in keys:
            own = {path: finite(cell["summary"].get(key)) for path, cell in group.items()}
            if known := {path: number for path, number in own.items() if number is not None}:
                parts = asdict(decomposed(known))
                sources = dict(zip(LEVELS.values(), parts["components"], strict=True))
                numbers[key] = parts | {"components": sources}
        found.append({**_said(group), "values": numbers})
    return found


def _alike(cells: Sequence[Mapping[str, Any]]) -> list[dict[Draws, Mapping[str, Any]]]:
    """The cells that are done, in groups that differ in draws alone; one asked for twice counts once."""
    groups: dict[str, dict[Draws, Mapping[str, Any]]] = {}
    for cell in cells:
        if cell["status"] == "done" and "seed" in (cell["summary"] or {}):
            rest = {key: value for key, value in cell["settings"].items() if key not in LEVELS}
            groups.setdefault(json.dumps(rest, sort_keys=True), {})[path_of(cell["summary"])] = cell
    return list(groups.values())


def _group(group: Mapping[Draws, Mapping[str, Any]]) -> dict[str, Any]:
    values = {}
    for key in _keys(cell["summary"] for cell in group.values()):
        own = {path: finite(cell["summary"].get(key)) for path, cell in group.items()}
        known = {path: number for path, number in own.items() if number is not None}
        if key not in LEVELS and len(known) == len(group):
            found = interval([*outermost(known).values()])
            values[key] = dict(zip(("mean", "low", "high"), found, strict=True))
    return {**_said(group), "values": values}


def _said(group: Mapping[Draws, Mapping[str, Any]]) -> dict[str, Any]:
    """What a group of cells is of: settings, seeds, runs."""
    settings = next(iter(group.values()))["settings"]
    return {
        "settings": {key: value for key, value in settings.items() if key not in LEVELS},
        "seeds": list(dict.fromkeys(cell["summary"]["seed"] for cell in group.values())),
        "runs": [cell["run"] for cell in group.values()],
    }


def _cell(
    job: Job, summaries: Mapping[str | None, dict[str, Any]], damage: Mapping[str | None, str]
) -> dict[str, Any]:
    status, error, settings = job.status, job.error, {}
    if status == "done" and job.run in damage:
        status, error = DAMAGED, damage[job.run]
    try:
        settings = _settings(job.overrides)
    except HydraException as told:  # of a file that nobody would have written so
        status, error = DAMAGED, one_line(told)
    return {
        "run": job.run,
        "status": status,
        "error": error,
        "overrides": job.overrides,
        "settings": settings,
        "summary": dict(summaries[job.run]) if status == "done" else None,
    }


def _settings(overrides: Sequence[str]) -> dict[str, Any]:
    """Return key -> value of what the results depend on, without the signs of Hydra's grammar."""
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    named = {one.key_or_group: one.value() for one in parsed}
    return {key: value if _plain(value) else str(value) for key, value in named.items() if matters(key)}


def _plain(value: Any) -> bool:
    """Whether a value is one that JSON has; NaN and infinity are not."""
    return value is None or isinstance(value, (bool, int, str)) or finite(value) is not None


def _repeating(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries that are one value and come out the same every time."""
    return {k: v for k, v in summary.items() if _plain(v) and k not in _VARYING and not _COST.search(k)}


def _keys(tables: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for table in tables for key in table))
