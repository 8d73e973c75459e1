"""In which settings runs differ, and which runs are the same but for some of them."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from expunge.report.read import text
from expunge.report.read.runs import Run

_PARTS = ("dataset", "extractor", "model", "unlearner")
_BESIDE = ("metrics",)  # what is measured besides, and on what: no part of what a run comes to
_TOP = ("seed", "device", "threads")


def settings(run: Run) -> dict[str, Any]:
    """Return what decides what a run comes to: names of its parts, then dotted settings, in the file's order.

    The seed is left out, and with it every setting that follows it (``removal.seed: ${seed}``).
    """
    parts = {part: run.summary.get(part) for part in _PARTS}
    # A configuration that does not have a part at all says nothing of it.
    every = parts | {key: value for key, value in text.settings(run).items() if key not in parts}
    seed = run.summary.get("seed")
    return {k: v for k, v in every.items() if not (k.endswith(".seed") and v == seed)}


def alike(runs: Sequence[Run], without: Collection[str] = ()) -> list[list[Run]]:
    """Return the runs in groups, alike but for the seed and the dotted settings in ``without``."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        own = {k: v for k, v in settings(run).items() if k not in without}
        groups.setdefault(json.dumps(own, sort_keys=True, default=str), []).append(run)
    return list(groups.values())


def labels(groups: Sequence[Sequence[Run]], without: Collection[str] = ()) -> list[str]:
    """Return what each group of ``alike`` is called: its unlearner, and what tells it from the others."""
    keys = {key for group in groups for run in group for key, _ in text.flat(run.config)}
    seeds = {key for key in keys if key.endswith(".seed")}
    return text.labels([group[0] for group in groups], {*without, *seeds, "seed"})


def differing(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Return the settings in which the runs differ, as words, one value a run; places of a machine left out.

    A setting that a run does not have is ``–``.
    """
    tables = [_every(run) for run in runs]
    keys = dict.fromkeys(key for table in tables for key in table)
    columns = {key: [table.get(key, text.NONE) for table in tables] for key in keys}
    return {key: values for key, values in columns.items() if len(set(values)) > 1}


def _every(run: Run) -> dict[str, str]:
    every: dict[str, Any] = {part: run.summary.get(part) for part in _PARTS}
    every |= {key: run.config.get(key, run.summary.get(key)) for key in _TOP}
    every |= text.settings(run, (*text.GROUPS, *_BESIDE))
    # A part is named above: its class and its name in the configuration say no more.
    named = {f"{part}.name" for part in _PARTS}
    said = {k: v for k, v in every.items() if not k.endswith("._target_") and k not in named}
    return {text.plain(key): text.shown(value) for key, value in said.items()}
