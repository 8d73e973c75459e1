"""The stream of removal requests: which training rows must go, and in what order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core import seeds
from expunge.core.checks import require_count, require_seed, require_share
from expunge.core.errors import DataError, InvalidValue
from expunge.core.files import read_text
from expunge.core.homes import expanded
from expunge.core.json_text import parse_json
from expunge.datasets import Dataset
from expunge.datasets.names import person

_MOST_DIGITS = 20  # of a row id


@dataclass(frozen=True, slots=True)
class Request:
    """Removal request 1, 2, ...: ids of training rows, as numbered in the data set before any removal."""

    number: int
    rows: tuple[int, ...]


class RandomRows:
    """Rows drawn at random without replacement; the first requests are the same for any ``count``.

    Args:
        count: Number of requests; 0 for the model of the training alone.
        batch_size: Rows in each.
        seed: None for the run's own.

    Raises:
        InvalidValue: A setting is not allowed.
    """

    def __init__(self, count: int = 100, batch_size: int = 1, seed: int | None = None) -> None:
        self.count = require_count("count", count, least=0)
        self.batch_size = require_count("batch_size", batch_size)
        self.seed = None if seed is None else require_seed("seed", seed)

    def stream(self, dataset: Dataset, seed: int) -> list[Request]:
        """Return the requests.

        Raises:
            InvalidValue: They would leave no training row.
        """
        n = len(dataset.y_train)
        most = (n - 1) // self.batch_size
        if self.count > most:
            if most == 0:
                raise InvalidValue("batch_size", self.batch_size, f"at most {n - 1}, so that a row is left")
            each = "one row" if self.batch_size == 1 else f"{self.batch_size} rows"
            allowed = f"at most {most} of {each} each, so that one of the {n} training rows is left"
            raise InvalidValue("count", self.count, allowed)
        drawn = seeds.stream(seed if self.seed is None else self.seed, "requests").permutation(n)
        return _numbered(_batches(drawn[: self.count * self.batch_size].tolist(), self.batch_size))


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
        nested = [isinstance(entry, Sequence) and not isinstance(entry, str) for entry in listed]
        if all(nested):
            if self.batch_size != 1:
                allowed = "1 where rows lists the requests themselves"
                raise InvalidValue("batch_size", self.batch_size, allowed)
            batches = [list(batch) for batch in listed]
        elif any(nested):
            raise InvalidValue("rows", listed, "either row ids or lists of row ids, not both")
        else:
            batches = _batches(listed, self.batch_size)
        return _numbered(_checked(batches, len(dataset.y_train)))


class _Part:
    """How many rows of a label go, and in which requests: common to ``OfClass`` and ``OfIdentity``."""

    def __init__(self, batch_size: int | None, share: float, count: int | None, seed: int | None) -> None:
        self.batch_size = None if batch_size is None else require_count("batch_size", batch_size)
        self.share = require_share("share", share)
        self.count = None if count is None else require_count("count", count)
        if self.count is not None and self.share != 1:
            raise InvalidValue("count", count, "null where share is below 1")
        self.seed = None if seed is None else require_seed("seed", seed)

    def requested(self, rows: NDArray[np.int64], whose: str, seed: int, *index: int) -> list[list[int]]:
        """Return the rows of each request, of the ``rows`` of a label, of which there is one at least.

        ``index`` tells the draws of several labels from each other.

        Raises:
            InvalidValue: ``count`` is above their number; the message calls them the rows of ``whose``.
        """
        if self.count is not None and self.count > len(rows):
            raise InvalidValue("count", self.count, f"at most {len(rows)}, the rows of {whose}")
        chosen = self.count or max(1, round(self.share * len(rows)))
        if chosen < len(rows):
            generator = seeds.stream(seed if self.seed is None else self.seed, "requests", *index)
            rows = np.sort(generator.permutation(rows)[:chosen])
        return _batches(rows.tolist(), self.batch_size or chosen)


class OfClass(_Part):
    """Rows of one class, in the data set's order.

    Args:
        batch_size: Rows in each request; None: all in one.
        share: Share of the class's rows, 0 < share <= 1; below 1 they are drawn at random.
        count: Number of rows instead of a share, drawn likewise.
        seed: None for the run's own.
        named: ``class``, the class's name, is the one key (a word that Python keeps for itself).

    Raises:
        InvalidValue: A setting is not allowed.
    """

    def __init__(
        self,
        batch_size: int | None = None,
        share: float = 1.0,
        count: int | None = None,
        seed: int | None = None,
        **named: Any,
    ) -> None:
        self.class_name = named.pop("class", None)
        if named:
            raise InvalidValue(next(iter(named)), next(iter(named.values())), "no such setting")
        if self.class_name is None:
            raise InvalidValue("class", None, "the name of a class of the data set")
        super().__init__(batch_size, share, count, seed)

    def stream(self, dataset: Dataset, seed: int) -> list[Request]:
        """Return the requests.

        Raises:
            InvalidValue: There is no such class, it has too few rows, or no training row would be left.
        """
        rows = np.flatnonzero(dataset.y_train == dataset.label_of(self.class_name))
        if not len(rows):
            raise InvalidValue("class", self.class_name, "a class with training rows")
        batches = self.requested(rows, f"class {self.class_name}", seed)
        if sum(map(len, batches)) == len(dataset.y_train):
            raise InvalidValue("class", self.class_name, "a class that leaves at least one training row")
        return _numbered(batches)


class OfIdentity(_Part):
    """Images of a person, or of several one after the other; no request mixes two of them.

    Args:
        identity: A name, or a list of names; compared as text.
        batch_size: Images in each request; None: all of a person in one.
        share: Share of each person's training images, 0 < share <= 1; below 1 they are drawn at random.
        count: Number of each person's images instead of a share, drawn likewise.
        seed: None for the run's own.

    Raises:
        InvalidValue: A setting is not allowed.
    """

    def __init__(
        self,
        identity: Any,
        batch_size: int | None = None,
        share: float = 1.0,
        count: int | None = None,
        seed: int | None = None,
    ) -> None:
        several = isinstance(identity, Sequence) and not isinstance(identity, str)
        self.identities = list(identity) if several else [identity]
        if not self.identities:
            raise InvalidValue("identity", [], "the name of an identity, or a list of names")
        super().__init__(batch_size, share, count, seed)

    def stream(self, dataset: Dataset, seed: int) -> list[Request]:
        """Return the requests; what is drawn of a person does not depend on the others.

        Raises:
            InvalidValue: A person does not exist, has too few training rows or is named twice, or no training
                row would be left.
        """
        batches: list[list[int]] = []
        seen: dict[int, Any] = {}
        known = list(dataset.class_names)
        for given in self.identities:
            label = person(dataset.class_names, given)
            if label in seen:
                raise InvalidValue("identity", given, f"each identity once; {seen[label]!r} is the same")
            seen[label], name = given, dataset.class_names[label]
            rows = np.flatnonzero(dataset.y_train == label)
            if not len(rows):
                there = np.count_nonzero(dataset.y_test == label)
                allowed = f"an identity with training images; all {there} images of {name} are for the test"
                raise InvalidValue("identity", given, allowed)
            batches += self.requested(rows, f"identity {name}", seed, known.index(label))
        if sum(map(len, batches)) == len(dataset.y_train):
            raise InvalidValue("identity", self.identities, "identities that leave at least one training row")
        return _numbered(batches)


def _batches(rows: Sequence[Any], size: int) -> list[list[Any]]:
    return [list(rows[k : k + size]) for k in range(0, len(rows), size)]


def _numbered(batches: Iterable[Sequence[int]]) -> list[Request]:
    return [Request(number, tuple(rows)) for number, rows in enumerate(batches, start=1)]


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
    try:
        text = read_text(expanded(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise DataError(f"{path}: cannot be read as a file of row ids ({reason})", "rows") from None
    if path.suffix == ".json":
        try:
            rows = parse_json(text)
        except ValueError as error:
            raise DataError(f"{path}: not JSON ({error})", "rows") from None
        if not isinstance(rows, list):
            allowed = "a list of row ids, or of such lists"
            raise DataError(f"{path}: holds a {type(rows).__name__}, allowed: {allowed}", "rows")
        return rows
    lines = (line.partition("#")[0].replace(",", " ").split() for line in text.splitlines())
    return [[_id(word) for word in line] for line in lines if line]


def _id(word: str) -> int | str:
    """A row id; a word that is none, or longer than any, as it is."""
    return int(word) if word.isascii() and word.isdigit() and len(word) <= _MOST_DIGITS else word
