"""In what two runs differ, from their folders alone: settings, inputs, versions, numbers, records."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from expunge.core import text
from expunge.core.arguments import folder
from expunge.core.errors import RunFolderError, UserError
from expunge.core.screen import Page
from expunge.core.text import finite
from expunge.record.folders.files import parse_object, read_text
from expunge.record.folders.runs import Run, StudyRun, read_one
from expunge.record.settings import FREE

ABSENT = text.NONE
"""Stands for a value that one of the two does not have."""
_COSTS = ("seconds", "memory", "peak_memory", "gpu_memory")
_NO_NUMBERS = ("columns", "inputs", "versions", "table")
_LONGEST = 72  # characters of a value
_DIGITS = 6
_INPUTS = "inputs.json"
_SETTINGS = "settings"

Pair = tuple[Any, Any]


class Part(NamedTuple):
    """What differs of one kind: its title, name -> both values, and whether those are numbers."""

    title: str
    pairs: dict[str, Pair]
    counted: bool = False


@dataclass(frozen=True)
class Differences:
    """Name -> the values of the first run and of the second, wherever they differ.

    Attributes:
        settings: Of the configuration, by dotted keys.
        inputs: SHA-256 of what the settings only name (data, files, sources), the requests, the version.
        versions: Of the packages that the runs were made with.
        numbers: Of ``summary.json``, times and memory left out.
        costs: Times (seconds) and memory (MB) of ``summary.json``, which differ between any two runs.
        record: The first request whose record differs, from 1, times left out; of studies the first row of
            the table. None where all that both have are alike, and both have as many.
        fields: Those of this record.
        notes: What could not be compared, a line each.
    """

    settings: dict[str, Pair]
    inputs: dict[str, Pair]
    versions: dict[str, Pair]
    numbers: dict[str, Pair]
    costs: dict[str, Pair]
    record: int | None
    fields: dict[str, Pair]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, first: Path, second: Path) -> Differences:
        """Compare the folders of two finished runs, or studies.

        Raises:
            RunFolderError: One is no such folder, or a file in it is damaged.
        """
        both = _read(first), _read(second)
        summaries = [
            dict(_flat({k: v for k, v in of.summary.items() if k not in _NO_NUMBERS})) for of in both
        ]
        numbers = _pairs(*({k: v for k, v in of.items() if finite(v) is not None} for of in summaries))
        settings = differing(*(of.config for of in both))
        told, notes = _inputs(both)
        if any(key.partition(".")[0] not in FREE for key in settings):
            told.pop(_SETTINGS, None)  # which says no more than they do
        record, fields = _first(*map(_records, both))
        costs = {key: pair for key, pair in numbers.items() if _is_cost(key)}
        numbers = {key: pair for key, pair in numbers.items() if key not in costs}
        versions = _pairs(*(_mapping(of.summary.get("versions")) for of in both))
        return cls(settings, told, versions, numbers, costs, record, fields, tuple(notes))

    def __bool__(self) -> bool:
        """Whether there is any, other than of times and memory."""
        return self.record is not None or any((self.settings, self.inputs, self.versions, self.numbers))

    def __str__(self) -> str:
        page = Page(colours=False)
        self.show(page)
        return f"{page}"

    def parts(self) -> dict[str, Part]:
        """All but the record, by the names of the attributes, in the order in which they are shown."""
        inputs = {key: (_short(one), _short(other)) for key, (one, other) in self.inputs.items()}
        costs = "Times and memory, which differ between any two runs"
        return {
            "settings": Part("Settings", self.settings),
            "inputs": Part("Inputs", inputs),
            "versions": Part("Versions", self.versions),
            "numbers": Part("Numbers of summary.json", self.numbers, counted=True),
            "costs": Part(costs, self.costs, counted=True),
        }

    def show(self, page: Page) -> None:
        """Put all of it on a page."""
        for title, pairs, counted in self.parts().values():
            _show(page, title if pairs else f"{title}: none differ", pairs, counted)
        if self.record is None:
            page.text("Records: all alike, but for times", "bold")
        else:
            _show(page, f"Records: the first that differs is {self.record:,}", self.fields, True)
        for note in self.notes:
            page.text(note)


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--diff``, which ``report`` answers."""
    help_ = (
        "in what two runs differ: settings, inputs, numbers and the first record; with --out a page of it, "
        "too; exit code 0 also where they do"
    )
    parser.add_argument("--diff", nargs=2, type=folder, metavar=("A", "B"), help=help_)


def report(args: argparse.Namespace, page: Page) -> Differences:
    """Show in what the two runs that ``--diff`` names differ, and return it.

    Raises:
        UserError: Something is asked for beside it.
        RunFolderError: One is no finished run.
    """
    if any(value not in (None, False, []) for key, value in vars(args).items() if key not in ("diff", "out")):
        raise UserError("--diff: takes two run folders, A and B, and nothing beside them but --out DIR")
    found = Differences.of(*args.diff)
    for name, of in zip("AB", args.diff, strict=True):
        page.whole(f"{name}: {of}")
    found.show(page)
    return found


def differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Pair]:
    """What two nested mappings have under the dotted keys where they differ, in the first one's order."""
    return _pairs(*(dict(_flat(of)) for of in (first, second)))


def _read(run: Path) -> Run | StudyRun:
    if not (run / "summary.json").is_file():
        raise RunFolderError(f"{run}: has no summary.json, allowed: the folder of a finished run")
    return read_one(run)


def _inputs(both: Sequence[Run | StudyRun]) -> tuple[dict[str, Pair], list[str]]:
    """What differs of the inputs; by ``summary.json``, and with a note, where those of a run cannot be read.

    ``inputs.json`` is its owner's alone; the summary says the same but for a digest of the settings.
    """
    kept, notes = [], []
    for of in both:
        try:
            kept.append(_kept(of.folder / _INPUTS))
        except RunFolderError as error:
            notes.append(f"{error}; inputs are those that summary.json names")
    if notes:
        kept = [_mapping(of.summary.get("inputs")) for of in both]
    return _pairs(*kept), notes


def _kept(path: Path) -> dict[str, Any]:
    told = parse_object(read_text(path), path)
    requests = _mapping(told.get("requests")).get("sha256")
    return _mapping(told.get("digests")) | ({"requests": requests} if requests else {})


def _records(of: Run | StudyRun) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = of.records if isinstance(of, Run) else of.summary["table"]
    return found


def _first(*both: Sequence[dict[str, Any]]) -> tuple[int | None, dict[str, Pair]]:
    """The first record that differs, from 1, and its fields that do; times are no difference."""
    for number in range(1, 1 + max(map(len, both))):
        pair = [of[number - 1] if number <= len(of) else {} for of in both]
        found = {key: two for key, two in differing(*pair).items() if not _is_cost(key)}
        if found:
            return number, found
    return None, {}


def _pairs(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Pair]:
    both = ((key, first.get(key, ABSENT), second.get(key, ABSENT)) for key in {**first, **second})
    return {key: (one, other) for key, one, other in both if not _same(one, other)}


def _same(one: Any, other: Any) -> bool:
    """Whether two values of a file are one: 1 is 1.0, but not true, and NaN is itself."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other) or (one != one and other != other)


def _flat(node: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of nested mappings, by its dotted key; an empty mapping is a value."""
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _is_cost(key: str) -> bool:
    return key.rpartition(".")[2].startswith(_COSTS)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _show(page: Page, title: str, pairs: Mapping[str, Pair], counted: bool) -> None:
    page.text(title, "bold")
    if pairs:
        page.rows([(key, _told(*pair, counted)) for key, pair in pairs.items()], indent=2)


def _told(one: Any, other: Any, counted: bool) -> str:
    """Two values as they are shown, and of what is ``counted`` how much greater the second is."""
    first, second, more = told(one, other)
    return f"{first} | {second}{f'  ({more})' if counted and more else ''}"


def told(one: Any, other: Any) -> tuple[str, str, str]:
    """Two values as they are shown, and how much greater the second is; empty unless both are numbers."""
    words = [_word(value, _DIGITS) for value in (one, other)]
    if words[0] == words[1]:  # though they differ
        words = [_word(value, None) for value in (one, other)]
    start, end = finite(one), finite(other)
    more = "" if start is None or end is None else f"{'+' * (end > start)}{text.number(end - start)}"
    return words[0], words[1], more


def _word(value: Any, digits: int | None) -> str:
    number = finite(value)
    if number is not None and digits:
        return text.number(number, digits)
    said = value if isinstance(value, str) and digits else json.dumps(value, ensure_ascii=False)
    return said if len(said) <= _LONGEST else f"{said[:_LONGEST]}…"


def _short(digest: Any) -> str:
    """What tells a digest apart; a version is as long as it is."""
    return str(digest)[:12]
