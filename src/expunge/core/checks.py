"""Checks of single values; what is wrong is one line that names the value, what it is and what is allowed."""

from __future__ import annotations

import math
from typing import Any

from expunge.core.errors import InvalidValue


def require_finite(name: str, value: Any) -> float:
    """Return ``value`` as a float, or raise ``InvalidValue`` unless it is a finite number."""
    return _require(name, value, "a finite number", math.isfinite)


def require_switch(name: str, value: Any) -> bool:
    """Return ``value``, or raise ``InvalidValue`` unless it is true or false."""
    if not isinstance(value, bool):
        raise InvalidValue(name, value, "true or false")
    return value


def require_positive(name: str, value: Any) -> float:
    """Return ``value`` as a float, or raise ``InvalidValue`` unless it is a finite number > 0."""
    return _require(name, value, "a finite number > 0", lambda v: 0 < v < float("inf"))


def require_nonneg(name: str, value: Any, below: float = math.inf) -> float:
    """Return ``value`` as a float, or raise ``InvalidValue`` unless 0 <= value < below."""
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
    whole = hasattr(value, "__index__") and not isinstance(value, bool)
    if not whole or int(value) < least or (most is not None and int(value) > most):
        bounds = f">= {least}" if most is None else f"from {least} to {most}"
        raise InvalidValue(name, value, f"a whole number {bounds}")
    return int(value)


def require_choice(name: str, value: Any, choices: Any) -> str:
    """Return ``value``, or raise ``InvalidValue`` unless it is one of ``choices``."""
    if value not in choices:
        raise InvalidValue(name, value, "one of " + ", ".join(map(str, choices)))
    return str(value)


def _require(name: str, value: Any, allowed: str, test: Any) -> float:
    try:
        number = float(value) if not isinstance(value, (str, bool)) else float("nan")
    except (TypeError, ValueError):
        number = float("nan")
    if not test(number):
        raise InvalidValue(name, value, allowed)
    return number
