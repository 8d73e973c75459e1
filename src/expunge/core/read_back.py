"""What is read back is what was written, or one line says what is wrong with it, and where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import DataError, InvalidValue, UserError, last_line

_NOT_IT = (LookupError, TypeError, ValueError, AttributeError, OverflowError)


@contextmanager
def of_file(path: Path | str) -> Iterator[None]:
    """Name the file, or the part of it, in what the block finds wrong with its content."""
    try:
        yield
    except (DataError, InvalidValue) as error:
        said = str(error)
        raise (error if said.startswith(f"{path}: ") else DataError(f"{path}: {said}")) from None


@contextmanager
def read_as(what: str) -> Iterator[None]:
    """Refuse what the block takes for ``what``, where it lacks something or has it in another form.

    Raises:
        DataError: So it is.
    """
    try:
        yield
    except UserError:
        raise
    except _NOT_IT as error:
        raise DataError(f"not {what} ({type(error).__name__}: {last_line(error)})") from None


def array_of(
    arrays: Mapping[str, NDArray[Any]], name: str, dtype: Any, shape: tuple[int | None, ...]
) -> NDArray[Any]:
    """The array ``name``, of this type and shape (None: any length), whose numbers are all finite.

    Raises:
        DataError: It is missing, or another.
    """
    if (found := arrays.get(name)) is None:
        raise DataError(f"it has no {name}")
    fits = len(found.shape) == len(shape) and all(
        wanted in (None, length) for wanted, length in zip(shape, found.shape, strict=True)
    )
    if found.dtype != np.dtype(dtype) or not fits:
        sizes = ", ".join("any" if length is None else str(length) for length in shape)
        allowed = f"{np.dtype(dtype)} of shape ({sizes})"
        raise DataError(f"{name}: got {found.dtype} of shape {found.shape}, allowed: {allowed}")
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        raise DataError(f"{name}: holds NaN or infinity")
    return found


def ids_of(arrays: Mapping[str, NDArray[Any]], name: str, size: int) -> NDArray[np.int64]:
    """The ids ``name`` among ``size`` rows, each once, in rising order.

    Raises:
        DataError: They are none.
    """
    found = array_of(arrays, name, np.int64, (None,))
    if len(found) and not (found[0] >= 0 and found[-1] < size and (np.diff(found) > 0).all()):
        raise DataError(f"{name}: are not ids of rows, from 0 to {size - 1}, each once and in rising order")
    return found


def same(name: str, got: Any, must: Any) -> None:
    """Refuse a value that is not what the rest of a state says.

    Raises:
        DataError: It is not.
    """
    if got != must:
        raise DataError(f"{name}: got {got!r}, and the rest of it says {must!r}")
