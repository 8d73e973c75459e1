"""The page: what left with each request, what became of it, and the request's figures from the ledger."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from expunge.core import text
from expunge.core.columns import Column, Columns
from expunge.core.text import finite
from expunge.datasets import Dataset
from expunge.forgotten import pictures
from expunge.forgotten.again import read_again
from expunge.forgotten.chosen import chosen
from expunge.record.columns import OWN
from expunge.record.folders.runs import Run
from expunge.report.page.render import rendered
from expunge.report.tables.columns import formatted

OF_A_REQUEST, IN_ALL = 24, 600
"""Images, or texts, on a page at most."""
_ROWS = 200  # that are named of a request
_LONGEST = 80  # characters of a setting
_COARSE = 40  # pixels
_TOLD = ("request", "rows", "ids", "outcome", "reason")  # of a record, and not among its figures

Fact = tuple[str, str]


@dataclass(frozen=True)
class Shown:
    """A row that left, as it is shown: its picture (the address of one), or the beginning of its text.

    A picture is ``coarse`` where single pixels are to be seen.
    """

    row: int
    id: str
    of: str
    picture: str = ""
    size: str = ""
    coarse: bool = False
    words: str = ""


@dataclass(frozen=True)
class Request:
    """A request: its record, names of its first rows, its figures, and what is shown of its rows."""

    record: dict[str, Any]
    rows: list[str]
    figures: list[Fact]
    shown: list[Shown]


def made(folder: Path, requests: str | None, data_dir: Path | None = None) -> tuple[str, int, int]:
    """Return the page of the run in ``folder``, how many requests are on it, and how many there are.

    Args:
        folder: A run folder.
        requests: Which, as ``chosen`` reads it.
        data_dir: As ``read_again`` takes it.

    Raises:
        UserError: The run, its data or the requests cannot be had.
    """
    run, dataset = read_again(folder, data_dir)
    records = [run.records[number - 1] for number in chosen(requests, len(run.records))]
    found = list(_requests(records, dataset, OWN | run.columns))
    html = rendered(
        "forgotten",
        title=f"What left {run.name}",
        scripts=[],
        run=run,
        requests=found,
        sort=sort_of(run),
        facts=_settings(run),
        kind=kind_of(dataset),
    )
    return html, len(found), len(run.records)


def kind_of(dataset: Dataset) -> str:
    """Return what rows are shown as: ``image``, ``text``, or nothing (empty), as of a table."""
    if dataset.texts is not None and dataset.ids is not None:
        return "text"
    return "image" if pictures.are_images(dataset.x_train) else ""


def sort_of(run: Run) -> str:
    """Return what sort of request a run serves, in the words of the class that makes them."""
    name = str(run.setting("removal._target_") or "unknown").rpartition(".")[2]
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower().removeprefix("of ")


def _settings(run: Run) -> list[Fact]:
    """What the removal block says of the requests."""
    block = run.config.get("removal")
    of = {k: v for k, v in block.items() if k[:1] != "_" and v is not None} if isinstance(block, dict) else {}
    said = {text.plain(key): text.shown(value) for key, value in of.items()}
    return [(key, s if len(s) <= _LONGEST else f"{s[:_LONGEST]}…") for key, s in said.items()]


def _requests(records: Sequence[dict[str, Any]], dataset: Dataset, columns: Columns) -> Iterator[Request]:
    left = IN_ALL
    for record in records:
        rows = record["rows"]
        shown = _shown(rows[: min(left, OF_A_REQUEST)], dataset)
        left -= len(shown)
        named = [str(row) for row in rows[:_ROWS]]
        for place, name in enumerate(dataset.ids_of(rows[:_ROWS])):
            named[place] += f" id {name}"
        yield Request(record, named, _figures(record, columns), shown)


def _figures(record: dict[str, Any], columns: Columns) -> list[Fact]:
    """The numbers of a record, each as its column says that it is written."""
    found = []
    for key, value in record.items():
        if key not in _TOLD and (number := finite(value)) is not None:
            column = columns.get(key) or _own(key, value)
            found.append((column.head, formatted(column.format, number)))
    return found


def _own(key: str, value: float) -> Column:
    """The column of a number that nobody declares: the ledger's own."""
    if key == "seconds":
        return Column("time", format="seconds")
    return Column(text.plain(key).replace("_", " "), format="count" if isinstance(value, int) else "number")


def _shown(rows: Sequence[int], dataset: Dataset) -> list[Shown]:
    """These rows as they are shown; none of a table."""
    kind = kind_of(dataset)
    if not kind or not rows:
        return []
    ids = dataset.ids_of(rows) or [""] * len(rows)
    labels = (int(dataset.y_train[row]) for row in rows)
    names = [dataset.class_names.get(label, str(label)) for label in labels]
    if kind == "text":
        assert dataset.texts is not None
        texts = zip(rows, ids, names, dataset.texts(ids), strict=True)
        return [Shown(row, name, of, words=pictures.excerpt(said)) for row, name, of, said in texts]
    return [_pictured(row, name, of, dataset) for row, name, of in zip(rows, ids, names, strict=True)]


def _pictured(row: int, name: str, of: str, dataset: Dataset) -> Shown:
    image = np.asarray(dataset.x_train[row])
    high, wide = image.shape[:2]
    coarse = max(high, wide) <= _COARSE
    return Shown(row, name, of, pictures.address(image, dataset.unit), f"{wide} × {high} pixels", coarse)
