"""Runs that differ only in their seed: mean and 95% interval, and differences paired by seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from statistics import mean
from typing import Any, NamedTuple

from expunge.record.columns import merged
from expunge.report.read import text
from expunge.report.read.methods import Method, methods
from expunge.report.read.runs import Run, complete, finite
from expunge.report.read.walk import natural
from expunge.report.tables.table_rows import Row, problem, rows

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
        rows: The rows of the table of the runs, by ascending seed, one a seed.
        values: Key -> mean and interval, of the numbers of the rows that every run has.
        paired: Key of a number that runs are compared by -> its differences from the reference method's runs
            of the same seed and requests, one a pair.
        colour: Its place among the colours of the figures.
        again: The rows of runs whose seed is there already: the same run made twice counts once.
    """

    label: str
    rows: list[Row]
    values: dict[str, Interval]
    paired: dict[str, list[float]]
    colour: int = 0
    again: list[Row] = field(default_factory=list)

    @property
    def seeds(self) -> list[str]:
        """The seeds, as the table has them."""
        return [row.seed for row in self.rows]

    @property
    def title(self) -> str:
        """The label, and of how many seeds it is."""
        return f"{self.label} · {len(self.rows)} seeds" if len(self.rows) > 1 else self.label

    @property
    def average(self) -> Row:
        """A row of the means; blank where not every run has the value, counts rounded."""
        first = self.rows[0]
        if len(self.rows) == 1:
            return Row(first.of, {**first.values, "unlearner": self.label})
        means: dict[str, Any] = {key: found.mean for key, found in self.values.items()}
        for key, value in first.values.items():
            if isinstance(value, int) and key in means:
                means[key] = round(means[key])
            elif finite(value) is not None and key not in means:
                means[key] = None
        exhausted = [row.budget_exhausted for row in self.rows]
        ran_out = None if None in exhausted else any(exhausted)
        label = f"{self.label} · mean over {len(self.rows)} seeds"
        own = {"unlearner": label, "seed": "", "budget_exhausted": ran_out}
        return Row(first.of, {**first.values, **means, **own})


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


def by_method(runs: Sequence[Run]) -> list[SeedGroup]:
    """Return what is said of each method, in the order of ``runs``: of one seed or of several."""
    found = {id(row.of): row for row in rows(runs)}
    groups = []
    for method in methods(runs):
        every = [found[id(run)] for run in method.runs]
        first = {row.seed: row for row in reversed(every)}
        again = [row for row in every if row is not first[row.seed]]
        groups.append(_group(method, [first[seed] for seed in sorted(first, key=natural)], again, runs))
    return groups


def _group(method: Method, table: list[Row], again: list[Row], runs: Sequence[Run]) -> SeedGroup:
    values, group = {}, [row.of for row in table]
    for key in table[0].values:
        if known := complete(row.number(key) for row in table):
            values[key] = interval(known)
    main = [key for key, column in merged(run.columns for run in group).items() if column.main]
    paired = {key: _paired(key, group, runs) for key in main}
    return SeedGroup(method.label, table, values, paired, method.colour, again)


def _paired(key: str, group: Sequence[Run], runs: Sequence[Run]) -> list[float]:
    """Return the differences of a number, one a run with a partner; none of a reference with itself."""
    pairs = [
        (run.number(key), other.number(key)) for run in group if (other := _partner(run, runs)) is not None
    ]
    return [ours - theirs for ours, theirs in pairs if ours is not None and theirs is not None]


def _partner(run: Run, runs: Sequence[Run]) -> Run | None:
    """Return the reference method's run with the same seed, data, model, regularisation and requests."""
    if run.role == "reference":
        return None
    return next((r for r in runs if r.role == "reference" and _asked(r) == _asked(run)), None)


def _asked(run: Run) -> tuple[object, ...]:
    seed, n_test = run.summary.get("seed"), run.summary.get("n_test")
    return (problem(run), text.told(run, "lam"), seed, n_test, run.requests())
