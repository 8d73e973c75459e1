"""Bookkeeping of a sweep: one small file a job, written by that job alone.

``<sweep>/.jobs/<number>/job.json`` says which run folder the job works in and what became of it. Workers in
other processes, or on other machines, share nothing else with the process that began the sweep.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from expunge.core.errors import RunFolderError
from expunge.core.files import write_json
from expunge.core.folders import content, delete, missing, names, sweep_up, unmake
from expunge.core.hashing import sha256_of_settings
from expunge.record.settings import FREE, decisive

log = logging.getLogger(__name__)

FOLDER = ".jobs"
UNNAMED = tuple(key for key in FREE if key != "data_dir")
"""Keys that do not change a folder's name. Data elsewhere may be other data."""
_JOB = "job.json"
_SWEEP = "sweep.json"
_EARLIER = "earlier.json"
_OF_HYDRA = "multirun.yaml"  # its settings of the sweep
_STATUS = ("unfinished", "done", "failed")
_KINDS: Mapping[str, Callable[[Any], bool]] = {
    "number": lambda value: type(value) is int and value >= 0,
    "overrides": lambda value: isinstance(value, list) and all(isinstance(one, str) for one in value),
    "run": lambda value: value is None or (isinstance(value, str) and _is_below(value)),
    "status": lambda value: value in _STATUS,
    "error": lambda value: value is None or isinstance(value, str),
    "bad_input": lambda value: isinstance(value, bool),
}


@dataclass(frozen=True)
class Job:
    """Cell 0, 1, ... of a sweep: what it is asked for, and what became of it.

    ``run`` is its run folder's name in the sweep folder, None as long as the settings are not known. Its
    status is ``done``, ``failed`` (see ``error``; ``bad_input``: the user can mend it) or ``unfinished``.
    """

    number: int
    overrides: list[str]
    run: str | None = None
    status: str = "unfinished"
    error: str | None = None
    bad_input: bool = False

    def note(self, sweep: Path) -> None:
        """Write down how it stands."""
        folder = sweep / FOLDER / str(self.number)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / _JOB, asdict(self), secret=True)

    @classmethod
    def of(cls, kept: Any, path: Path) -> Job:
        """A job as ``note`` has kept it in ``path``.

        Raises:
            RunFolderError: It is not as it is written there.
        """
        if not isinstance(kept, dict) or kept.keys() != _KINDS.keys():
            raise RunFolderError(f"{path}: not what is noted of a job")
        for key, fits in _KINDS.items():
            if not fits(kept[key]):
                raise RunFolderError(f"{path}: {key} is {kept[key]!r}, which no job has")
        if kept["status"] == "done" and kept["run"] is None:
            raise RunFolderError(f"{path}: a job that is done, without a run")
        return cls(**kept)


@dataclass(frozen=True)
class There:
    """What there was of a sweep's folder before a command.

    ``made`` are the folders that were not there, the sweep's first; ``names`` is what was in it; ``empty``
    are the folders in it, at any depth, that held nothing.
    """

    made: tuple[Path, ...] = ()
    names: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()

    @classmethod
    def now(cls, sweep: Path) -> There:
        """As it is now."""
        bare = (here for here, below, files in os.walk(sweep) if not below and not files)
        empty = (Path(here).relative_to(sweep).as_posix() for here in bare if here != str(sweep))
        return cls(tuple(missing(sweep)), tuple(names(sweep)), tuple(sorted(empty)))

    def as_json(self) -> dict[str, Any]:
        """As it is kept."""
        return {"made": len(self.made), "names": self.names, "empty": self.empty}

    @classmethod
    def kept(cls, sweep: Path) -> There:
        """As it was kept for the latest command."""
        kept = _of_sweep(sweep)
        made, known, empty = kept.get("made"), kept.get("names"), kept.get("empty")
        if type(made) is not int or not isinstance(known, list) or not isinstance(empty, list):
            return cls((), (_OF_HYDRA,), ())  # of an earlier version: nothing is known to be ours
        return cls(tuple([sweep, *sweep.parents][:made]), tuple(map(str, known)), tuple(map(str, empty)))


def fingerprint(settings: dict[str, Any]) -> str:
    """Return the name of a run folder: a hash of all settings that its results depend on."""
    named = {key: _worded(value) for key, value in decisive(settings, UNNAMED).items()}
    return sha256_of_settings(named)[:12]


def begin(sweep: Path, count: int | None, there: There | None = None) -> None:
    """Begin a command in this folder; ``count`` jobs are to come, if that is known.

    Of the jobs of earlier commands here those that are done stay known: their results are there. ``there`` is
    what there was before the command.
    """
    notes = sweep / FOLDER
    notes.mkdir(parents=True, exist_ok=True)
    if (notes / _SWEEP).is_file():
        done = {job.run: job for job in [*earlier(sweep), *read(sweep)] if job.status == "done"}
        write_json(notes / _EARLIER, {"jobs": [asdict(job) for job in done.values()]}, secret=True)
    for path in notes.iterdir():
        if path.is_dir():
            delete(path)
    sweep_up(sweep)
    sweep_up(notes)
    write_json(notes / _SWEEP, {"total": count, **(there or There()).as_json()}, secret=True)


def withdraw(sweep: Path) -> None:
    """Take back a command that was refused before its first job, with the folders that it made."""
    notes, there = sweep / FOLDER, There.kept(sweep)
    if (notes / _EARLIER).exists() or any(path.is_dir() for path in notes.iterdir()):
        return
    delete(notes)
    if _OF_HYDRA not in there.names:
        delete(sweep / _OF_HYDRA)
    if there.made and not content(sweep):
        delete(sweep)  # with its lock, which is this command's
        unmake(there.made)


def tidy(sweep: Path) -> None:
    """Delete the folders that were made for jobs that have left nothing, down to the sweep's own."""
    there = There.kept(sweep)
    for job in read(sweep):
        folders = [sweep / run for run in (Path(job.run or ""), *Path(job.run or "").parents)][:-1]
        if folders and not folders[0].exists():
            unmake(one for one in folders[1:] if one.relative_to(sweep).as_posix() not in there.empty)


def earlier(sweep: Path) -> list[Job]:
    """Return the jobs that earlier commands have done in this folder, whose results are still there."""
    path = sweep / FOLDER / _EARLIER
    kept = _readable(path).get("jobs", [])
    found = []
    for one in kept if isinstance(kept, list) else ():
        try:
            found.append(Job.of(one, path))
        except RunFolderError as error:
            log.warning("%s; a cell of an earlier command is not known any more", error)
    return [job for job in found if job.run is not None and (sweep / job.run / "summary.json").is_file()]


def total(sweep: Path) -> int | None:
    """Return how many jobs the latest command has; None where that is not known."""
    known = _of_sweep(sweep).get("total")
    return known if type(known) is int and known >= 0 else None


def read(sweep: Path) -> list[Job]:
    """Return the jobs of the latest command, in order; those that never began as ``unfinished``.

    So is one whose file is damaged, with an error that says so.
    """
    found = {}
    for path in (sweep / FOLDER).glob(f"*/{_JOB}"):
        if path.parent.name.isdecimal():
            number = int(path.parent.name)
            try:
                found[number] = Job.of(_read(path), path)
            except RunFolderError as error:
                found[number] = Job(number, [], error=f"damaged: {error}")
    numbers = range(max(total(sweep) or 0, 1 + max(found, default=-1)))
    return [found.get(number, Job(number, [])) for number in numbers]


def has_begun(sweep: Path) -> bool:
    """Whether a job of the latest command has noted that it works, in whatever process."""
    return next((sweep / FOLDER).glob(f"*/{_JOB}"), None) is not None


def ended_jobs(sweep: Path, but: Collection[int] = ()) -> dict[int, str]:
    """Return number and status of the jobs of the latest command that have ended, without those in ``but``.

    One whose file is damaged is left to ``read``, which says so.
    """
    found: dict[int, str] = {}
    for path in (sweep / FOLDER).glob(f"*/{_JOB}"):
        if path.parent.name.isdecimal() and (number := int(path.parent.name)) not in but:
            with suppress(RunFolderError):
                job = Job.of(_read(path), path)
                found |= {number: job.status} if job.status != "unfinished" else {}
    return found


def _of_sweep(sweep: Path) -> dict[str, Any]:
    return _readable(sweep / FOLDER / _SWEEP)


def _readable(path: Path) -> dict[str, Any]:
    """What a file of notes says; nothing where it is missing, or damaged, which is said."""
    if not path.is_file():
        return {}
    try:
        return _read(path)
    except RunFolderError as error:
        log.warning("%s; what it said is not known any more", error)
        return {}


def _worded(value: Any) -> Any:
    """A setting with words for NaN and infinity, which JSON has not: a run says which it cannot have."""
    if isinstance(value, dict):
        return {key: _worded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_worded(inner) for inner in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _is_below(name: str) -> bool:
    """Whether a path leads into the folder that it is relative to, and not out of it."""
    return bool(name) and not Path(name).is_absolute() and ".." not in Path(name).parts


def _read(path: Path) -> dict[str, Any]:
    from expunge.record.folders.files import parse_object, read_text  # which brings the whole report with it

    return parse_object(read_text(path), path)
