"""How long removals take: which of a run's requests are removals, and what their times come to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median, quantiles
from typing import Any

from expunge.core.text import finite


def is_removal(outcome: str, role: str) -> bool:
    """Return whether the time of a request with this outcome is that of a removal.

    A request that was refused is no removal, nor one that a method which updates had to train again for: a
    model that is trained again is what removals are compared with. A reference method does nothing else.
    """
    return outcome == ("retrained" if role == "reference" else "removed")


def counted(times: Sequence[float]) -> Sequence[float]:
    """Return the times but for the first, which may have compiled what others use; one is all there is."""
    return times[1:] if len(times) > 1 else times


def of_removals(records: Iterable[Mapping[str, Any]], role: str) -> list[float]:
    """Return the times of the removals among the records that count, in seconds."""
    able = (finite(record.get("seconds")) for record in records if is_removal(record["outcome"], role))
    return list(counted([seconds for seconds in able if seconds is not None]))


def median_and_p95(times: Sequence[float]) -> tuple[float | None, float | None]:
    """Return the median and what 95% stay below, by interpolation; None of none."""
    if len(times) < 2:
        return (times[0], times[0]) if times else (None, None)
    return median(times), quantiles(times, n=20, method="inclusive")[-1]
