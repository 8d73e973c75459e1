"""Checks of single values; what is wrong is one line that names the value, what it is and what is allowed."""

from __future__ import annotations

import math
from numbers import Integral
from operator import index
from typing import Any

import numpy as np

from expunge.core.errors import InvalidValue

_NO_NUMBERS = "USTmMV"  # kinds of NumPy's types


def require_finite(name: str, value: Any) -> float:
    """Return ``value`` as a float, or raise ``InvalidValue`` unless it is a finite number."""
    return _require(name, value, "a finite number", math.isfinite)


def require_switch(name: str, value: Any) -> bool:
    """Return ``value``, or raise ``InvalidValue`` unless it is true or false."""
    if not isinstance(value, (bool, np.bool_)):
        raise InvalidValue(name, value, "true or false")
    return bool(value)


def require_positive(name: str, value: Any) -> float:
    """Return ``value`` as a float, or raise ``InvalidValue`` unless it is a finite number > 0."""
    return _require(name, value, "a finite number > 0", lambda v: 0 < v < float("inf"))


def require_from_zero(name: str, value: Any, below: float = math.inf) -> float:
    """Return ``value`` as a float, or raise ``InvalidValue`` unless 0 <= value < ``below``."""
    allowed = "a finite number >= 0" if below == math.inf else f"a number >= 0 and < {below:g}"
    return _require(name, value, allowed, lambda v: 0 <= v < below)


def require_probability(name: str, value: Any) -> float:
    """Return ``value`` as a float, or raise ``InvalidValue`` unless 0 < value < 1."""
    return _require(name, value, "a number strictly between 0 and 1", lambda v: 0 < v < 1)


def require_share(name: str, value: Any) -> float:
    """Return ``value`` as a float, or raise ``InvalidValue`` unless 0 < value <= 1."""
    return _require(name, value, "a number above 0 and at most 1", lambda v: 0 < v <= 1)


def require_count(name: str, value: Any, least: int = 1, most: int | None = None) -> int:
    """Return ``value`` as an int, or raise ``InvalidValue`` unless it is a whole number in these bounds."""
    try:
        number = least - 1 if isinstance(value, (bool, np.bool_)) else index(value)
    except TypeError:  # an array of several numbers among others
        number = least - 1
    if number < least or (most is not None and number > most):
        bounds = f">= {least}" if most is None else f"from {least} to {most}"
        raise InvalidValue(name, value, f"a whole number {bounds}")
    return number


def is_whole(value: Any) -> bool:
    """Whether ``value`` is a whole number, of Python's or NumPy's, and no truth value."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def require_numbers(name: str, table: Any) -> None:
    """Raise ``InvalidValue`` for a table of text or times, which some would read as numbers."""
    types = getattr(table, "dtypes", None)
    for dtype in [getattr(table, "dtype", None) or np.asarray(table).dtype] if types is None else types:
        if getattr(dtype, "kind", "f") in _NO_NUMBERS:
            raise InvalidValue(name, str(dtype), "real numbers")


def require_choice(name: str, value: Any, choices: Any) -> str:
    """Return ``value``, or raise ``InvalidValue`` unless it is one of ``choices``."""
    if not isinstance(value, (str, int)) or value not in choices:
        raise InvalidValue(name, value, "one of " + ", ".join(map(str, choices)))
    return str(value)


def _require(name: str, value: Any, allowed: str, test: Any) -> float:
    try:
        strange = isinstance(value, (str, bytes, bytearray, bool, np.bool_)) or np.ndim(value)
        number = float("nan") if strange else float(value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not test(number):
        raise InvalidValue(name, value, allowed)
    return number
