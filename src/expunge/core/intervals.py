"""The mean of a few values and the interval that it lies in, by scipy's bootstrap."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from statistics import mean
from typing import NamedTuple

from expunge.core.text import complete, finite

RESAMPLES = 1999
_CONFIDENCE = 0.95
_BOOTSTRAP_FROM = 3  # values; two have no more to say than themselves


class Interval(NamedTuple):
    """A mean and the interval that it lies in."""

    mean: float
    low: float
    high: float


def interval(values: Sequence[float]) -> Interval:
    """Return the mean of one or more values and its 95% bootstrap interval.

    BCa (Efron 1987), or the percentile method where BCa is undefined, with a fixed seed: the same values give
    the same interval. Of two values the interval is the two; of equal ones it is the point.

    Args:
        values: (n,), finite, n >= 1.
    """
    return _interval(tuple(map(float, values)))


def of_all(values: Iterable[float | None]) -> Interval | None:
    """Return mean and interval of values that are all known; None where one is missing, or there is none."""
    return interval(known) if (known := complete(values)) else None


@lru_cache(maxsize=4096)
def _interval(values: tuple[float, ...]) -> Interval:
    low, high, middle = min(values), max(values), mean(values)
    if low == high or len(values) < _BOOTSTRAP_FROM:
        return Interval(middle, low, high)
    found = _bootstrap(values, "BCa") or _bootstrap(values, "percentile")
    return Interval(middle, *(found or (low, high)))


def _bootstrap(values: tuple[float, ...], method: str) -> tuple[float, float] | None:
    """Return the interval by ``method``; None where it has none."""
    import warnings

    import numpy as np
    from scipy.stats import bootstrap

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # what is degenerate comes back as nan, which is dealt with here
        found = bootstrap(
            (values,),
            np.mean,
            n_resamples=RESAMPLES,
            confidence_level=_CONFIDENCE,
            method=method,
            random_state=np.random.default_rng(0),
        ).confidence_interval
    low, high = finite(float(found.low)), finite(float(found.high))
    return None if low is None or high is None else (low, high)
