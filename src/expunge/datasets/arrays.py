"""A user's own feature rows or images and their labels, from ``.npz``, ``.npy`` or ``.safetensors`` files."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.checks import LARGEST_SINGLE, require_positive
from expunge.core.errors import DataError, InvalidValue
from expunge.core.homes import expanded
from expunge.datasets.array_files import SINGLE, Reader, open_arrays, pick, sparse_parts
from expunge.datasets.base import Dataset, require_offset
from expunge.datasets.names import listed
from expunge.datasets.splits import checked_split, split

Pair = tuple[Any, NDArray[Any]]
"""Rows, an array or a sparse matrix, and their labels."""

_KINDS = ".npz, .npy or .safetensors"
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
    y_path: Any = None,
    test_y_path: Any = None,
    test_seed: int | None = None,
) -> Dataset:
    """Return the arrays ``x`` (or ``X``) and ``y`` of a file, memory-mapped where they are not compressed.

    The test rows are, in this order of preference: ``x`` and ``y`` of ``test_path``; ``x_test`` (``X_test``)
    and ``y_test`` of the same file; ``test_share`` of the file's rows. Nothing is shuffled, so that a
    training row's number is its row number in the file, from 0, unless test rows are drawn: then that is its
    id. Arrays ``ids`` and ``groups``, (n,) text or whole numbers, say what rows are called and whose they
    are, of training rows.

    Args:
        data_dir: Where ``path`` is looked for when it is not under the current directory.
        path: ``.npz`` or ``.safetensors``, or ``.npy`` with x alone; x is (n, ...) with real entries, y (n,)
            with whole numbers, text or dates. Classes are in the order of their labels; words are numbered
            from 0 in that order.
        test_path: Another such file, or None.
        test_share: Share of the rows, between 0 and 1; used only where no test arrays are given.
        y_path: The file that has y, where it is not ``path``, as of ``.npy`` files.
        test_y_path: Likewise of ``test_path``.
        test_seed: Of the drawing of test rows; None: the last rows of the file.
        classes: Names of the classes to keep (a class is called by its label); None: all.
        offset: Subtracted from x / unit.
        unit: The stored value that means 1 (255 for 8-bit pixels).

    x may be a sparse matrix, as scipy.sparse.save_npz writes it: see ``array_files.sparse_parts``.

    Raises:
        DataError: A file is missing or damaged, or its arrays are not as above.
        InvalidValue: A setting is not allowed.
    """
    share, seed = checked_split(test_share, test_seed)
    offset, unit = require_offset(offset), require_positive("unit", unit, most=LARGEST_SINGLE)
    file = locate("path", path, data_dir)
    arrays = _opened(file, "y_path", y_path, data_dir)
    whole = _pair(file, arrays)
    n = whole[0].shape[0]
    named = {key: _names(file, arrays, key, n) for key in ("ids", "groups")}
    if test_path is not None:
        other = locate("test_path", test_path, data_dir)
        train, test = whole, _pair(other, _opened(other, "test_y_path", test_y_path, data_dir))
    elif test_y_path is not None:
        raise InvalidValue("test_y_path", test_y_path, "null without test_path")
    elif any(name.startswith(("x_test", "X_test", "y_test")) for name in arrays):
        train, test = whole, _pair(file, arrays, "_test")
    else:
        first, second = split(file, n, share, seed)
        (train, test) = (tuple(of[rows] for of in whole) for rows in (first, second))
        if len(np.unique(test[1])) < 2:
            which = "rows that were drawn" if seed is not None else f"last {len(test[1])} rows"
            log.warning("%s: the %s, taken for the test, are all of one class", file, which)
        named = {key: None if names is None else names[first] for key, names in named.items()}
        if seed is not None and named["ids"] is None:
            named["ids"] = first.astype(np.str_)
    shape, own = train[0].shape[1:], test[0].shape[1:]
    if shape != own:
        raise DataError(f"{file}: a training row is of shape {shape}, a test row of {own}")
    y_train, y_test, names = numbered(file, train[1], test[1])
    parts = ("arrays", train[0], y_train, test[0], y_test, names, unit, offset)
    return Dataset(*parts, ids=named["ids"], groups=named["groups"]).only(classes)


def _opened(file: Path, key: str, y_path: Any, data_dir: Any) -> dict[str, Reader]:
    """The arrays in a file, and those of another with its labels."""
    arrays = _named(file, "x")
    if y_path is not None:
        other = locate(key, y_path, data_dir)
        return arrays | {"y": lambda: pick(other, _named(other, "y"), ("y",))}
    if "y" not in arrays and file.suffix == ".npy":
        raise InvalidValue(key, None, f"the path of a file with y, the labels of {file.name}")
    return arrays


def _named(file: Path, single: str) -> dict[str, Reader]:
    """The arrays in a file; the one of an ``.npy`` file is called ``single``."""
    arrays = open_arrays(file)
    return {single: arrays[SINGLE]} if file.suffix == ".npy" else arrays


def _names(file: Path, arrays: Mapping[str, Reader], key: str, n: int) -> NDArray[np.str_] | None:
    """What rows are called, (n,), or None."""
    if key not in arrays:
        return None
    found = arrays[key]()
    if found.dtype.kind not in "iuU" or found.shape != (n,):
        allowed = f"text or whole numbers of shape ({n},), one for each row"
        raise DataError(f"{file}: {key} is {found.dtype} of shape {found.shape}, allowed: {allowed}")
    names: NDArray[np.str_] = found.astype(np.str_)
    if key == "ids" and len(np.unique(names)) < n:
        raise DataError(f"{file}: ids holds a value twice, allowed: ids that differ")
    return names


def locate(name: str, path: Any, data_dir: Any, kinds: str = _KINDS) -> Path:
    """Return the file that the setting ``name`` means, under the current directory or else in ``data_dir``.

    Raises:
        InvalidValue: It is no path of a file of one of these ``kinds``.
        DataError: There is no such file.
    """
    if not isinstance(path, (str, Path)) or not str(path).strip():
        raise InvalidValue(name, path, f"the path of a file: {kinds}")
    given = expanded(path)
    for candidate in (given, expanded(data_dir) / given):
        if candidate.is_file():
            return candidate
    raise DataError(f"{path}: no such file, neither from {Path.cwd()} nor in {data_dir}", name)


def _pair(file: Path, arrays: Mapping[str, Reader], suffix: str = "") -> Pair:
    names = f"x{suffix}", f"X{suffix}"
    x = sparse_parts(file, arrays, names) if not arrays.keys() & {*names} else None
    x = pick(file, arrays, names) if x is None else x
    y = pick(file, arrays, (f"y{suffix}",))
    if x.dtype.kind not in "fiub":
        raise DataError(f"{file}: x{suffix} is of type {x.dtype}, allowed: real numbers")
    if x.ndim < 2 or 0 in x.shape:
        raise DataError(f"{file}: x{suffix} is of shape {x.shape}, allowed: (rows, features) or (rows, ...)")
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if y.shape != x.shape[:1]:
        allowed = f"({x.shape[0]},), a label for each row"
        raise DataError(f"{file}: y{suffix} is of shape {y.shape}, allowed: {allowed}")
    if x.dtype.itemsize > _WIDEST:
        x = x.astype(np.float64)
    x = x.view(np.uint8) if x.dtype.kind == "b" and isinstance(x, np.ndarray) else x
    return x, _labels(file, f"y{suffix}", y)


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


def numbered(
    file: Path, y_train: NDArray[Any], y_test: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64], dict[int, str]]:
    """Return training and test labels as whole numbers, and what each number is called.

    Raises:
        DataError: They are of one class, of different kinds, or a test row's class has no training row.
    """
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
