"""Rows that the user lists, by their numbers or by their ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from expunge.core.checks import require_count
from expunge.core.errors import DataError, InvalidValue
from expunge.core.files import read_text
from expunge.core.homes import expanded
from expunge.core.json_text import parse_json
from expunge.datasets import Dataset
from expunge.datasets.names import listed as listed_names
from expunge.record.requests.request import Request, batches_of, numbered

_MOST_DIGITS = 20  # of a row id


class ListedRows:
    """Rows that the user lists.

    Args:
        rows: Row ids; or lists of row ids, each one request; or the path of a file of them: ``.json`` with
            such a list, or else text with one request a line, ids separated by spaces or commas, and
            anything after ``#`` left out.
        batch_size: How many ids of a plain list make one request.

    Raises:
        InvalidValue: A setting is not allowed.
    """

    def __init__(self, rows: Any, batch_size: int = 1) -> None:
        rows = rows.tolist() if isinstance(rows, np.ndarray) else rows
        if isinstance(rows, bool) or not isinstance(rows, (int, str, Path, Sequence)):
            raise InvalidValue("rows", rows, "a list of row ids, a list of such lists, or the path of a file")
        self.rows = [rows] if isinstance(rows, int) else rows
        self.batch_size = require_count("batch_size", batch_size)

    def stream(self, dataset: Dataset, seed: int) -> list[Request]:
        """Return the requests in the order given; ``seed`` is not used.

        Raises:
            DataError: The file is missing or cannot be read.
            InvalidValue: An id is out of range or given twice, a request is empty, or no row would be left.
        """
        listed = _read_rows(Path(self.rows)) if isinstance(self.rows, (str, Path)) else list(self.rows)
        return numbered(_checked(self._batches("rows", listed), len(dataset.y_train)))

    def _batches(self, key: str, listed: list[Any]) -> list[list[Any]]:
        """What is listed, request by request."""
        nested = [isinstance(entry, Sequence) and not isinstance(entry, str) for entry in listed]
        if all(nested):
            if self.batch_size != 1:
                allowed = "1 where rows lists the requests themselves"
                raise InvalidValue("batch_size", self.batch_size, allowed)
            return [list(batch) for batch in listed]
        if any(nested):
            raise InvalidValue(key, listed, f"either {_ONE[key]}s or lists of {_ONE[key]}s, not both")
        return batches_of(listed, self.batch_size)


_ONE = {"rows": "row id", "ids": "id"}


class ListedIds(ListedRows):
    """Rows that the user lists by what they are called: their values in a table's column of ids.

    Args:
        ids: An id; or a list of ids; or of lists of ids, each one request; or the path of a file of them:
            ``.json`` with such a list, or ``.txt`` with an id in each line. They are compared as text.
        batch_size: How many ids of a plain list make one request.

    Raises:
        InvalidValue: A setting is not allowed.
    """

    def __init__(self, ids: Any, batch_size: int = 1) -> None:
        if isinstance(ids, bool) or not isinstance(ids, (int, str, Path, Sequence)):
            raise InvalidValue("ids", ids, "a list of ids, a list of such lists, or the path of a file")
        super().__init__([], batch_size)
        self.ids = ids

    def stream(self, dataset: Dataset, seed: int) -> list[Request]:
        """Return the requests in the order given; ``seed`` is not used.

        Raises:
            DataError: The file is missing or cannot be read.
            InvalidValue: The data have no ids; an id is that of no training row or is given twice, a request
                is empty, or no row would be left.
        """
        row_of = dataset.rows_by_id("ids")
        batches = self._batches("ids", read_ids(self.ids))
        rows = [[_row(row_of, given) for given in batch] for batch in batches]
        try:
            return numbered(_checked(rows, len(dataset.y_train)))
        except InvalidValue as error:
            got = error.got if not isinstance(error.got, int) else str(dataset.ids_of([error.got])[0])
            raise InvalidValue("ids", got, error.allowed.replace("row", "id")) from None


def read_ids(given: Any) -> list[Any]:
    """The list that is given, or that a file holds whose name ends in ``.json`` or ``.txt``.

    Raises:
        DataError: It cannot be read.
    """
    if isinstance(given, Path) or (isinstance(given, str) and given.endswith((".json", ".txt"))):
        return _read(Path(given), "ids", lambda line: line)
    return [given] if isinstance(given, (int, str)) else list(given)


def _row(row_of: Mapping[str, int], given: Any) -> int:
    if isinstance(given, bool) or not isinstance(given, (str, int)) or str(given) not in row_of:
        some = listed_names(row_of, 3)
        raise InvalidValue(
            "ids", given, f"ids of training rows, such as {some}; as text where YAML reads more"
        )
    return row_of[str(given)]


def _checked(batches: Sequence[Sequence[Any]], n: int) -> list[list[int]]:
    """Return the ids as ints, each in range and given once, with at least one row of ``n`` left."""
    if not batches:
        raise InvalidValue("rows", [], "at least one row id")
    seen: dict[int, int] = {}
    for number, batch in enumerate(batches, start=1):
        if not batch:
            raise InvalidValue("rows", [], f"at least one row id in each request (request {number})")
        for position, row in enumerate(batch, start=1):
            where = f"(request {number}, position {position})"
            if isinstance(row, bool) or not hasattr(row, "__index__") or not 0 <= row < n:
                raise InvalidValue("rows", row, f"row ids from 0 to {n - 1} {where}")
            if int(row) in seen:
                allowed = f"each row once {where}; it is in request {seen[row]} already"
                raise InvalidValue("rows", row, allowed)
            seen[int(row)] = number
    if len(seen) == n:
        raise InvalidValue("rows", f"all {n} rows", "at least one training row left")
    return [[int(row) for row in batch] for batch in batches]


def _read_rows(path: Path) -> list[Any]:
    """The list that a file holds; a text file's ids that are no numbers are left for the check to name."""
    return _read(path, "rows", lambda line: _numbers_in(line.partition("#")[0]))


def _read(path: Path, key: str, of_line: Callable[[str], Any]) -> list[Any]:
    """The list in a ``.json`` file, or what ``of_line`` makes of the lines of another, but of empty ones."""
    try:
        text = read_text(expanded(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise DataError(f"{path}: cannot be read as a file of {_ONE[key]}s ({reason})", key) from None
    if path.suffix == ".json":
        try:
            rows = parse_json(text)
        except ValueError as error:
            raise DataError(f"{path}: not JSON ({error})", key) from None
        if not isinstance(rows, list):
            allowed = f"a list of {_ONE[key]}s, or of such lists"
            raise DataError(f"{path}: holds a {type(rows).__name__}, allowed: {allowed}", key)
        return rows
    return [found for line in text.splitlines() if (found := of_line(line.strip()))]


def _numbers_in(line: str) -> list[int | str]:
    return [_id(word) for word in line.replace(",", " ").split()]


def _id(word: str) -> int | str:
    """A row id; a word that is none, or longer than any, as it is."""
    return int(word) if word.isascii() and word.isdigit() and len(word) <= _MOST_DIGITS else word
