"""A user's own table: a CSV or Parquet file with a column of labels; others are numbers or categories."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from expunge.core.errors import DataError, InvalidValue
from expunge.datasets.arrays import locate, numbered
from expunge.datasets.base import Dataset
from expunge.datasets.names import listed
from expunge.datasets.splits import checked_split, split
from expunge.datasets.table_columns import (
    Categories,
    Numbers,
    Refused,
    Weights,
    checked_categories,
    checked_fill,
)
from expunge.datasets.table_files import TableFile, as_text, open_table

log = logging.getLogger(__name__)

_KINDS = ".csv, .tsv or .parquet"
_OWN_NAMES = {"id": "id", "group": "group"}
"""Columns that are taken for ids and groups where nothing is said of them."""
_LONGEST = 1000  # characters of a name: all of a column get the room of the longest
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,17}")  # which int64 has
_FRACTION = re.compile(r"[-+]?[0-9]*\.[0-9]*[1-9][0-9]*([eE][-+]?[0-9]+)?")


def load(
    data_dir: Any,
    file: Any,
    label: Any,
    id: Any = None,
    group: Any = None,
    weight: Any = None,
    categories: Mapping[str, Sequence[Any]] | None = None,
    fill: Mapping[str, float] | None = None,
    drop: Sequence[str] | None = None,
    test_file: Any = None,
    test_share: float = 0.2,
    test_seed: int | None = None,
    classes: Sequence[Any] | None = None,
    separator: str | None = None,
) -> Dataset:
    """Return the rows of a file in its order, features as float32.

    A training row's number is its place in the file, from 0, where the test rows are the last ones or in a
    file of their own. Where they are drawn, and there is no column of ids, that place is the row's id.

    Args:
        data_dir: Where files are looked for that are not under the current directory.
        file: ``.csv``, ``.tsv`` or ``.parquet``, with names of columns.
        label: The column with the classes: whole numbers or text.
        id: The column that names each row, each differently; None: the column ``id`` if there is one; False:
            none, and a column ``id`` is a feature.
        group: The column that says whose a row is; None: the column ``group`` if there is one; False: none.
        weight: The column that says what each training row counts in the loss, in (0, 1]; None: 1.
        categories: Column -> the values that it may hold, each of which becomes a feature (see
            ``Categories``). All other columns are numbers.
        fill: Column -> the number in place of none.
        drop: Columns to leave out.
        test_file: Another such file with the test rows, or None.
        test_share: Share of the rows that are test rows, between 0 and 1.
        test_seed: Of their drawing; None: the last rows of the file.
        classes: Names of the classes to keep; None: all.
        separator: Between two values of a line; None: a comma, of ``.tsv`` a tab.

    Raises:
        DataError: A file is missing or damaged, or a value is not as above.
        InvalidValue: A setting is not allowed.
    """
    share, seed = checked_split(test_share, test_seed)
    path = locate("file", file, data_dir, _KINDS)
    if separator is not None and not (isinstance(separator, str) and len(separator) == 1):
        raise InvalidValue("separator", separator, "one character, or null")
    table = open_table(path, separator)
    plan = _Plan.of(table, path, label, {"id": id, "group": group, "weight": weight}, categories, fill, drop)
    whole = plan.read(path, table)
    if test_file is not None:
        other = locate("test_file", test_file, data_dir, _KINDS)
        own = open_table(other, separator)
        if missing := [name for name in plan.needed if name not in own.columns]:
            raise DataError(f"{other}: has no column {missing[0]!r}, allowed: the columns of {path}")
        train, test = whole, plan.read(other, own, rows_are_named=False)
    else:
        first, second = split(path, len(whole.x), share, seed)
        train, test = whole.part(first), whole.part(second)
        if train.ids is None and seed is not None:
            train.ids = first.astype(str)
    y_train, y_test, names = numbered(path, train.labels, test.labels)
    found = Dataset(
        *("table", train.x, y_train, test.x, y_test, names),
        ids=train.ids,
        groups=train.groups,
        features=plan.features(),
        weights=train.weights,
    )
    return found.only(classes)


@dataclass
class _Read:
    """Rows as they have been read, (n, d) and (n,)."""

    x: NDArray[np.float32]
    labels: NDArray[Any]
    ids: NDArray[np.str_] | None
    groups: NDArray[np.str_] | None
    weights: NDArray[np.float64] | None

    def part(self, rows: Any) -> _Read:
        """Some of the rows."""
        others = (self.ids, self.groups, self.weights)
        return _Read(self.x[rows], self.labels[rows], *(None if of is None else of[rows] for of in others))


@dataclass(frozen=True)
class _Plan:
    """What each column is for."""

    label: str
    id: str | None
    group: str | None
    weight: str | None
    columns: list[Numbers | Categories] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        table: TableFile,
        path: Path,
        label: Any,
        named: Mapping[str, Any],
        categories: Any,
        fill: Any,
        drop: Any,
    ) -> _Plan:
        """Return it, as the settings say.

        Raises:
            InvalidValue: A setting names a column that is not there, or that has another use.
        """
        there = table.columns
        label = _column("label", label, there, path)
        own = {key: _of_rows(key, given, there, path, label) for key, given in named.items()}
        for key, column in own.items():
            if column is not None and named[key] is None:
                log.info("%s: column %s has the %ss of rows (dataset.%s)", path, column, key, key)
        if not isinstance(drop or [], (list, tuple)):
            raise InvalidValue("drop", drop, "a list of columns")
        left_out = {_column("drop", name, there, path) for name in drop or []}
        used = {label, *own.values()} | left_out
        if label in left_out:
            raise InvalidValue("drop", label, "columns without that of the labels")
        free = [name for name in there if name not in used]
        if not free:
            raise DataError(f"{path}: has no column besides {listed(there)}, allowed: one feature or more")
        values = checked_categories(categories, free)
        filled = checked_fill(fill, [name for name in free if name not in values])
        columns = [
            Categories(name, values[name]) if name in values else Numbers(name, filled.get(name))
            for name in free
        ]
        return cls(label, own["id"], own["group"], own["weight"], columns)

    @property
    def needed(self) -> list[str]:
        """Columns that a file of test rows must have."""
        return [self.label, *(column.name for column in self.columns)]

    def features(self) -> dict[str, bool]:
        """Name of each feature -> whether it holds but 0 and 1."""
        return {name: binary for column in self.columns for name, binary in column.features().items()}

    def read(self, path: Path, table: TableFile, rows_are_named: bool = True) -> _Read:
        """Return the rows of a file.

        Raises:
            DataError: A value is not what its column must hold.
        """
        of_rows = [self.id, self.group] if rows_are_named else [None, None]
        texts = [self.label, *(name for name in of_rows if name is not None)]
        known = [column.name for column in self.columns if isinstance(column, Categories)]
        weight = Weights(self.weight) if rows_are_named and self.weight is not None else None
        unused = [name for name in table.columns if name not in (*self.needed, weight and weight.name)]
        weights: list[NDArray[Any]] = []
        blocks: list[NDArray[np.float32]] = []
        found: dict[str, list[NDArray[np.str_]]] = {name: [] for name in texts}
        start = 0
        for chunk in table.chunks({*texts, *known, *unused}):
            blocks.append(np.hstack([_read(path, table, chunk, start, column) for column in self.columns]))
            if weight is not None:
                weights.append(_read(path, table, chunk, start, weight))
            for name in texts:
                found[name].append(_texts(path, table, chunk[name], start))
            start += len(chunk)
        if not start:
            raise DataError(f"{path}: has no rows, allowed: 2 or more")
        named = {name: np.concatenate(parts) for name, parts in found.items()}
        ids, groups = (None if name is None else named[name] for name in of_rows)
        if ids is not None:
            _require_distinct(path, table, ids, texts[1])
        labels = _labels(path, table, named[self.label], self.label)
        return _Read(_joined(blocks), labels, ids, groups, np.concatenate(weights) if weights else None)


def _joined(blocks: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The blocks one below the other; each is let go of as soon as it has been copied."""
    found = np.empty((sum(map(len, blocks)), blocks[0].shape[1]), dtype=np.float32)
    end = len(found)
    while blocks:
        block = blocks.pop()
        found[end - len(block) : end] = block
        end -= len(block)
    return found


def _read(
    path: Path, table: TableFile, chunk: pd.DataFrame, start: int, column: Numbers | Categories
) -> NDArray[Any]:
    try:
        return column.read(chunk[column.name])
    except Refused as error:
        where = table.where(start + error.row)
        raise DataError(f"{path}, {where}: column {column.name} {error}") from None


def _texts(path: Path, table: TableFile, column: pd.Series[Any], start: int) -> NDArray[np.str_]:
    """Names in a column, none of them empty."""
    texts = [as_text(value) for value in column]
    long = next((k for k, text in enumerate(texts) if len(text) > _LONGEST), None)
    if long is not None:
        said = f"holds {len(texts[long]):,} characters, allowed: names of at most {_LONGEST}"
        raise DataError(f"{path}, {table.where(start + long)}: column {column.name} {said}")
    found = np.array(texts, dtype=np.str_)
    if (empty := np.char.str_len(found) == 0).any():
        where = table.where(start + int(empty.argmax()))
        raise DataError(f"{path}, {where}: column {column.name} is empty, allowed: a value in each row")
    return found


def _labels(path: Path, table: TableFile, texts: NDArray[np.str_], name: str) -> NDArray[Any]:
    """Labels as int64 where all are whole numbers, else as text.

    Raises:
        DataError: They are measurements and no classes.
    """
    different, place = np.unique(texts, return_inverse=True)
    if all(map(_WHOLE.fullmatch, different)):
        return different.astype(np.int64)[place.ravel()]
    fractions = [_FRACTION.fullmatch(text) is not None for text in different]
    if any(fractions) and all(
        one or _is_number(text) for one, text in zip(fractions, different, strict=True)
    ):
        row = int(np.flatnonzero(texts == different[fractions.index(True)])[0])
        said = f"column {name} holds {texts[row]}, allowed: classes, which are whole numbers or text"
        raise DataError(f"{path}, {table.where(row)}: {said}")
    return texts


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _require_distinct(path: Path, table: TableFile, ids: NDArray[np.str_], name: str) -> None:
    order = np.argsort(ids, kind="stable")
    same = np.flatnonzero(ids[order[1:]] == ids[order[:-1]])
    if same.size:
        first, second = (table.where(int(order[same[0] + k])) for k in (0, 1))
        said = f"column {name} holds {str(ids[order[same[0]]])!r} in {first} and {second}"
        raise DataError(f"{path}: {said}, allowed: ids that differ (rows of one person: dataset.group)")


def _of_rows(key: str, given: Any, there: Sequence[str], path: Path, label: str) -> str | None:
    """The column of ids, groups or weights."""
    if given is False:
        return None
    if given is None:
        return own if (own := _OWN_NAMES.get(key)) in there and own != label else None
    column = _column(key, given, there, path)
    if column == label:
        raise InvalidValue(key, given, "another column than that of the labels")
    return column


def _column(key: str, given: Any, there: Sequence[str], path: Path) -> str:
    if isinstance(given, bool) or str(given) not in there:
        alone = " (no other: is dataset.separator right?)" if len(there) == 1 else ""
        raise InvalidValue(key, given, f"a column of {path}: {listed(there)}{alone}")
    return str(given)
