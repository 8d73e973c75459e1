"""What the report says of each run: the values behind the table, unrounded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from expunge.core.columns import Columns
from expunge.core.text import finite
from expunge.record import times
from expunge.record.columns import merged
from expunge.record.folders import guarantees, totals
from expunge.record.folders.runs import OUTCOMES, Run
from expunge.report.read import names
from expunge.report.read.measured import break_even, lasting, removal_seconds, retrain_seconds

_COUNTS = ("removals_supported", *OUTCOMES)
_RANK = {"certified": 0, "heuristic": 1, "reference": 2, "baseline": 3}


@dataclass(frozen=True)
class Row:
    """What is said of one run: a row of the side-by-side table.

    Attributes:
        of: The run; of a mean over seeds, the first of them.
        values: Key -> value, a line of ``table.csv``: words, counts, and unrounded numbers. A value can also
            be had as an attribute, which is None where the row has no such key.
    """

    of: Run
    values: Mapping[str, Any]

    def __getattr__(self, key: str) -> Any:
        if key == "values" or key.startswith("_"):
            raise AttributeError(key)
        return self.values.get(key)

    def number(self, key: str) -> float | None:
        """Return the value of ``key`` as a finite number; None where it is something else, or not there."""
        return finite(self.values.get(key))

    def but(self, **values: Any) -> Row:
        """Return the row with other values."""
        return replace(self, values={**self.values, **values})


def ordered(runs: Sequence[Run]) -> list[Run]:
    """Return certified runs first, then other methods, retraining, and doing nothing; otherwise as given."""
    return sorted(runs, key=lambda run: _RANK.get(run.role, 1))


def rows(runs: Sequence[Run]) -> list[Row]:
    """Return one row a run, in the order of ``runs``."""
    columns = merged(run.columns for run in runs)
    return [_row(run, label, runs, columns) for run, label in zip(runs, names.labels(runs), strict=True)]


def _row(run: Run, label: str, runs: Sequence[Run], columns: Columns) -> Row:
    middle, p95 = times.median_and_p95(removal_seconds(run))
    again = retrain_seconds(run, runs)
    s = run.summary
    epsilon_total, delta_total = totals.total(run)
    bound, budget = run.number("residual_bound"), run.number("budget")
    released = guarantees.noise(run, "releases") is not None  # the bound is then the budget, which is public
    values = {
        "unlearner": label,
        "run": run.name,
        **{key: str(s.get(key) or "") for key in ("dataset", "extractor", "model")},
        "seed": str(s.get("seed", "")),
        "role": run.role,
        "requests": s["requests"],
        **{key: None if (n := run.number(key)) is None else int(n) for key in _COUNTS},
        "budget_exhausted": _exhausted(run),
        **_measured(run, columns),
        **{"residual_bound": bound, "budget": budget, "used": None if released else _ratio(bound, budget)},
        "epsilon_spent": run.number("epsilon_spent") if released else run.last("epsilon_spent"),
        **{key: guarantees.noise(run, key) for key in ("releases", "std", "sensitivity")},
        "released": guarantees.released(run),
        "guarantee": guarantees.words(run),
        "epsilon": run.number("epsilon"),
        **{"seconds_removal_median": middle, "seconds_removal_p95": p95},
        "seconds_retrain": again.seconds if again else None,
        "retrain_from": f"run {again.run.name}" if again else "",
        "speed_up": _ratio(again.seconds, middle) if again else None,
        "break_even": break_even(run, again),
        "empirical": run.empirical,
        "extractor_mode": totals.mode(run),
        **{f"extractor_{key}": run.number(f"extractor_{key}") for key in ("epsilon", "delta")},
        **{"epsilon_total": epsilon_total, "delta_total": delta_total},
        "not_covered": totals.not_covered(run),
    }
    return Row(run, values)


def _ratio(above: float | None, below: float | None) -> float | None:
    """Return ``above / below``; None where one of them is not known, or from 0."""
    return above / below if above is not None and below else None


def _measured(run: Run, columns: Columns) -> dict[str, float | None]:
    """Return the numbers that the columns declare, each with the one beside it, as they are over the run."""
    pairs = [(name, c) for key, c in columns.items() if c.over_run for name in (c.beside, key) if name]
    return {name: lasting(run, name, columns.get(name, column).over_run) for name, column in pairs}


def _exhausted(run: Run) -> bool | None:
    """Return whether the budget ran out before the last request; None for a method that has none."""
    if run.number("budget") is None:
        return None
    said = run.summary.get("budget_exhausted")
    # A summary need not say; that not every request was served says the same.
    return said if isinstance(said, bool) else run.number("removals_supported") != run.summary["requests"]
