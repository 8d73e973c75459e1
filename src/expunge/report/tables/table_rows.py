"""What the report says of each run: the values behind the table, unrounded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean
from typing import Any, NamedTuple

from expunge.core import text
from expunge.core.columns import Columns
from expunge.core.groups import grouped
from expunge.core.text import finite
from expunge.record import times
from expunge.record.columns import merged
from expunge.record.folders import guarantees, totals
from expunge.record.folders.runs import OUTCOMES, Run
from expunge.report.read import names

_COUNTS = ("removals_supported", *OUTCOMES)
_MACHINE = ("device", "threads")
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


class Retraining(NamedTuple):
    """How long it takes to train again without a row, and the run in which that was measured."""

    seconds: float
    run: Run


def ordered(runs: Sequence[Run]) -> list[Run]:
    """Return certified runs first, then other methods, retraining, and doing nothing; otherwise as given."""
    return sorted(runs, key=lambda run: _RANK.get(run.role, 1))


def rows(runs: Sequence[Run]) -> list[Row]:
    """Return one row a run, in the order of ``runs``."""
    columns = merged(run.columns for run in runs)
    return [_row(run, label, runs, columns) for run, label in zip(runs, names.labels(runs), strict=True)]


def removal_seconds(run: Run) -> list[float]:
    """Return the time of each removal that counts; see ``expunge.record.times``."""
    return times.of_removals(run.records, run.role)


def retrain_seconds(run: Run, runs: Sequence[Run]) -> Retraining | None:
    """Return how long it takes to train again without a row; None where no run has measured it.

    It is the median of a run of a reference method on the same problem, device and threads; of several that
    of the same seed.
    """
    able = [r for r in references(run, runs) if all(r.setting(key) == run.setting(key) for key in _MACHINE)]
    able.sort(key=lambda r: (r is not run, r.summary.get("seed") != run.summary.get("seed")))
    known = ((times.median_and_p95(removal_seconds(peer))[0], peer) for peer in able)
    return next((Retraining(middle, peer) for middle, peer in known if middle is not None), None)


def references(run: Run, runs: Sequence[Run]) -> list[Run]:
    """Return the runs of reference methods that train again for the same problem.

    That is data, extractor and its settings, model, training, and lam as far as both have one.
    """
    able = [r for r in runs if r.role == "reference" and _problem(r) == _problem(run)]
    return [r for r in able if len({names.told(r, "lam"), names.told(run, "lam")} - {text.NONE}) < 2]


def lasting(run: Run, key: str, how: str = "last") -> float | None:
    """Return a number of the summary; where it has none, that of the records, as ``Column.over_run`` says."""
    if (value := run.number(key)) is not None or key not in run.recorded:
        return value
    _, values = run.series(key, refused=how != "served")
    if not values:
        return None
    return mean(values) if how == "mean" else values[-1]


def _problem(run: Run) -> tuple[object, ...]:
    keys = ("dataset", "extractor", "extractor_architecture", "extractor_features", "model", "n_train")
    named = (run.summary.get(key) for key in keys)
    # Two networks of one name may differ in their layers; what the linear model passes on to its unlearner
    # is no part of it. The seed of a part follows that of the run.
    model = _but(run.setting("model"), "lam", "std")
    return (
        *named,
        model,
        *(_but(run.setting(part), "seed") for part in ("dataset", "extractor", "training")),
    )


def _but(settings: Any, *keys: str) -> Any:
    return {k: v for k, v in settings.items() if k not in keys} if isinstance(settings, dict) else settings


def warnings(runs: Sequence[Run]) -> list[str]:
    """Return one line for each thing that makes the rows less comparable than they look.

    Requests are compared within one data set and one seed: another seed draws other requests by design.
    """
    first: dict[tuple[str, str], Run] = {}
    pairs = [(r, first.setdefault((str(r.summary["dataset"]), str(r.summary.get("seed"))), r)) for r in runs]
    unlike = [(run, other) for run, other in pairs if run.requests() != other.requests()]
    if not unlike:
        return []
    pairs_of_rows = (zip(run.requests(), other.requests(), strict=False) for run, other in unlike)
    cut = all(a == b for start in pairs_of_rows for a, b in start)
    what = "the same requests, but not equally many" if cut else "the same requests (their rows differ)"
    verb = "served" if cut else "did not serve"
    return [f"Warning: the runs {verb} {what}; compare counts and accuracies with that in mind."]


def guaranteed(table: Sequence[Row]) -> list[str]:
    """Return one line for each guarantee that certified runs say they have."""

    def own(row: Row) -> list[str]:
        able = row.of.certified and isinstance(row.of.summary.get("guarantee"), str)
        return [guarantees.words(row.of)] if able else []

    lines = []
    for said, _, which in _told(table, own):
        holds = said.startswith(guarantees.RELEASE)
        sign, words = ("Guarantee:", said) if holds else (guarantees.MARK, text.capital(said))
        lines.append(f"{sign} {words}{which}.")
    return lines


def notes(table: Sequence[Row]) -> list[str]:
    """Return what rows give to say under the table, besides the guarantees of certified runs.

    Of a guarantee for extractor and model together: why there is none, where the run's own guarantee does not
    say so already, and what it does not cover. Then which metric could not measure some runs, and why.
    """

    def without(row: Row) -> list[tuple[str, str]]:
        reason = guarantees.besides(row.of, row.not_covered)
        published = row.extractor_mode == totals.PUBLISHED
        what = "as published" if published else "no guarantee for extractor and model together"
        return [(what, reason)] if reason else []

    def partly(row: Row) -> list[str]:
        said = guarantees.beyond(row.of)
        return [said] if said and row.epsilon_total is not None else []

    def unmeasured(row: Row) -> list[tuple[str, str]]:
        said = row.of.summary.get("not_measured")
        return [(text.plain(k), text.plain(v)) for k, v in said.items()] if isinstance(said, dict) else []

    return [
        *(f"Warning: {what}: {why}{which}." for (what, why), _, which in _told(table, without)),
        *(f"{guarantees.MARK} Not covered: {what}{which}." for what, _, which in _told(table, partly)),
        *(f"Not measured: {what} of {names}: {why}." for (what, why), names, _ in _told(table, unmeasured)),
    ]


def _told(table: Sequence[Row], told: Callable[[Row], Sequence[Any]]) -> Iterator[tuple[Any, str, str]]:
    """Yield each thing that is told of rows, of which ones, and that in brackets unless it is all of them."""
    every = {row.unlearner for row in table}
    for said, some in grouped((one, row.unlearner) for row in table for one in told(row)).items():
        names = list(dict.fromkeys(some))
        which = f" ({guarantees.named(names, len(every))})" if len(names) < len(every) else ""
        yield said, ", ".join(names), which


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
