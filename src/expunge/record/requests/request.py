"""One removal request, and how rows become several."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from expunge.core.errors import InvalidValue


@dataclass(frozen=True, slots=True)
class Request:
    """Removal request 1, 2, ...: ids of training rows, as numbered in the data set before any removal."""

    number: int
    rows: tuple[int, ...]


def batches_of(rows: Sequence[Any], size: int) -> list[list[Any]]:
    """Return the rows, ``size`` of them in each batch but the last."""
    return [list(rows[k : k + size]) for k in range(0, len(rows), size)]


def require_left(count: int, rows: int) -> None:
    """Raise ``InvalidValue`` unless ``count`` of so many training rows leave one."""
    if count >= rows:
        raise InvalidValue("count", count, f"at most {rows - 1}, so that one of {rows} training rows is left")


def numbered(batches: Iterable[Sequence[int]]) -> list[Request]:
    """Return a request for each batch of row ids."""
    return [Request(number, tuple(rows)) for number, rows in enumerate(batches, start=1)]
