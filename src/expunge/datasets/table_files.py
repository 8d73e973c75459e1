"""Tables of a user's own in CSV and Parquet files, read some thousand rows at a time, in the file's order."""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import pandas as pd
from pandas.errors import ParserError, ParserWarning

from expunge.core.errors import DataError, last_line
from expunge.core.regular import open_regular

ROWS = 65_536  # of a chunk
_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_PARQUET = ".parquet"
_INDEX = re.compile(r"__index_level_\d+__")  # what pandas numbers rows by is no column
_BLOCK = 1 << 20
_MOST_COLUMNS = 65_536
_LONGEST_HEADER = 1 << 24  # bytes


class TableFile(Protocol):
    """A table with named columns, of which rows are counted from 0."""

    columns: list[str]

    def chunks(self, texts: Collection[str]) -> Iterator[pd.DataFrame]:
        """Yield the rows in order, all columns; those in ``texts`` as text where the format has no types.

        Raises:
            DataError: The file is damaged.
        """

    def where(self, row: int) -> str:
        """Where a user finds this row, in words."""


def open_table(path: Path, separator: str | None = None) -> TableFile:
    """Return the table in a ``.csv``, ``.tsv`` or ``.parquet`` file.

    Args:
        path: The file.
        separator: What is between two values of a line; None: a comma, of ``.tsv`` a tab.

    Raises:
        DataError: It is none, it cannot be read, or its columns have no names of their own.
    """
    suffix = path.suffix.lower()
    if suffix not in (*_SEPARATORS, _PARQUET):
        allowed = ", ".join((*_SEPARATORS, _PARQUET))
        raise DataError(f"{path}: cannot tell its format, allowed: a name ending in one of {allowed}")
    with _told(path):
        found: TableFile = (
            _Parquet(path) if suffix == _PARQUET else _Csv(path, separator or _SEPARATORS[suffix])
        )
    _require_names(path, found.columns)
    return found


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What a reader says of a file, as one line."""
    try:
        yield
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or last_line(error)})") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: byte {error.start} is no UTF-8, allowed: text in UTF-8") from None
    except (ParserError, ParserWarning, csv.Error) as error:
        said = last_line(error).removeprefix("Error tokenizing data. C error: ")
        raise DataError(f"{path}: lines of different lengths, or an open quote ({said})") from None
    except (ValueError, TypeError, KeyError, NotImplementedError) as error:  # of pyarrow all sorts
        raise DataError(f"{path}: damaged, or of another format ({last_line(error)})") from None


def _require_names(path: Path, columns: list[str]) -> None:
    if not columns:
        raise DataError(f"{path}: has no columns, allowed: a first line with their names")
    if len(columns) > _MOST_COLUMNS:
        got = f"has {len(columns):,} columns, allowed: at most {_MOST_COLUMNS:,}"
        raise DataError(f"{path}: {got}; wider data come as arrays (dataset=arrays)")
    seen: set[str] = set()
    for place, name in enumerate(columns, start=1):
        if not name.strip() or not name.isprintable():
            raise DataError(f"{path}: column {place} is called {name!r}, allowed: a name that can be read")
        if name in seen:
            raise DataError(f"{path}: two columns are called {name!r}, allowed: names that differ")
        seen.add(name)


class _Csv:
    def __init__(self, path: Path, separator: str) -> None:
        self._path, self._separator = path, separator
        with open_regular(path) as file:
            _require_text(path, file)
            if len(head := file.readline(_LONGEST_HEADER)) == _LONGEST_HEADER:
                raise DataError(f"{path}: its first line has no end, allowed: the names of the columns")
            if not head.strip():
                raise DataError(f"{path}: its first line is empty, allowed: the names of the columns")
        with self._reader() as reader:
            self.columns = next(reader)

    @contextmanager
    def _reader(self) -> Iterator[Any]:
        """The lines as lists, as ``csv`` reads them, which knows the number of each."""
        before = csv.field_size_limit(_LONGEST_HEADER)
        try:
            with io.TextIOWrapper(open_regular(self._path), encoding="utf-8-sig", newline="") as text:
                yield csv.reader(text, delimiter=self._separator, skipinitialspace=True)
        finally:
            csv.field_size_limit(before)

    def chunks(self, texts: Collection[str]) -> Iterator[pd.DataFrame]:
        numbers = {name: [""] for name in self.columns if name not in texts}
        with _told(self._path), open_regular(self._path) as file, warnings.catch_warnings():
            # Values that lines have too many of are but warned of where the first line lacks a name.
            warnings.simplefilter("error", ParserWarning)
            reader = pd.read_csv(
                file,
                sep=self._separator,
                encoding="utf-8-sig",
                dtype=dict.fromkeys(texts, str),
                na_values=numbers,
                keep_default_na=False,
                index_col=False,
                low_memory=False,
                skipinitialspace=True,
                chunksize=ROWS,
            )
            yield from reader

    def where(self, row: int) -> str:
        """Line numbers are counted from 1, the first line has the names; quoted values may span lines."""
        with self._reader() as reader:
            records = (record for record in reader if record)
            for place, _ in enumerate(records, start=-1):
                if place == row:
                    return f"line {reader.line_num}"
        return f"row {row}"


def _require_text(path: Path, file: BinaryIO) -> None:
    """Refuse bytes of zero, at which readers of text may stop without a word."""
    place = 0
    while block := file.read(_BLOCK):
        if (found := block.find(b"\0")) >= 0:
            raise DataError(f"{path}: byte {place + found} is NUL, allowed: text in UTF-8")
        place += len(block)
    file.seek(0)


class _Parquet:
    def __init__(self, path: Path) -> None:
        try:
            from pyarrow import parquet
        except ImportError:
            raise DataError(f"{path}: Parquet needs pyarrow: pip install 'expunge[parquet]'") from None
        self._path, self._parquet = path, parquet
        with _told(path), open_regular(path) as file:
            names = map(str, parquet.ParquetFile(file).schema_arrow.names)
            self.columns = [name for name in names if not _INDEX.fullmatch(name)]

    def chunks(self, texts: Collection[str]) -> Iterator[pd.DataFrame]:
        with _told(self._path), open_regular(self._path) as file:
            for batch in self._parquet.ParquetFile(file).iter_batches(batch_size=ROWS, columns=self.columns):
                yield batch.to_pandas(ignore_metadata=True, split_blocks=True)

    def where(self, row: int) -> str:
        return f"row {row}"


def as_text(value: Any) -> str:
    """A value of a column of names as text; a whole number has no point, nothing at all is empty."""
    if value is None or value is pd.NA or value is pd.NaT or value != value:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
