"""What several data sets check and say in the same way."""

from __future__ import annotations

import math
from typing import Any

from expunge.errors import InvalidValue


def require_finite(name: str, value: Any) -> float:
    """Return ``value`` as a float, or raise ``InvalidValue`` unless it is a finite number."""
    try:
        number = math.nan if isinstance(value, (str, bool)) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InvalidValue(name, value, "a finite number")
    return number


def require_switch(name: str, value: Any) -> bool:
    """Return ``value``, or raise ``InvalidValue`` unless it is true or false."""
    if not isinstance(value, bool):
        raise InvalidValue(name, value, "true or false")
    return value


def one_line(error: BaseException) -> str:
    """The last line of an error's text (where libraries put the cause), or its type where it has none."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
