"""Checks of single values; what is wrong is one line that names the value, what it is and what is allowed."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Integral
from operator import index
from typing import Any

import numpy as np

from expunge.core.errors import InvalidValue

MOST = 10**12
"""The largest count that a setting may ask for: of more than a machine could hold or do in years."""
LARGEST = 1e100
"""The largest size of a setting, its inverse the smallest: products of a few stay numbers of float64."""
LARGEST_SINGLE = 1e15
"""The same of what is computed with in float32."""
MOST_SEED = 2**256 - 1
"""As many bits as the operating system is asked for where no seed is given."""
_LONGEST_NAME = 200  # signs
_NO_NUMBERS = "USTmMV"  # kinds of NumPy's types


def require_finite(name: str, value: Any, most: float = math.inf) -> float:
    """Return ``value`` as a float, or raise ``InvalidValue`` unless it is finite and of this size at most."""
    number = _require(name, value, "a finite number", math.isfinite)
    if abs(number) > most:
        raise InvalidValue(name, value, f"a finite number from {-most:g} to {most:g}")
    return number


def require_switch(name: str, value: Any) -> bool:
    """Return ``value``, or raise ``InvalidValue`` unless it is true or false."""
    if not isinstance(value, (bool, np.bool_)):
        raise InvalidValue(name, value, "true or false")
    return bool(value)


def require_positive(name: str, value: Any, most: float = math.inf) -> float:
    """Return ``value`` as a float, or raise ``InvalidValue`` unless it is a finite number > 0.

    With ``most``, such as ``LARGEST``, it is also from 1 / ``most`` to ``most``.
    """
    number = _require(name, value, "a finite number > 0", lambda v: 0 < v < float("inf"))
    if not 1 / most <= number <= most:
        raise InvalidValue(name, value, f"a finite number > 0, from {1 / most:g} to {most:g}")
    return number


def require_from_zero(name: str, value: Any, below: float = math.inf, most: float = math.inf) -> float:
    """Return ``value`` as a float, or raise ``InvalidValue`` unless 0 <= value < ``below``, <= ``most``."""
    allowed = "a finite number >= 0" if below == math.inf else f"a number >= 0 and < {below:g}"
    number = _require(name, value, allowed, lambda v: 0 <= v < below)
    if number > most:
        raise InvalidValue(name, value, f"{allowed}, at most {most:g}")
    return number


def require_probability(name: str, value: Any) -> float:
    """Return ``value`` as a float, or raise ``InvalidValue`` unless 0 < value < 1."""
    return _require(name, value, "a number strictly between 0 and 1", lambda v: 0 < v < 1)


def require_share(name: str, value: Any) -> float:
    """Return ``value`` as a float, or raise ``InvalidValue`` unless 0 < value <= 1."""
    return _require(name, value, "a number above 0 and at most 1", lambda v: 0 < v <= 1)


def require_count(name: str, value: Any, least: int = 1, most: int | None = None) -> int:
    """Return ``value`` as an int, or raise ``InvalidValue`` unless it is a whole number in these bounds.

    Without ``most`` it may be as large as ``MOST``.
    """
    try:
        number = least - 1 if isinstance(value, (bool, np.bool_)) else index(value)
    except TypeError:  # an array of several numbers among others
        number = least - 1
    if number < least or (most is not None and number > most):
        bounds = f">= {least}" if most is None else f"from {least} to {most}"
        raise InvalidValue(name, value, f"a whole number {bounds}")
    if most is None and number > MOST:
        raise InvalidValue(name, value, f"a whole number from {least} to {MOST}")
    return number


def require_seed(name: str, value: Any) -> int:
    """Return ``value`` as an int, or raise ``InvalidValue`` unless it is a whole number of up to 256 bits."""
    if is_whole(value) and value > MOST_SEED:
        raise InvalidValue(name, value, "a whole number >= 0, of 256 bits at most")
    try:
        return require_count(name, value, 0, MOST_SEED)
    except InvalidValue:
        raise InvalidValue(name, value, "a whole number >= 0") from None


def require_name(name: str, value: Any) -> str:
    """Return ``value``, or raise ``InvalidValue`` unless it is a text of one line that names something."""
    if not (isinstance(value, str) and value.strip() and value.isprintable() and len(value) <= _LONGEST_NAME):
        raise InvalidValue(name, value, f"a name: 1 to {_LONGEST_NAME} signs in one line, such as mine")
    return value


def is_whole(value: Any) -> bool:
    """Whether ``value`` is a whole number, of Python's or NumPy's, and no truth value."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def require_numbers(name: str, table: Any) -> None:
    """Raise ``InvalidValue`` for a table of text or times, which some would read as numbers."""
    for dtype in _types_of(table):
        if getattr(dtype, "kind", "f") in _NO_NUMBERS:
            raise InvalidValue(name, str(dtype), "real numbers")


def _types_of(table: Any) -> Iterable[Any]:
    """Return the type of each column, or that of all; of rows of different lengths nothing is known."""
    if (types := getattr(table, "dtypes", None)) is not None:
        return list(types)
    if (dtype := getattr(table, "dtype", None)) is not None:
        return [dtype]
    try:
        return [np.asarray(table).dtype]
    except ValueError:
        return []


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
