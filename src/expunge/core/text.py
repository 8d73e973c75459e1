"""Numbers, units and names as a reader wants them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import isfinite
from typing import Any

from expunge.core.errors import printable

NONE = "–"
# Strings that are places on a machine: absolute, in somebody's home, or on a drive.
_PATH = re.compile(r"(?:~|\$HOME|[A-Za-z]:)?[/\\].*[/\\]?|.*(?:file:|[\s=:'\"]~?/)\S*/.*")


def finite(value: Any) -> float | None:
    """Return ``value`` as a float if it is a finite number, else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if isfinite(value) else None


def complete(values: Iterable[float | None]) -> list[float]:
    """Return the values; none where one is missing, since the mean of the others is another number."""
    found = list(values)
    known = [value for value in found if value is not None]
    return known if len(known) == len(found) else []


def number(value: float | None, digits: int = 3) -> str:
    """Return ``value`` in ``digits`` significant digits, ``1e-4`` rather than ``0.0001``."""
    if value is None or not isfinite(value):
        return NONE if value is None else str(value)
    if value != 0 and not 1e-3 < abs(value) < 1e6:
        mantissa, _, power = f"{value:.{digits - 1}e}".partition("e")
        mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        return f"{mantissa}e{int(power)}"
    return f"{value:,.{digits}g}" if abs(value) < 10**digits else f"{value:,.0f}"


def accuracy(value: float | None) -> str:
    """Return a share of right answers with four decimals."""
    return NONE if value is None else f"{value:.4f}"


def count(value: float | None) -> str:
    """Return a whole number with thousands separated."""
    return NONE if value is None else f"{int(value):,}"


def share(value: float | None) -> str:
    """Return a share as a percentage of two significant digits; whole per cents from 10 up."""
    if value is None:
        return NONE
    return f"{value * 100:.0f}%" if value >= 0.0995 else f"{number(value * 100, 2)}%"


def seconds(value: float | None) -> str:
    """Return a duration in the unit that fits it, from microseconds to hours."""
    if value is None:
        return NONE
    for unit, size, least in (("h", 3600.0, 2 * 3600.0), ("min", 60.0, 120.0), ("s", 1.0, 0.9995)):
        if value >= least:
            return f"{number(value / size, 3)} {unit}"
    return f"{value * 1e3:.3g} ms" if value >= 0.9995e-3 else f"{value * 1e6:.3g} µs"


def times(value: float | None) -> str:
    """Return a factor such as ``58×``."""
    return NONE if value is None else f"{number(value, 2)}×"


def difference(value: float | None) -> str:
    """Return a difference of shares with its sign and four decimals."""
    return NONE if value is None else f"{value:+.4f}"


def capital(words: str) -> str:
    """Return words with a capital at their beginning."""
    return words[:1].upper() + words[1:]


def setting(value: Any) -> str:
    """Return a configuration value as short as it can be written."""
    if finite(value) is not None:
        short = f"{value:g}"
        return number(value, 6) if "e" in short or 0 < abs(value) <= 1e-3 else short
    return NONE if value is None else plain(value)


def shown(value: Any) -> str:
    """Return a setting without the places of the machine it was made on: of a path, the last part only."""
    if isinstance(value, list):
        return "[" + ", ".join(map(shown, value)) + "]"
    if isinstance(value, str) and _PATH.fullmatch(value):
        return "…/" + plain(re.split(r"[/\\]", value.rstrip("/\\"))[-1])
    return setting(value)


def plain(value: Any) -> str:
    """Return text without control characters, so that a name cannot steer the terminal or break a line."""
    return printable(str(value).replace("\t", "?"))


def unbroken(label: str) -> str:
    """Return a label in which a setting and its value stay on one line when it wraps."""
    return re.sub(r" (?=[^ ,()]+[,)])", "\u00a0", label)
