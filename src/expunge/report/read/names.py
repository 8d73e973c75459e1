"""What runs are called where they stand side by side, in which settings they differ, and which are alike."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from expunge.core.groups import grouped
from expunge.core.text import NONE, plain, setting, shown
from expunge.record.chance import LEVELS
from expunge.record.folders.runs import Run

GROUPS = ("dataset", "extractor", "model", "training", "unlearner", "removal")
_BESIDE = ("metrics",)  # what is measured besides, and on what: no part of what a run comes to
_PLACE = ("dataset", "extractor", "model")
_PARTS = (*_PLACE, "unlearner")
_TOP = ("seed", "device", "threads")
_EXTRACTORS = {"none": "pixels"}  # how an extractor is called where its own name says too little
_TELLING = (
    *("selector", "curvature", "mode", "lam", "std", "epsilon", "delta", "perturbation", "releases"),
    *("residual", "noise", "certificate", "update", "at_limit", *LEVELS),
)
"""The settings of a method that matter most, and the draws."""


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


def deciding(run: Run, fixed: Collection[tuple[str, Any]] = ()) -> dict[str, Any]:
    """Return what decides what a run comes to: names of its parts, then dotted settings, in the file's order.

    The seed is left out, and with it every setting that follows it (``removal.seed: ${seed}``); and what is
    null: a run that was made before there was the setting is none the less the same. One that has the seed's
    value follows it, unless it is ``fixed``: another run has the same value, and another seed.
    """
    parts = {part: run.summary.get(part) for part in _PARTS}
    # A configuration that does not have a part at all says nothing of it.
    every = parts | {key: value for key, value in settings(run).items() if key not in parts}
    seed = run.summary.get("seed")
    follow = {k for k, v in every.items() if k.endswith(".seed") and v == seed and (k, v) not in fixed}
    return {k: v for k, v in every.items() if v is not None and k not in follow}


def _fixed(runs: Iterable[Run]) -> set[tuple[str, Any]]:
    """Settings that are a seed, and a value that is not the run's own."""
    every = ((run.summary.get("seed"), settings(run)) for run in runs)
    return {
        (k, v) for seed, own in every for k, v in own.items() if k.endswith(".seed") and v not in (seed, None)
    }


def alike(runs: Sequence[Run], without: Collection[str] = ()) -> list[list[Run]]:
    """Return the runs in groups, alike but for the seed and the dotted settings in ``without``."""
    fixed = _fixed(runs)
    return list(grouped((_written(run, fixed, lambda key: key not in without), run) for run in runs).values())


def is_set_alike(run: Run, other: Run) -> bool:
    """Whether two runs have the same dotted settings but for the seed, whatever their parts are called."""
    fixed = _fixed((run, other))
    one, two = (_written(of, fixed, lambda key: "." in key) for of in (run, other))
    return one == two


def _written(run: Run, fixed: Collection[tuple[str, Any]], counts: Callable[[str], bool]) -> str:
    own = {key: value for key, value in deciding(run, fixed).items() if counts(key)}
    return json.dumps(own, sort_keys=True, default=str)


def differing(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Return the settings in which the runs differ, as words, one value a run; places of a machine left out.

    A setting that a run does not have is ``–``.
    """
    tables = [_every(run) for run in runs]
    keys = dict.fromkeys(key for table in tables for key in table)
    columns = {key: [table.get(key, NONE) for table in tables] for key in keys}
    return {key: values for key, values in columns.items() if len(set(values)) > 1}


def _every(run: Run) -> dict[str, str]:
    every: dict[str, Any] = {part: run.summary.get(part) for part in _PARTS}
    every |= {key: run.config.get(key, run.summary.get(key)) for key in _TOP}
    every |= {key: run.config.get(key, run.summary.get(key, 0)) for key in LEVELS if key not in _TOP}
    every |= settings(run, (*GROUPS, *_BESIDE))
    # A part is named above: its class and its name in the configuration say no more.
    named = {f"{part}.name" for part in _PARTS}
    said = {k: v for k, v in every.items() if not k.endswith("._target_") and k not in named}
    return {plain(key): shown(value) for key, value in said.items()}


def labels(runs: Sequence[Run], without: Collection[str] = ()) -> list[str]:
    """Name each run by its unlearner, plus the settings that are needed to tell the runs apart: ``notes``."""
    return [label(*note) for note in notes(runs, without)]


def label(head: str, *settings: str) -> str:
    """Return an unlearner's name with settings in brackets."""
    return f"{head} ({', '.join(settings)})" if settings else head


def notes(runs: Sequence[Run], without: Collection[str] = ()) -> list[list[str]]:
    """Return the name of each run's unlearner, then what is needed to tell the runs apart.

    Data set, extractor (with the settings that matter) and model are named where they differ over all runs;
    settings where they differ between runs of one unlearner, first those of the method that matter most; the
    folder's name only where nothing else tells two runs apart.

    Args:
        runs: The runs.
        without: Dotted settings that are said elsewhere, such as on an axis: they do not tell runs apart.
    """
    found = [[plain(run.unlearner)] for run in runs]
    for key in _PLACE:
        values = extractors(runs) if key == "extractor" else [[_name(run, key)] for run in runs]
        if len(set(map(tuple, values))) > 1:
            for note, value in zip(found, values, strict=True):
                note.extend(value)
    for telling in (_by_method, _last_resort):
        for group in _same(found):
            for i, words in zip(group, telling([runs[i] for i in group], without), strict=True):
                found[i] += words
    return found


def notes_of_groups(groups: Sequence[Sequence[Run]], without: Collection[str] = ()) -> list[list[str]]:
    """Return the ``notes`` of groups of ``alike``: their seeds do not tell them apart."""
    keys = {key for group in groups for run in group for key, _ in flat(run.config)}
    seeds = {key for key in keys if key.endswith(".seed")}
    return notes([group[0] for group in groups], {*without, *seeds, *LEVELS})


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
        keys = _apart([dict(kind) for kind in kinds]) if len(kinds) > 1 else []
        for i, table in zip(group, tables, strict=True):
            notes[i] += _words(table, keys)
    return notes


def told(run: Run, name: str) -> str:
    """Return a setting of the run's unlearner, or its seed, as short as it can be written."""
    value = run.setting(name if name in LEVELS else f"unlearner.{name}")
    if isinstance(value, dict):  # a part with settings of its own, known by its name or its class
        value = value.get("name") or str(value.get("_target_", NONE)).rpartition(".")[2]
    derived = name in ("std", "residual")  # from other settings, where it is not set
    value = run.summary.get(name) if value is None and not derived else value
    return setting(0 if value is None and name in LEVELS and name != "seed" else value)


def _name(run: Run, key: str) -> str:
    return plain(run.summary.get(key) or f"no {key}")


def _same(notes: Sequence[Sequence[str]]) -> list[list[int]]:
    """Return the places of equal notes, where there are two or more."""
    places = grouped((tuple(note), i) for i, note in enumerate(notes))
    return [group for group in places.values() if len(group) > 1]


def _by_method(runs: Sequence[Run], without: Collection[str]) -> list[list[str]]:
    """Return the settings of the method that matter most, and the seed, where the runs differ in them."""
    names = [n for n in _TELLING if n not in without and f"unlearner.{n}" not in without]
    tables = [{name: told(run, name) for name in names} for run in runs]
    differing = [name for name in names if len({table[name] for table in tables}) > 1]
    return [_words(table, differing) for table in tables]


def _last_resort(runs: Sequence[Run], without: Collection[str]) -> list[list[str]]:
    """Return the first other setting in which all runs differ, else a few together, else their folders."""
    tables = [{k: shown(v) for k, v in settings(run).items() if k not in without} for run in runs]
    keys = _apart(tables)
    if not keys:
        return [[plain(run.name or run.folder.name)] for run in runs]
    return [[_said(key, table.get(key, NONE)) for key in keys] for table in tables]


def _said(key: str, value: str) -> str:
    """A setting as words; of a part that is told by its class alone, the class's own name."""
    part, dot, last = key.rpartition("._target_")
    return f"{part} {value.rpartition('.')[2]}" if dot and not last else f"{key} {value}"


def _words(table: Mapping[str, str], keys: Iterable[str]) -> list[str]:
    return [f"{key} {table[key]}" for key in keys if table[key] != NONE]


def _apart(tables: Sequence[dict[str, str]]) -> list[str]:
    """Return keys whose values tell all ``tables`` apart: one if one can, none if all together cannot."""
    every = dict.fromkeys(key for table in tables for key in table)

    def kinds(keys: Sequence[str]) -> int:
        return len({tuple(table.get(key, NONE) for key in keys) for table in tables})

    if alone := [key for key in every if kinds([key]) == len(tables)]:
        return alone[:1]
    chosen: list[str] = []
    for key in every:
        chosen += [key] * (kinds([*chosen, key]) > kinds(chosen))
    return chosen if kinds(chosen) == len(tables) else []
