"""What a run folder says of its own numbers: what its extractor, its metrics and its method declare."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Any

from expunge.core.columns import Column, Columns

_BEFORE_AFTER = {
    "test_accuracy_after": Column(
        "test accuracy",
        "↑",
        "share of test rows classified correctly, before the first request and after the last",
        "accuracy",
        beside="test_accuracy_before",
        sub="before → after",
        cell="{beside} → {value}",
        main=True,
        headline="test accuracy after the last request",
        headline_of="{beside} before the first",
    )
}

OWN = {
    "removals_supported": Column(
        "supported",
        "↑",
        "removal requests that a certified method served before its first retraining or refusal; 'all' if "
        "neither ever came",
        "count",
        beside="requests",
        sub="of N requests",
        cell="{value} of {beside}",
    ),
    "retrained": Column("retrained", "↓", "requests answered by training again", "count"),
    "refused": Column("refused", "↓", "requests not carried out", "count"),
    "released": Column(
        "releases",
        "",
        "models that have left, the first and one for each request served, of those that the noise covers "
        "together",
        "count",
        beside="releases",
        sub="out of those covered",
        cell="{value} of {beside}",
    ),
    "epsilon_spent": Column(
        "ε spent",
        "↓",
        "the ε, at δ, of what has been released: with noise at release that of all releases so far together, "
        "by count alone; by the published method c·bound/std of the last; †: see below the table",
        beside="epsilon",
        sub="of ε",
        cell="{value} of {beside}",
    ),
    "epsilon_total": Column(
        "ε total",
        "↓",
        "guarantee of extractor and model together, for each removed row taken alone: the two ε summed, the "
        "two δ summed; 'none': there is no guarantee, and it is said why",
        beside="delta_total",
        sub="ε, δ",
        cell="{value}, {beside}",
    ),
    "seconds_removal_median": Column(
        "time / removal",
        "↓",
        "wall time of one removal alone, without evaluation: the median, and what 95% stay below; a request "
        "that was refused or trained again for is none, nor is the first of several, which may compile",
        "seconds",
        beside="seconds_removal_p95",
        sub="median, p95",
        cell="{value}, {beside}",
    ),
}
"""Of the numbers that the summary of every run may have, whatever its parts declare."""

TUNED = {
    "tuning_seconds": Column(
        "tuning",
        "",
        "settings of the method that were tried before, and the seconds of all their removals together; 0: "
        "it runs as it is, having none that may be tuned. The rule: every method with a search space has the "
        "same number of trials, the first with its YAML's own settings; what has the highest ToW on the "
        "removed rows, the retained, and training rows held out in place of the test rows, which no trial "
        "sees, against one model retrained with another seed, is used for every seed",
        "seconds",
        beside="tuning_trials",
        sub="trials, time",
        cell="{beside}, {value}",
    ),
    "tuning_trials": Column("trials", "", "settings that were tried", "count", shown=False),
}
"""Of the runs whose settings have been chosen by trials."""
MEMORY, GPU_MEMORY, STORED = "memory_mb", "gpu_memory_mb", "stored_bytes_row"
SIZES = {
    MEMORY: Column(
        "peak memory, MB",
        "↓",
        "MB (2^20 bytes) by which the process's memory rose above what it held before a request, the most of "
        "any; what it had kept from training, and used again, is in no rise",
        over_run="most",
    ),
    GPU_MEMORY: Column(
        "GPU memory, MB",
        "↓",
        "MB (2^20 bytes) that torch took on the GPU beyond what it had before a request, the most of any",
        over_run="most",
    ),
    STORED: Column(
        "stored bytes a row",
        "↓",
        "size of what the method keeps besides the model to serve requests, over the number of training "
        "rows, which are not in it themselves",
        "count",
    ),
}
"""What every run measures of memory; of a request that is as little the same the next time as its time is."""


def declared(parts: Iterable[Columns]) -> dict[str, Column]:
    """Return the columns of a run: test accuracy before and after where it is measured, then those of parts.

    The parts are the extractor, each metric and the method; of two that declare one key the first counts.
    """
    found: dict[str, Column] = {}
    for columns in parts:
        found |= {key: column for key, column in columns.items() if key not in found}
    return {**(_BEFORE_AFTER if "test_accuracy" in found else {}), **found}


def as_json(columns: Columns) -> dict[str, Any]:
    """Return what ``summary.json`` holds under ``columns``."""
    return {key: column.as_json() for key, column in columns.items()}


def of_run(summary: Mapping[str, Any]) -> dict[str, Column]:
    """Return the columns of a run by its summary; of one made before runs said so by the bundled table."""
    given = summary.get("columns")
    said = given if isinstance(given, dict) else _bundled()["columns"]
    return {key: Column.of(key, value) for key, value in said.items() if isinstance(value, dict)}


def merged(tables: Iterable[Columns]) -> dict[str, Column]:
    """Return the columns of several runs; what only a later run has goes after its predecessor there.

    Of two runs that say different things of one key the first counts.
    """
    known: dict[str, Column] = {}
    order: list[str] = []
    for columns in tables:
        place = 0
        for key, column in columns.items():
            if key not in known:
                known[key] = column
                order.insert(place, key)
                place += 1
            else:
                place = order.index(key) + 1
    return {key: known[key] for key in order}


def main_column(tables: Iterable[Columns]) -> tuple[str, Column] | None:
    """Return the first number, and its key, that runs are compared by; None where there is none."""
    return next(((key, column) for key, column in merged(tables).items() if column.main), None)


def role_of(summary: Mapping[str, Any], target: Any) -> str:
    """Return the role of a run's method by its summary; of a run that does not say so by the bundled table.

    ``target`` is ``unlearner._target_`` of the configuration, or None where there is none.
    """
    said = summary.get("role")
    if isinstance(said, str):
        return said
    roles = _bundled()["roles"]
    known = roles.get(str(target)) or roles.get(summary.get("unlearner"))
    return str(known or ("heuristic" if summary.get("budget") is None else "certified"))


def colour_of(unlearner: str) -> int | None:
    """Return the colour, from 0 on, of one of the package's methods; None of any other.

    Those that are compared with each other have different ones.
    """
    known = _bundled()["colours"].get(unlearner)
    return None if known is None else int(known)


def picture_of(name: str, header: Mapping[str, Any]) -> str:
    """Return what a file of arrays is a picture of, by its header or else its name; empty: of nothing."""
    said = header.get("picture")
    return said if isinstance(said, str) else str(_bundled()["pictures"].get(name, ""))


@cache
def _bundled() -> dict[str, Any]:
    """What folders hold that were made before a run said it itself, and what no run says."""
    text = resources.files("expunge.record").joinpath("bundled.json").read_text(encoding="utf-8")
    return dict(json.loads(text))
