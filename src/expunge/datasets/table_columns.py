"""Columns of a table as numbers: what they must hold, and what is said of the first value that is another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from expunge.core.checks import LARGEST_SINGLE, require_finite
from expunge.core.errors import InvalidValue
from expunge.datasets.names import listed
from expunge.datasets.table_files import as_text


class Refused(ValueError):
    """A value that cannot be used, ``row`` of the chunk; its text says what it is and what is allowed."""

    def __init__(self, row: int, said: str) -> None:
        self.row = row
        super().__init__(said)


class Numbers:
    """A column of numbers, or of true and false, which are 1 and 0: one feature.

    Attributes:
        binary: Whether it has held true and false alone.
    """

    def __init__(self, name: str, fill: float | None) -> None:
        self.name, self.fill = name, fill
        self.binary = True

    def features(self) -> dict[str, bool]:
        """Name -> whether it holds but 0 and 1."""
        return {self.name: self.binary}

    def read(self, column: pd.Series[Any]) -> NDArray[np.float32]:
        """Return the values of a chunk, (m, 1).

        Raises:
            Refused: One is no number that float32 has, or there is none.
        """
        self.binary &= column.dtype.kind == "b"
        values = self._values(column)
        missing = np.isnan(values)
        if missing.any():
            if self.fill is None:
                said = f"a number in each row, or one for those without: dataset.fill={{{self.name}: 0}}"
                raise Refused(int(missing.argmax()), f"holds no number, allowed: {said}")
            values = np.where(missing, self.fill, values)
        with np.errstate(over="ignore"):
            found = values.astype(np.float32)
        if (far := ~np.isfinite(found)).any():
            row = int(far.argmax())
            raise Refused(row, f"holds {column.iloc[row]}, allowed: numbers of up to {LARGEST_SINGLE:g}")
        return found[:, None]

    def _values(self, column: pd.Series[Any]) -> NDArray[np.float64]:
        """The values in float64, NaN for none."""
        if column.dtype.kind in "mM":
            raise Refused(0, f"holds dates or times ({column.iloc[0]}), {_otherwise(self.name)}")
        if column.dtype.kind in "biuf":
            return column.to_numpy(dtype=np.float64, na_value=np.nan)
        empty = column.isna().to_numpy()  # of text, which may yet be numbers; float() takes 1_0 for 10
        read = pd.to_numeric(column.astype(object).where(~empty, None), errors="coerce")
        values = np.asarray(read.to_numpy(dtype=np.float64, na_value=np.nan))
        if (bad := np.isnan(values) & ~empty).any():
            row = int(bad.argmax())
            raise Refused(row, f"holds {str(column.iloc[row])[:80]!r}, {_otherwise(self.name)}")
        return values


def _otherwise(name: str) -> str:
    known = f"text of known values: dataset.categories={{{name}: [...]}}"
    return f"allowed: numbers; {known}, and dataset.drop=[{name}] leaves the column out"


class Weights(Numbers):
    """A column that says what each row counts: numbers above 0 and at most 1, and no feature."""

    def __init__(self, name: str) -> None:
        super().__init__(name, None)

    def read(self, column: pd.Series[Any]) -> NDArray[Any]:
        """Return the weights of a chunk, (m,) float64.

        Raises:
            Refused: One is none.
        """
        allowed = "allowed: a weight above 0 and at most 1 in each row"
        try:
            values = self._values(column)
        except Refused as error:
            raise Refused(error.row, f"holds {str(column.iloc[error.row])[:80]!r}, {allowed}") from None
        if (bad := ~((values > 0) & (values <= 1))).any():
            row = int(bad.argmax())
            raise Refused(row, f"holds {column.iloc[row]}, {allowed}")
        return values


class Categories:
    """A column of a few known values: a feature for each, 1 in the rows that hold it and 0 in others.

    What the values are is said beforehand. They are not collected from the rows, some of which may leave.
    """

    def __init__(self, name: str, values: Sequence[str]) -> None:
        self.name, self.values = name, values

    def features(self) -> dict[str, bool]:
        """Name -> whether it holds but 0 and 1."""
        return {f"{self.name}={value}": True for value in self.values}

    def read(self, column: pd.Series[Any]) -> NDArray[np.float32]:
        """Return the indicators of a chunk, (m, values).

        Raises:
            Refused: A row holds another value.
        """
        texts = column.map(as_text)
        found = texts.to_numpy()[:, None] == np.array(self.values, dtype=object)
        if (unknown := ~found.any(axis=1)).any():
            row = int(unknown.argmax())
            said = f"holds {texts.iloc[row][:80]!r}, allowed: {listed(self.values)} (dataset.categories)"
            raise Refused(row, said)
        return found.astype(np.float32)


def checked_categories(given: Any, columns: Sequence[str]) -> dict[str, list[str]]:
    """Return the values of each column of categories as text.

    Raises:
        InvalidValue: ``categories`` is no mapping from columns that there are to lists of different values.
    """
    found = {}
    for name, values in _mapping("categories", given, columns).items():
        texts = [as_text(value) for value in values] if isinstance(values, (list, tuple)) else []
        if not texts or len(set(texts)) < len(texts):
            raise InvalidValue(f"categories.{name}", values, "a list of the values that the column may hold")
        found[name] = texts
    return found


def checked_fill(given: Any, columns: Sequence[str]) -> dict[str, float]:
    """Return the number that stands for none in each column.

    Raises:
        InvalidValue: ``fill`` is no mapping from columns that there are to numbers.
    """
    found = _mapping("fill", given, columns)
    return {name: require_finite(f"fill.{name}", value, most=LARGEST_SINGLE) for name, value in found.items()}


def _mapping(key: str, given: Any, columns: Sequence[str]) -> dict[str, Any]:
    if given is not None and not isinstance(given, Mapping):
        raise InvalidValue(key, given, f"a mapping from columns, such as {{{columns[0]}: ...}}")
    found = {str(name): value for name, value in (given or {}).items()}
    if unknown := [name for name in found if name not in columns]:
        raise InvalidValue(key, unknown[0], f"columns that are features: {listed(columns)}")
    return found
