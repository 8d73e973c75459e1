"""Bookkeeping of a sweep: one small file a job, written by that job alone.

``<sweep>/.jobs/<number>/job.json`` says which run folder the job works in and what became of it. Workers in
other processes, or on other machines, share nothing else with the process that began the sweep.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from expunge.core.errors import RunFolderError
from expunge.core.files import write_json
from expunge.core.hashing import sha256_of_settings
from expunge.record.settings import FREE

FOLDER = ".jobs"
UNNAMED = tuple(key for key in FREE if key != "data_dir")
"""Keys that do not change a folder's name. Data elsewhere may be other data."""
_JOB = "job.json"
_SWEEP = "sweep.json"
_EARLIER = "earlier.json"
_OF_HYDRA = "multirun.yaml"  # its settings of the sweep


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


def fingerprint(settings: dict[str, Any]) -> str:
    """Return the name of a run folder: a hash of all settings that its results depend on."""
    return sha256_of_settings({key: value for key, value in settings.items() if key not in UNNAMED})[:12]


def begin(sweep: Path, count: int | None) -> None:
    """Begin a command in this folder; ``count`` jobs are to come, if that is known.

    Of the jobs of earlier commands here those that are done stay known: their results are there.

    Raises:
        RunFolderError: A file is not as ``note`` writes it.
    """
    notes = sweep / FOLDER
    notes.mkdir(parents=True, exist_ok=True)
    if (notes / _SWEEP).is_file():
        done = {job.run: job for job in [*earlier(sweep), *read(sweep)] if job.status == "done"}
        write_json(notes / _EARLIER, {"jobs": [asdict(job) for job in done.values()]}, secret=True)
    for path in notes.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
    write_json(notes / _SWEEP, {"total": count}, secret=True)


def withdraw(sweep: Path) -> None:
    """Take back a command that was refused before its first job; a folder that it made goes, too."""
    notes = sweep / FOLDER
    if (notes / _EARLIER).exists() or any(path.is_dir() for path in notes.iterdir()):
        return
    shutil.rmtree(notes)
    if {path.name for path in sweep.iterdir()} == {_OF_HYDRA}:
        (sweep / _OF_HYDRA).unlink()
    if not any(sweep.iterdir()) and not sweep.samefile(Path.cwd()):
        sweep.rmdir()


def earlier(sweep: Path) -> list[Job]:
    """Return the jobs that earlier commands have done in this folder, whose results are still there.

    Raises:
        RunFolderError: A file is not as ``begin`` writes it.
    """
    path = sweep / FOLDER / _EARLIER
    if not path.is_file():
        return []
    try:
        jobs = [Job(**job) for job in _read(path)["jobs"]]
    except (TypeError, KeyError) as error:
        raise RunFolderError(f"{path}: not a list of jobs ({error})") from None
    return [job for job in jobs if job.run is not None and (sweep / job.run / "summary.json").is_file()]


def total(sweep: Path) -> int | None:
    """Return how many jobs the latest command has; None where that is not known."""
    known = _read(sweep / FOLDER / _SWEEP).get("total")
    return known if isinstance(known, int) else None


def read(sweep: Path) -> list[Job]:
    """Return the jobs of the latest command, in order; those that never began as ``unfinished``.

    Raises:
        RunFolderError: A file is not as ``note`` writes it.
    """
    found = {}
    for path in (sweep / FOLDER).glob(f"*/{_JOB}"):
        try:
            job = Job(**_read(path))
        except TypeError as error:
            raise RunFolderError(f"{path}: not a job's file ({error})") from None
        found[job.number] = job
    numbers = range(max(total(sweep) or 0, 1 + max(found, default=-1)))
    return [found.get(number, Job(number, [])) for number in numbers]


def _read(path: Path) -> dict[str, Any]:
    from expunge.report.run_files import parse_object, read_text  # which brings the whole report with it

    return parse_object(read_text(path), path)
