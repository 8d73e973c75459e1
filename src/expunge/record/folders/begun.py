"""Runs that are still going, or were broken off: without a summary, as far as their records say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge.core import text
from expunge.core.errors import RunFolderError
from expunge.core.text import finite
from expunge.record.columns import of_run
from expunge.record.folders.files import lookup, parse_object, read_config, read_text
from expunge.record.folders.runs import OUTCOMES, Run, read_records
from expunge.record.folders.sweeps import LeftOut
from expunge.record.ledger import FILE as REMOVALS

_AFTER = "_after"  # of a number of the summary that is the last of one in the records


@dataclass(frozen=True)
class Begun:
    """A run without a summary, and how many requests it was given; None where that is not known."""

    run: Run
    asked: int | None

    @property
    def so_far(self) -> str:
        """How far it is, in words."""
        of = "" if self.asked is None else f" of {text.count(self.asked)}"
        return f"{text.count(len(self.run.records))}{of} requests"


def read_begun(left_out: Iterable[LeftOut]) -> list[Begun]:
    """Return the unfinished runs among what was left out of which the files say what they are.

    A line of the records that is only half written is not there yet.
    """
    places = [one for one in left_out if one.kind == "unfinished" and not one.cell]
    return [run for one in places if (run := _read(one)) is not None]


def _read(one: LeftOut) -> Begun | None:
    try:
        config = read_config(one.folder / ".hydra" / "config.yaml")
    except RunFolderError:
        return None  # it is named as unfinished all the same
    name = lookup(config, "unlearner.name")
    if not isinstance(name, str):
        return None  # nor is a study a run
    records = _records(one.folder / REMOVALS)
    parts = {part: _named(config.get(part)) for part in ("dataset", "extractor", "model")}
    summary = {**parts, "unlearner": name, "seed": config.get("seed"), "requests": len(records)}
    if records:
        summary |= {o: sum(record["outcome"] == o for record in records) for o in OUTCOMES}
    run = Run(one.folder, summary, records, config, one.name)
    last = {key: run.last(key.removesuffix(_AFTER)) for key in of_run({}) if key.endswith(_AFTER)}
    summary |= {key: value for key, value in last.items() if value is not None}
    return Begun(run, _asked(one.folder / "inputs.json"))


def _records(path: Path) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = []
    try:
        for record in read_records(path, of_run({})) if path.is_file() else ():
            records.append(record)
    except RunFolderError:
        pass  # a line that is only half there: so far there is what came before
    return records


def _named(part: Any) -> Any:
    """Return the name of a part; of one without a name the module that makes it."""
    if not isinstance(part, dict):
        return part
    return part.get("name") or next(iter(str(part.get("_target_", "")).split(".")[-2:]), None)


def _asked(path: Path) -> int | None:
    try:
        count = finite(lookup(parse_object(read_text(path), path), "requests.count"))
    except RunFolderError:
        return None
    return None if count is None else int(count)
