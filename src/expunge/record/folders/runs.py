"""Reading the folders of runs and studies: summary, records and ``.hydra/config.yaml``, checked as read."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from sys import intern
from typing import Any

from expunge.core.columns import Column
from expunge.core.errors import RunFolderError
from expunge.core.text import finite
from expunge.record.account import require_account
from expunge.record.columns import of_run, role_of
from expunge.record.folders.files import lookup, parse_object, read_config, read_lines, read_text
from expunge.record.folders.sweeps import LeftOut, left_out, without_folders
from expunge.record.folders.walk import walk
from expunge.record.ledger import FILE as REMOVALS
from expunge.record.written import require_as_written, require_complete

OUTCOMES = ("removed", "retrained", "refused")
_OUTCOME = f"one of {', '.join(OUTCOMES)}"
_RECORD = {"outcome": _OUTCOME, "request": "a count", "rows": "a list"}
_KINDS: dict[str, Callable[[Any], bool]] = {
    _OUTCOME: lambda value: value in OUTCOMES,
    "a name": lambda value: isinstance(value, str),
    "a count": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "a number or null": lambda value: value is None or type(value) in (int, float),
    "a list": lambda value: isinstance(value, list),
    "a list of rows": lambda value: isinstance(value, list) and all(isinstance(row, dict) for row in value),
}
_LEDGER = ("removed_total", "retained", "residual_bound", "budget", "epsilon_spent", "seconds")


@dataclass(frozen=True)
class Run:
    """One finished run.

    Attributes:
        folder: The run folder.
        summary: ``summary.json``.
        records: The lines of ``removals.jsonl``, in order.
        config: ``.hydra/config.yaml``, with references between its own keys followed.
        name: How the run is called where it is shown: a relative path, never a machine's own.
    """

    folder: Path
    summary: dict[str, Any]
    records: list[dict[str, Any]]
    config: dict[str, Any] = field(default_factory=dict)
    name: str = ""

    @property
    def unlearner(self) -> str:
        """Name of the method, as its settings have it."""
        return str(self.summary["unlearner"])

    @cached_property
    def columns(self) -> dict[str, Column]:
        """What the folder says that its numbers are called and mean."""
        return of_run(self.summary)

    @cached_property
    def recorded(self) -> frozenset[str]:
        """The keys that any of the records has."""
        return frozenset().union(*self.records)

    @property
    def role(self) -> str:
        """What the method is: ``certified``, ``heuristic``, ``reference`` or ``baseline``."""
        return role_of(self.summary, self.setting("unlearner._target_"))

    @property
    def certified(self) -> bool:
        """Whether the method keeps a residual within a budget."""
        return self.role == "certified"

    @property
    def empirical(self) -> bool:
        """Whether the method removes without a certificate, so that what is measured alone judges it."""
        return self.role == "heuristic"

    def number(self, key: str) -> float | None:
        """Return a number of the summary, or None where it is null, absent or not finite."""
        return finite(self.summary.get(key))

    def last(self, key: str) -> float | None:
        """Return the last value of ``key`` in the records that is not null."""
        return next((v for r in reversed(self.records) if (v := finite(r.get(key))) is not None), None)

    def series(self, key: str, refused: bool = True) -> tuple[list[int], list[float]]:
        """Return requests and values of ``key`` where it is not null, with or without refused requests."""
        records = [r for r in self.records if refused or r["outcome"] != "refused"]
        pairs = [(int(r["request"]), v) for r in records if (v := finite(r.get(key))) is not None]
        return [x for x, _ in pairs], [y for _, y in pairs]

    def has(self, key: str) -> bool:
        """Return whether any record has a number under ``key``."""
        return any(finite(record.get(key)) is not None for record in self.records)

    def setting(self, dotted: str) -> Any:
        """Return a value of the configuration by its dotted key, or None."""
        return lookup(self.config, dotted)

    def requests(self) -> list[list[Any]]:
        """Return the rows of every request, in order."""
        return [r["rows"] for r in self.records]


@dataclass(frozen=True)
class StudyRun:
    """One finished study; its table is in ``summary.json``, its pictures are in ``figures/``."""

    folder: Path
    summary: dict[str, Any]
    config: dict[str, Any]
    name: str


@dataclass(frozen=True)
class FoundRuns:
    """What a search through folders gave.

    Attributes:
        runs: Finished runs.
        left_out: What is in no table: cells of a sweep that failed, runs that never finished, and what is
            damaged.
        studies: Finished studies.
    """

    runs: list[Run]
    left_out: list[LeftOut] = field(default_factory=list)
    studies: list[StudyRun] = field(default_factory=list)

    @classmethod
    def of(
        cls, named: Iterable[tuple[Path, str]], left_out: Sequence[LeftOut] = (), strict: bool = True
    ) -> FoundRuns:
        """Read finished folders, each with what it is called, by what their summaries say that they hold.

        Raises:
            RunFolderError: A file is damaged; unless this is ``strict`` the folder is left out.
        """
        read, damaged = list[Run | StudyRun](), list[LeftOut]()
        for path, name in named:
            try:
                read.append(read_one(path, name))
            except RunFolderError as error:
                if strict:
                    raise
                damaged.append(damage(path, name, error))
        runs = [one for one in read if isinstance(one, Run)]
        studies = [one for one in read if isinstance(one, StudyRun)]
        return cls(runs, [*left_out, *damaged], studies)


def find_runs(folders: Iterable[str | os.PathLike[str]], strict: bool = True) -> FoundRuns:
    """Read every run in or under ``folders``: cells of a sweep in its order, others by name, 2 before 10.

    A cell that failed by the ``sweep.json`` of its sweep is no run, whatever its folder holds. Unless this is
    ``strict``, what is damaged is left out, as long as there is something else.

    Raises:
        RunFolderError: If a folder is missing, a file in a run folder is broken, or there is no run at all.
    """
    folders = list(folders)
    for given in folders:
        if not Path(given).is_dir():
            raise RunFolderError(f"{given}: no such folder")
    roots = [Path(f).resolve() for f in folders]
    if not roots:
        raise RunFolderError("no folder given: name a run folder or a folder that holds run folders")
    base = Path(os.path.commonpath([r.parent for r in roots]))
    there, sweeps, broken = walk(roots)
    if broken and strict:
        raise next(iter(broken.values()))
    with_summary = [path for path in there if (path / "summary.json").is_file()]
    told = left_out(sweeps, base, with_summary)
    known = {one.folder for one in told}
    finished = [path for path in with_summary if path not in known]
    begun = dict.fromkeys(path for path in there if path not in known and path not in finished)
    name = {path: path.relative_to(base).as_posix() for path in [*finished, *begun, *broken]}
    rest = [damage(path, name[path], error) for path, error in broken.items()]
    rest += [*told, *(LeftOut(path, name[path]) for path in begun)]
    if not finished:
        raise RunFolderError(_nothing(folders, rest))
    found = FoundRuns.of(((path, name[path]) for path in finished), rest, strict)
    if not found.runs and not found.studies:
        read_one(finished[0])  # which says what is wrong
    return found


def _nothing(folders: Sequence[str | os.PathLike[str]], rest: Sequence[LeftOut]) -> str:
    """Return the line that says that there is no finished run, and what there is instead."""
    failed = [one for one in rest if one.failed]
    counts = {"failed": len(failed), "unfinished": len(rest) - len(failed)}
    tail = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    why = f"; {failed[0].name}{failed[0].why()}" if failed else ""
    where = ", ".join(map(str, folders))
    return f"no finished run in {where}{f' ({tail})' * bool(tail)}: none has a summary.json{why}"


def read_run(folder: str | os.PathLike[str], name: str | None = None) -> Run:
    """Read one run folder.

    Args:
        folder: A folder with ``summary.json``, ``removals.jsonl`` and ``.hydra/config.yaml``.
        name: How to call it; the folder's own name by default.

    Raises:
        RunFolderError: If a file is missing, broken or cut short; the line names the file and the line in it.
    """
    folder = Path(folder)
    summary = _read_summary(folder / "summary.json")
    records = list(read_records(folder / REMOVALS, of_run(summary)))
    require_complete(folder, all_of_it=False)
    if len(records) != summary["requests"]:
        where = f"{folder / REMOVALS}:{len(records) + 1}"
        raise RunFolderError(
            f"{where}: {len(records)} records, but summary.json counts {summary['requests']}"
        )
    require_account(folder, summary, records)
    config = _read_config(folder)
    return Run(folder, summary, records, config, folder.resolve().name if name is None else name)


def read_one(folder: Path, name: str | None = None) -> Run | StudyRun:
    """Read the folder of a run or of a study; arguments and errors as in ``read_run``."""
    path = folder / "summary.json"
    study = "study" in parse_object(read_text(path), path)
    return read_study(folder, name) if study else read_run(folder, name)


def damage(folder: Path, name: str, error: RunFolderError) -> LeftOut:
    """What is said of a folder of which a file cannot be read; without the folders of this machine."""
    reason = without_folders(str(error).replace(f"{folder}{os.sep}", ""))
    return LeftOut(folder, name, error=reason, damaged=True)


def read_study(folder: str | os.PathLike[str], name: str | None = None) -> StudyRun:
    """Read the folder of a study, without ``removals.jsonl``; arguments and errors as in ``read_run``."""
    folder = Path(folder)
    path = folder / "summary.json"
    summary = parse_object(read_text(path), path)
    _check(summary, f"{path}:1", {"study": "a name", "table": "a list of rows"})
    require_complete(folder, all_of_it=False)
    config = _read_config(folder)
    return StudyRun(folder, summary, config, folder.resolve().name if name is None else name)


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / ".hydra" / "config.yaml"
    config = read_config(path)
    require_as_written([path])
    return config


def _read_summary(path: Path) -> dict[str, Any]:
    summary = parse_object(read_text(path), path)
    _check(summary, f"{path}:1", {"dataset": "a name", "unlearner": "a name", "requests": "a count"})
    try:
        of_run(summary)
    except (TypeError, ValueError) as error:
        raise RunFolderError(f"{path}:1: 'columns' cannot be read ({error})") from None
    return summary


def read_records(path: Path, numbers: Collection[str]) -> Iterator[dict[str, Any]]:
    """Yield the lines of ``removals.jsonl``; ``RunFolderError`` names the first that is no record."""
    known = {*_LEDGER, *numbers}
    for line, text in read_lines(path):
        if text.strip():
            record = {intern(key): value for key, value in parse_object(text, path, line).items()}
            kinds = {key: "a number or null" for key in record if key in known}
            _check(record, f"{path}:{line}", {**_RECORD, **kinds})
            yield record


def _check(values: Mapping[str, Any], where: str, kinds: Mapping[str, str]) -> None:
    for key, kind in kinds.items():
        if not _KINDS[kind](value := values.get(key)):
            raise RunFolderError(f"{where}: {key!r} must be {kind}, is {value!r}")
