"""Numbers, units and names as a reader wants them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

from expunge.core.errors import printable
from expunge.report.read.runs import Run, finite

NONE = "–"
# Strings that are places on a machine: absolute, in somebody's home, or on a drive.
_PATH = re.compile(r"(?:~|\$HOME|[A-Za-z]:)?[/\\].*[/\\]?|.*(?:file:|[\s=:'\"]~?/)\S*/.*")
_EXTRACTORS = {"none": "pixels"}  # how an extractor is called where its own name says too little
_PLACE = ("dataset", "extractor", "model")
_SETTINGS = (
    "selector",
    "curvature",
    "mode",
    "lam",
    "std",
    "epsilon",
    "delta",
    "perturbation",
    "releases",
    "residual",
    "noise",
    "certificate",
    "update",
    "at_limit",
)
GROUPS = ("dataset", "extractor", "model", "training", "unlearner", "removal")


def number(value: float | None, digits: int = 3) -> str:
    """Return ``value`` in ``digits`` significant digits, ``1e-4`` rather than ``0.0001``."""
    if value is None or not isfinite(value):
        return NONE if value is None else str(value)
    if value != 0 and not 1e-3 < abs(value) < 1e6:
        mantissa, _, power = f"{value:.{digits - 1}e}".partition("e")
        mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        return f"{mantissa}e{int(power)}"
    return f"{value:,.{digits}g}" if abs(value) < 10**digits else f"{value:,.0f}"


def accuracy(value: float | None) -> str:
    """Return a share of right answers with four decimals."""
    return NONE if value is None else f"{value:.4f}"


def count(value: float | None) -> str:
    """Return a whole number with thousands separated."""
    return NONE if value is None else f"{int(value):,}"


def share(value: float | None) -> str:
    """Return a share as a percentage of two significant digits; whole per cents from 10 up."""
    if value is None:
        return NONE
    return f"{value * 100:.0f}%" if value >= 0.0995 else f"{number(value * 100, 2)}%"


def seconds(value: float | None) -> str:
    """Return a duration in the unit that fits it, from microseconds to hours."""
    if value is None:
        return NONE
    for unit, size, least in (("h", 3600.0, 2 * 3600.0), ("min", 60.0, 120.0), ("s", 1.0, 0.9995)):
        if value >= least:
            return f"{number(value / size, 3)} {unit}"
    return f"{value * 1e3:.3g} ms" if value >= 0.9995e-3 else f"{value * 1e6:.3g} µs"


def times(value: float | None) -> str:
    """Return a factor such as ``58×``."""
    return NONE if value is None else f"{number(value, 2)}×"


def difference(value: float | None) -> str:
    """Return a difference of shares with its sign and four decimals."""
    return NONE if value is None else f"{value:+.4f}"


def capital(words: str) -> str:
    """Return words with a capital at their beginning."""
    return words[:1].upper() + words[1:]


def setting(value: Any) -> str:
    """Return a configuration value as short as it can be written."""
    if finite(value) is not None:
        short = f"{value:g}"
        return number(value, 6) if "e" in short or 0 < abs(value) <= 1e-3 else short
    return NONE if value is None else plain(value)


def shown(value: Any) -> str:
    """Return a setting without the places of the machine it was made on: of a path, the last part only."""
    if isinstance(value, list):
        return "[" + ", ".join(map(shown, value)) + "]"
    if isinstance(value, str) and _PATH.fullmatch(value):
        return "…/" + plain(re.split(r"[/\\]", value.rstrip("/\\"))[-1])
    return setting(value)


def plain(value: Any) -> str:
    """Return text without control characters, so that a name cannot steer the terminal or break a line."""
    return printable(str(value).replace("\t", "?"))


def unbroken(label: str) -> str:
    """Return a label in which a setting and its value stay on one line when it wraps."""
    return re.sub(r" (?=[^ ,()]+[,)])", "\u00a0", label)


def labels(runs: Sequence[Run], without: Collection[str] = ()) -> list[str]:
    """Name each run by its unlearner, plus the settings that are needed to tell the runs apart.

    Data set, extractor (with the settings that matter) and model are named where they differ over all runs;
    settings where they differ between runs of one unlearner, first those of the method that matter most; the
    folder's name only where nothing else tells two runs apart.

    Args:
        runs: The runs.
        without: Dotted settings that are said elsewhere, such as on an axis: they do not tell runs apart.
    """
    notes = [[plain(run.unlearner)] for run in runs]
    for key in _PLACE:
        values = extractors(runs) if key == "extractor" else [[_name(run, key)] for run in runs]
        if len(set(map(tuple, values))) > 1:
            for note, value in zip(notes, values, strict=True):
                note.extend(value)
    for telling in (_by_method, _last_resort):
        for group in _same(notes):
            for i, words in zip(group, telling([runs[i] for i in group], without), strict=True):
                notes[i] += words
    return [f"{name} ({', '.join(note)})" if note else name for name, *note in notes]


def extractors(runs: Sequence[Run]) -> list[list[str]]:
    """Return what each run's extractor is called: name, mode, settings that tell it from others like it.

    The seed is none of them: it is told as that of the run. Nor is a setting that some of these extractors do
    not have, which is one of an older version.
    """
    notes = [[_EXTRACTORS.get(name := _name(run, "extractor"), name)] for run in runs]
    for run, note in zip(runs, notes, strict=True):
        if isinstance(mode := run.summary.get("extractor_mode"), str):
            note.append(f"mode {plain(mode)}")
    for group in _same(notes):
        tables = [{k: shown(v) for k, v in flat(runs[i].config.get("extractor"))} for i in group]
        common = [key for key in tables[0] if key != "seed" and all(key in table for table in tables)]
        kinds = dict.fromkeys(tuple((key, table[key]) for key in common) for table in tables)
        keys = _telling([dict(kind) for kind in kinds]) if len(kinds) > 1 else []
        for i, table in zip(group, tables, strict=True):
            notes[i] += _words(table, keys)
    return notes


def told(run: Run, name: str) -> str:
    """Return a setting of the run's unlearner, or its seed, as short as it can be written."""
    value = run.setting("seed" if name == "seed" else f"unlearner.{name}")
    if isinstance(value, dict):  # a part with settings of its own, known by its name or its class
        value = value.get("name") or str(value.get("_target_", NONE)).rpartition(".")[2]
    derived = name in ("std", "residual")  # from other settings, where it is not set
    return setting(run.summary.get(name) if value is None and not derived else value)


def flat(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted keys and leaves of a nested configuration, in the file's order."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from flat(value, f"{prefix}.{key}" if prefix else str(key))
    elif prefix:
        yield prefix, node


def settings(run: Run, groups: Iterable[str] = GROUPS) -> dict[str, Any]:
    """Return the dotted settings of groups of a run's configuration."""
    return {key: value for group in groups for key, value in flat(run.config.get(group), group)}


def _name(run: Run, key: str) -> str:
    return plain(run.summary.get(key) or f"no {key}")


def _same(notes: Sequence[Sequence[str]]) -> list[list[int]]:
    """Return the places of equal notes, where there are two or more."""
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for i, note in enumerate(notes):
        groups[tuple(note)].append(i)
    return [group for group in groups.values() if len(group) > 1]


def _by_method(runs: Sequence[Run], without: Collection[str]) -> list[list[str]]:
    """Return the settings of the method that matter most, and the seed, where the runs differ in them."""
    names = [n for n in (*_SETTINGS, "seed") if n not in without and f"unlearner.{n}" not in without]
    tables = [{name: told(run, name) for name in names} for run in runs]
    differing = [name for name in names if len({table[name] for table in tables}) > 1]
    return [_words(table, differing) for table in tables]


def _last_resort(runs: Sequence[Run], without: Collection[str]) -> list[list[str]]:
    """Return the first other setting in which all runs differ, else a few together, else their folders."""
    tables = [{k: shown(v) for k, v in settings(run).items() if k not in without} for run in runs]
    keys = _telling(tables)
    if not keys:
        return [[plain(run.name or run.folder.name)] for run in runs]
    return [[f"{key} {table.get(key, NONE)}" for key in keys] for table in tables]


def _words(table: Mapping[str, str], keys: Iterable[str]) -> list[str]:
    return [f"{key} {table[key]}" for key in keys if table[key] != NONE]


def _telling(tables: Sequence[dict[str, str]]) -> list[str]:
    """Return keys whose values tell all ``tables`` apart: one if one can, none if all together cannot."""
    every = dict.fromkeys(key for table in tables for key in table)
    alone = next((k for k in every if len({t.get(k) for t in tables}) == len(tables)), None)
    if alone is not None:
        return [alone]
    chosen: list[str] = []
    kinds = 1
    for key in every:
        now = len({tuple(table.get(k) for k in (*chosen, key)) for table in tables})
        if now > kinds:
            chosen, kinds = [*chosen, key], now
    return chosen if kinds == len(tables) else []
