"""A user's own feature rows or images and their labels, from an ``.npz`` or ``.safetensors`` file."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.checks import LARGEST_SINGLE, require_positive, require_probability
from expunge.core.errors import DataError, InvalidValue
from expunge.core.homes import expanded
from expunge.datasets.array_files import Reader, open_arrays, pick
from expunge.datasets.base import Dataset, require_offset
from expunge.datasets.names import listed

Pair = tuple[NDArray[Any], NDArray[Any]]

_LARGEST = 2**63
_WIDEST = 8  # bytes of a number that rows and images are computed from
_WORDS = {"U": "text", "M": "dates", "m": "lengths of time"}
log = logging.getLogger(__name__)


def load(
    data_dir: Any,
    path: Any,
    test_path: Any = None,
    test_share: float = 0.2,
    classes: Sequence[Any] | None = None,
    offset: float = 0.0,
    unit: float = 1.0,
) -> Dataset:
    """Return the arrays ``x`` (or ``X``) and ``y`` of a file, memory-mapped where they are not compressed.

    The test rows are, in this order of preference: ``x`` and ``y`` of ``test_path``; ``x_test`` (``X_test``)
    and ``y_test`` of the same file; the last ``test_share`` of the file's rows. Nothing is shuffled, so that
    a training row's id is its row number in the file, from 0.

    Args:
        data_dir: Where ``path`` is looked for when it is not under the current directory.
        path: ``.npz`` or ``.safetensors``; x is (n, ...) with real entries, y (n,) with whole numbers, text
            or dates. Classes are in the order of their labels; words are numbered from 0 in that order.
        test_path: Another such file, or None.
        test_share: Share of the rows, between 0 and 1; used only where no test arrays are given.
        classes: Names of the classes to keep (a class is called by its label); None: all.
        offset: Subtracted from x / unit.
        unit: The stored value that means 1 (255 for 8-bit pixels).

    Raises:
        DataError: A file is missing or damaged, or its arrays are not as above.
        InvalidValue: A setting is not allowed.
    """
    share = require_probability("test_share", test_share)
    offset, unit = require_offset(offset), require_positive("unit", unit, most=LARGEST_SINGLE)
    file = _locate("path", path, data_dir)
    test_file = None if test_path is None else _locate("test_path", test_path, data_dir)
    train, test = _pairs(file, test_file, share)
    shape, other = train[0].shape[1:], test[0].shape[1:]
    if shape != other:
        raise DataError(f"{file}: a training row is of shape {shape}, a test row of {other}")
    y_train, y_test, names = _numbered(file, train[1], test[1])
    pairs = train[0], y_train, test[0], y_test
    return Dataset("arrays", *pairs, class_names=names, unit=unit, offset=offset).only(classes)


def _locate(name: str, path: Any, data_dir: Any) -> Path:
    if not isinstance(path, (str, Path)) or not str(path).strip():
        raise InvalidValue(name, path, "the path of an .npz or .safetensors file")
    given = expanded(path)
    for candidate in (given, expanded(data_dir) / given):
        if candidate.is_file():
            return candidate
    raise DataError(f"{path}: no such file, neither from {Path.cwd()} nor in {data_dir}", name)


def _pairs(file: Path, test_file: Path | None, share: float) -> tuple[Pair, Pair]:
    arrays = open_arrays(file)
    x, y = train = _pair(file, arrays)
    if test_file is not None:
        return train, _pair(test_file, open_arrays(test_file))
    if arrays.keys() & {"x_test", "X_test", "y_test"}:
        return train, _pair(file, arrays, "_test")
    first = len(x) - max(1, round(share * len(x)))
    if first < 1:
        got = f"{len(x)} rows cannot be split into training and test rows"
        raise DataError(f"{file}: {got}, allowed: 2 or more")
    if len(np.unique(y[first:])) < 2:
        log.warning("%s: the last %d rows, taken for the test, are all of one class", file, len(x) - first)
    return (x[:first], y[:first]), (x[first:], y[first:])


def _pair(file: Path, arrays: Mapping[str, Reader], suffix: str = "") -> Pair:
    x, y = pick(file, arrays, (f"x{suffix}", f"X{suffix}")), pick(file, arrays, (f"y{suffix}",))
    if x.dtype.kind not in "fiub":
        raise DataError(f"{file}: x{suffix} is of type {x.dtype}, allowed: real numbers")
    if x.ndim < 2 or 0 in x.shape:
        raise DataError(f"{file}: x{suffix} is of shape {x.shape}, allowed: (rows, features) or (rows, ...)")
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if y.shape != x.shape[:1]:
        allowed = f"({len(x)},), a label for each row"
        raise DataError(f"{file}: y{suffix} is of shape {y.shape}, allowed: {allowed}")
    if x.dtype.itemsize > _WIDEST:
        x = x.astype(np.float64)
    return x.view(np.uint8) if x.dtype.kind == "b" else x, _labels(file, f"y{suffix}", y)


def _labels(file: Path, name: str, y: NDArray[Any]) -> NDArray[Any]:
    """Labels that have an order: int64, larger whole numbers, text or dates."""
    kind = y.dtype.kind
    if kind not in "fiub" + "".join(_WORDS):
        raise DataError(f"{file}: {name} is of type {y.dtype}, allowed: whole numbers, text or dates")
    if kind in "mM" and np.isnat(y).any():
        row = np.flatnonzero(np.isnat(y))[0]
        raise DataError(f"{file}: {name} holds no date in row {row}, allowed: a date in each")
    if kind in _WORDS or (kind == "u" and y.max() >= _LARGEST):
        return y
    if kind == "f":
        wide = y.astype(np.result_type(y.dtype, np.float64))
        with np.errstate(invalid="ignore"):
            bad = np.flatnonzero(~((wide == np.floor(wide)) & (wide >= -_LARGEST) & (wide < _LARGEST)))
        if bad.size:
            raise DataError(f"{file}: {name} holds {y[bad[0]]} in row {bad[0]}, allowed: whole numbers")
    return np.asarray(y, dtype=np.int64) if y.dtype != np.int64 else np.array(y)


def _numbered(
    file: Path, y_train: NDArray[Any], y_test: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64], dict[int, str]]:
    """Training and test labels as whole numbers, and what each number is called."""
    kinds = [_WORDS.get(y.dtype.kind, "whole numbers") for y in (y_train, y_test)]
    if kinds[0] != kinds[1]:
        raise DataError(f"{file}: training labels are {kinds[0]}, test labels {kinds[1]}, allowed: one kind")
    known = np.unique(y_train)
    if len(known) < 2:
        raise DataError(f"{file}: labels must be of two or more classes, got {len(known)} ({known[0]})")
    numbers = known.tolist() if known.dtype == np.int64 else range(len(known))
    names = {number: str(label) for number, label in zip(numbers, known, strict=True)}
    number_of = {name: number for number, name in names.items()}
    found = []
    for y in (y_train, y_test):
        own, place = np.unique(y, return_inverse=True)
        for name in map(str, own):
            if name not in number_of:
                among = f"the training rows' ({listed(names.values())})"
                got = f"the test rows' label {name} is not among {among}"
                raise DataError(f"{file}: {got}; rows that are sorted by class must be shuffled first")
        found.append(np.array([number_of[str(label)] for label in own], dtype=np.int64)[place.ravel()])
    return found[0], found[1], names
