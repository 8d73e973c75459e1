"""What a run folder holds, and whether that is what a run has left there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from expunge.core.errors import DataError, RunFolderError, UserError, one_line
from expunge.core.files import read_header
from expunge.core.regular import open_regular
from expunge.record.ledger import DONE, RESULTS
from expunge.record.ledger import FILE as REMOVALS
from expunge.record.resume import FILE as CHECKPOINT
from expunge.record.resume import SECRET
from expunge.record.settings import must_match
from expunge.record.written import SUMMARY, require_as_written, require_complete, require_not_lost
from expunge.run.yaml_files import load_yaml

RECORD = ".hydra"
"""Folder of the configuration in a run folder."""
CONFIG = f"{RECORD}/config.yaml"
PARTS = ("config", "hydra", "overrides")
"""Its files there."""
LAST = (DONE, SUMMARY)
"""What a run writes last, and what goes first: with it the folder is that of a complete run."""


def ledger_of(folder: Path) -> Path | None:
    """The record of the run or study that ``folder`` holds, or None."""
    return next((path for name in (REMOVALS, RESULTS) if (path := folder / name).exists()), None)


def kept_in(folder: Path) -> str:
    """How many requests (or cells of a study) of a run that was broken off are recorded, in words."""
    ledger, count = ledger_of(folder), 0
    if ledger:
        with open_regular(ledger) as file:
            count = sum(line.endswith(b"\n") for line in file)
    what = "cell" if ledger and ledger.name == RESULTS else "request"
    return f"{count:,} {what}{' is' if count == 1 else 's are'} kept"


def require_same(folder: Path, settings: dict[str, Any]) -> None:
    """Compare the configuration that a run began with and that it is to be continued with.

    Raises:
        RunFolderError: They differ, or that of the run cannot be read.
    """
    begun = _recorded(folder / CONFIG)
    require_as_written([(folder / CONFIG).with_stem(name) for name in PARTS])
    must_match(begun, settings)


def require_sound(folder: Path) -> None:
    """Read all of a complete run that a report reads.

    Raises:
        RunFolderError: A file is damaged, or two do not belong together.
    """
    from expunge.record.folders.runs import read_one

    require_complete(folder)
    read_one(folder)


def found_damaged(folder: Path, settings: dict[str, Any], named: bool) -> RunFolderError | None:
    """What is damaged in the folder of a cell of a sweep, so that the cell is to be done again; or None.

    Where the folder is ``named`` by its settings, they are those that it began with.

    Raises:
        RunFolderError: It is damaged, and has drawn releases that nobody can draw again.
    """
    try:
        require_not_lost(folder)
        if not ledger_of(folder):
            return None
        _recorded(folder / CONFIG)
        if named:
            require_same(folder, settings)
        if (folder / SUMMARY).exists():
            require_sound(folder)
    except RunFolderError as damage:
        if _has_drawn(folder):
            again = "its releases are out, and nobody can draw them again; allowed: force=true, for others"
            raise RunFolderError(f"{damage}; {again}") from None
        return damage
    return None


def _has_drawn(folder: Path) -> bool:
    """Whether releases are out, or may be, that nobody can draw again; damaged files say nothing else."""
    if (folder / f"{CHECKPOINT}.last").exists():
        return True
    try:
        return (folder / SECRET).exists() and "run" in read_header(folder / SECRET)[1]
    except DataError:
        return True


def _recorded(path: Path) -> dict[Any, Any]:
    """The configuration that a run began with, references followed."""
    if not path.exists():
        raise RunFolderError(f"{path}: no such file; without it the run cannot be continued")
    try:
        begun = load_yaml(path)[0]
        found = OmegaConf.to_container(begun, resolve=True)
    except UserError as error:
        raise RunFolderError(str(error)) from None
    except (ValueError, RecursionError, OmegaConfBaseException) as error:
        raise RunFolderError(f"{path}: not the configuration of a run ({one_line(error)})") from None
    if not isinstance(found, dict):
        raise RunFolderError(f"{path}: not the configuration of a run")
    return found
