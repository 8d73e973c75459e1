"""The data of a finished run, read again, if they still are what the run was made from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from expunge.core.errors import DataError, RunFolderError
from expunge.datasets import Dataset
from expunge.record.folders.runs import Run, read_one
from expunge.run.again import data_again, settings_again
from expunge.run.job_cache import JobCache

_SHOWN = 12  # hexadecimal digits of a digest in a message


def read_again(folder: Path, data_dir: Path | None = None) -> tuple[Run, Dataset]:
    """Return the run in ``folder`` and its data set.

    Args:
        folder: A run folder.
        data_dir: Where the data lie here, if not where the configuration or the environment says.

    Raises:
        RunFolderError: It is no folder of a finished run with requests.
        DataError: The data are not there, or not those that the run was made from.
    """
    if not (folder / "summary.json").is_file():
        raise RunFolderError(f"{folder}: has no summary.json, allowed: the folder of one finished run")
    run = read_one(folder)
    if not isinstance(run, Run):
        raise RunFolderError(f"{folder}: a study, which removes nothing, allowed: a run with requests")
    if not run.records:
        raise RunFolderError(f"{folder}: a run without requests, so that nothing has left")
    settings = {"data_dir": None, **settings_again(folder / ".hydra" / "config.yaml")}
    if data_dir is not None:
        settings["data_dir"] = str(data_dir)
    dataset, digests = data_again(settings, JobCache())
    _require_same(folder, run.summary.get("inputs"), digests)
    _require_rows(folder, run, len(dataset.y_train))
    return run, dataset


def _require_same(folder: Path, recorded: Any, digests: Mapping[str, str]) -> None:
    """Every part of the data set has the digest that the run has recorded of it."""
    known = recorded if isinstance(recorded, dict) else {}
    for part, digest in digests.items():
        found = [(name, of) for name, of in known.items() if name.endswith(f", {part}")]
        if not found:
            raise DataError(
                f"{folder / 'summary.json'}: inputs name no digest of the {part}, to know them by"
            )
        name, was = found[0]
        if was != digest:
            short = f"sha256 {digest[:_SHOWN]} was {str(was)[:_SHOWN]}"
            raise DataError(f"{name}: not the data that the run was made from ({short})")


def _require_rows(folder: Path, run: Run, count: int) -> None:
    """Every row of every request is one of the data set."""
    for record in run.records:
        wrong = (row for row in record["rows"] if type(row) is not int or not 0 <= row < count)
        if (row := next(wrong, None)) is not None:
            where = f"{folder / 'removals.jsonl'}: request {record['request']}"
            raise RunFolderError(f"{where}: got row {row!r}, allowed: 0 to {count - 1}")
