"""Runs that differ only in their seed: mean and 95% interval, and differences paired by seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from statistics import mean
from typing import Any, NamedTuple

from expunge.report import text
from expunge.report.row import Row
from expunge.report.rows import rows
from expunge.report.runs import Run, finite
from expunge.report.settings import alike, labels

RESAMPLES = 1999
_CONFIDENCE = 0.95
_BOOTSTRAP_FROM = 3  # values; two have no more to say than themselves


class Interval(NamedTuple):
    """A mean and the interval that it lies in."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class SeedGroup:
    """Runs that differ only in their seed.

    Attributes:
        label: The method, with what tells it from the other groups.
        runs: The runs, by ascending seed, one a seed.
        rows: Their rows of the table.
        values: Field of ``Row`` -> mean and interval, of the numbers that every run has.
        against_retrain: Test accuracies less those of the paired ``retrain`` runs, one a pair.
    """

    label: str
    runs: list[Run]
    rows: list[Row]
    values: dict[str, Interval]
    against_retrain: list[float]

    @property
    def seeds(self) -> list[str]:
        """The seeds, as the table has them."""
        return [row.seed for row in self.rows]

    @property
    def average(self) -> Row:
        """A row of the means; blank where not every run has the value, counts rounded."""
        first = self.rows[0]
        means: dict[str, Any] = {name: found.mean for name, found in self.values.items()}
        for field in fields(Row):
            value = getattr(first, field.name)
            if isinstance(value, int) and not isinstance(value, bool) and field.name in means:
                means[field.name] = round(means[field.name])
            elif finite(value) is not None and field.name not in means:
                means[field.name] = None
        exhausted = [row.budget_exhausted for row in self.rows]
        ran_out = None if None in exhausted else any(exhausted)
        label = f"{self.label} · mean over {len(self.runs)} seeds"
        return replace(first, **{**means, "unlearner": label, "seed": "", "budget_exhausted": ran_out})


def interval(values: Sequence[float]) -> Interval:
    """Return the mean of one or more values and its 95% bootstrap interval.

    BCa (Efron 1987), or the percentile method where BCa is undefined, with a fixed seed: the same values give
    the same interval. Of two values the interval is the two; of equal ones it is the point.

    Args:
        values: (n,), finite, n >= 1.
    """
    return _interval(tuple(map(float, values)))


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


def over_seeds(runs: Sequence[Run]) -> list[SeedGroup]:
    """Return the groups of runs that differ only in their seed, where there are two seeds or more."""
    found = {id(run): row for run, row in zip(runs, rows(runs), strict=True)}
    groups = []
    for group in alike(runs):
        # The same run made twice is one run.
        first = {found[id(run)].seed: run for run in reversed(group)}
        groups.append([first[seed] for seed in sorted(first, key=_natural)])
    several = [group for group in groups if len(group) > 1]
    return [
        _group(label, group, [found[id(run)] for run in group], runs)
        for label, group in zip(labels(several), several, strict=True)
    ]


def _group(label: str, group: list[Run], table: list[Row], runs: Sequence[Run]) -> SeedGroup:
    values = {}
    for field in fields(Row):
        known = [v for row in table if (v := finite(getattr(row, field.name))) is not None]
        # The mean of those that have a value would be another number than the heading says.
        if len(known) == len(table):
            values[field.name] = interval(known)
    return SeedGroup(label, group, table, values, _against_retrain(group, runs))


def _against_retrain(group: Sequence[Run], runs: Sequence[Run]) -> list[float]:
    """Return the differences in test accuracy, one a run with a partner; none of a retrain with itself."""
    found = []
    for run in group:
        partner = _partner(run, runs)
        ours = run.number("test_accuracy_after")
        other = None if partner is None else partner.number("test_accuracy_after")
        if ours is not None and other is not None:
            found.append(ours - other)
    return found


def _partner(run: Run, runs: Sequence[Run]) -> Run | None:
    """Return the ``retrain`` run with the same seed, data, model, regularisation and requests."""
    if run.unlearner == "retrain":
        return None
    return next((r for r in runs if r.unlearner == "retrain" and _problem(r) == _problem(run)), None)


def _problem(run: Run) -> tuple[object, ...]:
    names = [run.summary.get(key) for key in ("dataset", "extractor", "model", "seed", "n_train", "n_test")]
    lam = text.told(run, "lam")
    return (*names, lam, run.setting("extractor"), run.setting("training"), run.requests())


def _natural(seed: str) -> tuple[int, str]:
    return (int(seed), "") if seed.isdecimal() else (0, seed)
