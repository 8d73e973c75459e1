"""Clauses, or any short texts with a label each: rows which nothing was learned for; see ``datasets.words``.

A vocabulary, or weights by how rare a word is, would be learned from all rows: a word that one clause alone
has would go on being a feature once the clause has left. Here the place of a word is made of its letters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.checks import require_choice, require_count
from expunge.core.errors import DataError, InvalidValue
from expunge.core.json_text import parse_json
from expunge.core.regular import open_regular
from expunge.datasets.arrays import locate
from expunge.datasets.arrays import numbered as numbered_labels
from expunge.datasets.base import Dataset
from expunge.datasets.names import listed
from expunge.datasets.splits import checked_split, split
from expunge.datasets.table_files import as_text, open_table
from expunge.datasets.words import COUNTS, INPUTS, LETTERS, TOKENS, counted, lettered, numbered, wordless

_KINDS = ".jsonl, .csv, .tsv or .parquet"
_JSONL = (".jsonl", ".ndjson")
_TEST = "test"
_MOST_FEATURES = 2**24  # whole numbers up to there are exact in float32, which networks are given
_LENGTHS = {TOKENS: 64, LETTERS: 4096}
_MOST_BYTES = 2**16


def load(
    data_dir: Any,
    file: Any = "cuad/clauses.jsonl",
    text: str = "text",
    label: str = "label",
    split_by: str | None = "split",
    features: int = 2048,
    largest: int | None = None,
    test_share: float = 0.2,
    test_seed: int | None = 0,
    classes: Sequence[Any] | None = None,
    inputs: str = COUNTS,
    length: int | None = None,
) -> Dataset:
    """Return the texts in the file's order as rows, which say what they hold (``Dataset.holds``).

    A training row's id is its place in the file, from 0.

    Args:
        data_dir: Where the file is looked for if it is not under the current directory.
        file: ``.jsonl`` (an object a line), ``.csv``, ``.tsv`` or ``.parquet``.
        text: The column, or key, of the text.
        label: That of the label; a list of one will do.
        split_by: The column in which ``test`` marks the test rows; None, or there is none: a share is drawn.
        features: Places for words, or numbers of words; two words may share one.
        largest: How many of the labels with the most texts to keep; None: all.
        test_share: Share of the test rows, where none are marked.
        test_seed: Of their drawing; None: the last rows of the file.
        classes: Names of the labels to keep; None: all.
        inputs: ``words``: counts of the hashed words, sparse, for linear models; ``tokens``: the words'
            numbers in their order, for a network with an embedding; ``letters``: the text itself, for
            ``extractor=text``.
        length: What is longer is cut: words of ``tokens`` (None: 64), bytes of ``letters`` (None: 4,096).

    Raises:
        DataError: The file is missing or damaged, lacks a column, holds a text without words, or a label has
            a single text.
        InvalidValue: A setting is not allowed.
    """
    share, seed = checked_split(test_share, test_seed)
    places = require_count("features", features, most=_MOST_FEATURES)
    if largest is not None:
        require_count("largest", largest, least=2)
    longest = _length(inputs, length)
    path = locate("file", file, data_dir, _KINDS)
    columns = {"text": text, "label": label}
    read = _read(path, columns, split_by)
    labels, kept = np.array(read.labels), _kept(path, read.labels, largest, classes)
    x, ids = _rows(path, read, kept, inputs, places, longest), kept.astype(np.str_)
    marked = None if read.parts is None else np.array([part == _TEST for part in read.parts])[kept]
    train, test = (~marked, marked) if marked is not None else split(path, len(kept), share, seed)
    for part, rows in (("training", train), ("test", test)):
        if not len(kept[rows]):
            raise DataError(f"{path}: column {split_by} leaves no {part} rows, allowed: some of either kind")
    y_train, y_test, names = numbered_labels(path, labels[kept][train], labels[kept][test])
    holds = "numbers" if inputs == COUNTS else inputs
    again = partial(_texts_again, path, columns, split_by)
    parts = (x[train], y_train, x[test], y_test)
    return Dataset("clauses", *parts, names, ids=ids[train], texts=again, holds=holds)


def _texts_again(path: Path, columns: dict[str, str], split_by: str | None, ids: Sequence[str]) -> list[str]:
    """The texts with these ids, their places in the file, which is read for it: none are kept."""
    texts = _read(path, columns, split_by).texts
    return [texts[int(name)] for name in ids]


@dataclass(frozen=True)
class _Texts:
    """What a file holds, and where a user finds each row."""

    texts: list[str]
    labels: list[str]
    parts: list[str] | None
    where: Callable[[int], str]


def _read(path: Path, columns: dict[str, str], split_by: str | None) -> _Texts:
    """The columns of a file; ``columns`` maps settings to their names."""
    there, rows, where = _jsonl(path) if path.suffix.lower() in _JSONL else _table(path, columns)
    for key, name in columns.items():
        if name not in there:
            raise InvalidValue(key, name, f"a column of {path}: {listed(there)}")
    parts = split_by if split_by is not None and split_by in there else None
    found: dict[str, list[str]] = {name: [] for name in (*columns.values(), *([parts] if parts else []))}
    for number, row in enumerate(rows):
        for name, values in found.items():
            values.append(_value(path, where, number, name, row.get(name)))
    if not found[columns["text"]]:
        raise DataError(f"{path}: no rows")
    texts, labels = (found[name] for name in columns.values())
    return _Texts(texts, labels, found[parts] if parts else None, where)


def _value(path: Path, where: Callable[[int], str], number: int, name: str, value: Any) -> str:
    """A value as text, which must say something."""
    if isinstance(value, list) and len(value) == 1:
        (value,) = value
    said = "" if value is None else value if isinstance(value, str) else as_text(value)
    if isinstance(value, (list, dict)) or not said.strip():
        got = f"is a list of {len(value)}" if isinstance(value, (list, dict)) else "is empty"
        raise DataError(f"{path}, {where(number)}: {name} {got}, allowed: a text")
    return said


def _jsonl(path: Path) -> tuple[list[str], Iterator[dict[str, Any]], Callable[[int], str]]:
    """Keys of the first object, all objects, and where they are."""
    with open_regular(path) as file:
        lines = [(number, line) for number, line in enumerate(file, start=1) if line.strip()]
    numbers = [number for number, _ in lines]

    def parsed(number: int, line: bytes) -> dict[str, Any]:
        try:
            found = parse_json(line.decode("utf-8-sig"))
        except ValueError as error:
            raise DataError(f"{path}, line {number}: no JSON in UTF-8 ({error})") from None
        if not isinstance(found, dict):
            raise DataError(f"{path}, line {number}: no object, allowed: an object a line, with its texts")
        return found

    there = list(parsed(*lines[0])) if lines else []
    return there, (parsed(*line) for line in lines), lambda row: f"line {numbers[row]}"


def _table(
    path: Path, columns: dict[str, str]
) -> tuple[list[str], Iterator[dict[str, Any]], Callable[[int], str]]:
    table = open_table(path)
    texts = [name for name in table.columns if name in columns.values()]
    rows = (row for chunk in table.chunks(texts) for row in chunk.to_dict("records"))
    return table.columns, rows, table.where


def _kept(
    path: Path, labels: list[str], largest: int | None, classes: Sequence[Any] | None
) -> NDArray[np.int64]:
    """Rows of the labels that are asked for, none of which has a single text."""
    counts = Counter(labels)
    known = [name for name, _ in sorted(counts.items(), key=lambda one: (-one[1], one[0]))]
    chosen = known[:largest]
    if classes is not None:
        chosen = [str(name) for name in classes]
        if largest is not None:
            raise InvalidValue("largest", largest, "null where classes are named")
        for name in chosen:
            if name not in counts:
                raise InvalidValue("classes", name, f"labels of {path}: {listed(known)}")
    for name in chosen:
        if counts[name] < 2:
            allowed = "two or more (dataset.largest or dataset.classes leave a label out)"
            raise DataError(f"{path}: the label {name} has a single text, allowed: {allowed}")
    wanted = set(chosen)
    return np.array([row for row, name in enumerate(labels) if name in wanted], dtype=np.int64)


def _length(inputs: Any, length: Any) -> int:
    """How much of a text there is in a row."""
    require_choice("inputs", inputs, INPUTS)
    if length is None:
        return _LENGTHS.get(inputs, 0)
    if inputs == COUNTS:
        raise InvalidValue("length", length, "null with inputs=words, which counts all words")
    return require_count("length", length, most=_MOST_BYTES)


def _rows(
    path: Path, read: _Texts, kept: NDArray[np.int64], inputs: str, places: int, length: int
) -> NDArray[Any]:
    """The chosen texts as rows."""
    texts = [read.texts[row] for row in kept]
    if inputs == LETTERS:
        return lettered(texts, length)
    x = counted(texts, places) if inputs == COUNTS else numbered(texts, places, length)
    empty = wordless(x)
    if empty.size:
        raise DataError(
            f"{path}, {read.where(int(kept[empty[0]]))}: a text without words, allowed: words in it"
        )
    return x
