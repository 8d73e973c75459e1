"""Which requests of a run are meant by numbers and ranges."""

from __future__ import annotations

from expunge.core.errors import InvalidValue

MOST = 100
"""Requests on a page."""


def chosen(given: str | None, count: int) -> list[int]:
    """Return the numbers of requests that are meant, from 1 and in rising order; None is the first ``MOST``.

    Raises:
        InvalidValue: They are none of the ``count`` that there are, or too many.
    """
    if given is None:
        return list(range(1, min(count, MOST) + 1))
    allowed = f"numbers from 1 to {count} and ranges, such as 7 or 1-20,35, at most {MOST} together"
    found: set[int] = set()
    for part in given.split(","):
        first, dash, last = (one.strip() for one in part.partition("-"))
        ends = (first, last if dash else first)
        if not all(one.isascii() and one.isdecimal() and len(one) < 10 for one in ends):
            raise InvalidValue("--requests", given, allowed)
        low, high = map(int, ends)
        if not 1 <= low <= high <= count or high - low >= MOST:
            raise InvalidValue("--requests", given, allowed)
        found |= {*range(low, high + 1)}
    if len(found) > MOST:
        raise InvalidValue("--requests", given, allowed)
    return sorted(found)
