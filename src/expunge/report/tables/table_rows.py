"""What the report says of each run: the values behind the table, unrounded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median, quantiles
from typing import Any, NamedTuple

from expunge.core.columns import Columns
from expunge.record.columns import merged
from expunge.report.read import guarantees, text, totals
from expunge.report.read.runs import OUTCOMES, Run, finite

OWN_FIT = "own fit"
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


class Retraining(NamedTuple):
    """How long it takes to train again without a row.

    Attributes:
        seconds: None where that is not known.
        run: The run of a reference method that it was measured in; None: the time is that of the first fit.
    """

    seconds: float | None
    run: Run | None

    @property
    def source(self) -> str:
        """Where the time is from, in words: ``own fit``, or a run and its name; empty where there is none."""
        if self.seconds is None:
            return ""
        return OWN_FIT if self.run is None else f"run {self.run.name}"


def ordered(runs: Sequence[Run]) -> list[Run]:
    """Return certified runs first, then other methods, retraining, and doing nothing; otherwise as given."""
    return sorted(runs, key=lambda run: _RANK.get(run.role, 1))


def rows(runs: Sequence[Run]) -> list[Row]:
    """Return one row a run, in the order of ``runs``."""
    columns = merged(run.columns for run in runs)
    return [_row(run, label, runs, columns) for run, label in zip(runs, text.labels(runs), strict=True)]


def removal_seconds(run: Run) -> list[float]:
    """Return the time of each removal that was carried out; a refusal takes no time worth comparing."""
    done = (r for r in run.records if r["outcome"] != "refused")
    return [s for r in done if (s := finite(r.get("seconds"))) is not None]


def retrain_seconds(run: Run, runs: Sequence[Run]) -> Retraining:
    """Return how long it takes to train again without the row, and where that was measured.

    It is the median of a run of a reference method on the same data, extractor and model (the same settings
    of the extractor, ``lam``, training, device and seed preferred, in this order); without one, the time of
    this run's own first fit.
    """
    peers = [r for r in runs if r.role == "reference" and _setup(r) == _setup(run)]
    peers.sort(key=lambda r: (r is not run, *(a != b for a, b in zip(_taste(r), _taste(run), strict=True))))
    for peer in peers:
        if (time := _removal_times(peer)[0]) is not None:
            return Retraining(time, peer)
    return Retraining(run.number("seconds_fit"), None)


def lasting(run: Run, key: str) -> float | None:
    """Return a number of the summary; where it has none, the last value in the records."""
    value = run.number(key)
    return run.last(key) if value is None else value


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


def notes(table: Sequence[Row]) -> list[str]:
    """Return what rows give to say under the table, besides the guarantees of certified runs."""
    return [*_without_guarantee(table), *_partly(table), *_not_measured(table)]


def guaranteed(table: Sequence[Row]) -> list[str]:
    """Return one line for each guarantee that certified runs say they have."""
    able = [row for row in table if row.of.certified and isinstance(row.of.summary.get("guarantee"), str)]
    every, lines = {row.unlearner for row in table}, []
    for said, some in guarantees.grouped((guarantees.words(row.of), row.unlearner) for row in able).items():
        names = list(dict.fromkeys(some))
        which = f" ({guarantees.named(names, len(every))})" if len(names) < len(every) else ""
        holds = said.startswith(guarantees.RELEASE)
        lines.append(
            f"{'Guarantee:' if holds else guarantees.MARK} {said if holds else text.capital(said)}{which}."
        )
    return lines


def _not_measured(table: Sequence[Row]) -> list[str]:
    """Return one line for each metric and reason why it could not measure some runs."""
    groups: dict[tuple[str, str], list[str]] = {}
    for row in table:
        said = row.of.summary.get("not_measured")
        for metric, why in said.items() if isinstance(said, dict) else ():
            groups.setdefault((text.plain(metric), text.plain(why)), []).append(row.unlearner)
    return [
        f"Not measured: {metric} of {', '.join(dict.fromkeys(names))}: {why}."
        for (metric, why), names in groups.items()
    ]


def _without_guarantee(table: Sequence[Row]) -> list[str]:
    """Return one line for each reason why rows guarantee nothing of extractor and model together.

    What the guarantee of a run says of itself is no reason to say it again.
    """
    groups: dict[tuple[bool, str], list[str]] = {}
    for row in table:
        if reason := guarantees.besides(row.of, row.not_covered):
            published = row.extractor_mode == totals.PUBLISHED
            groups.setdefault((published, reason), []).append(row.unlearner)
    lines = []
    for (published, reason), names in groups.items():
        what = "as published" if published else "no guarantee for extractor and model together"
        lines.append(f"Warning: {what}: {reason}{_which(names, table)}.")
    return lines


def _partly(table: Sequence[Row]) -> list[str]:
    """Return one line for each thing that a total does not cover, which is a number all the same."""
    able = ((guarantees.beyond(row.of), row) for row in table if row.epsilon_total is not None)
    groups = guarantees.grouped((said, row.unlearner) for said, row in able if said)
    return [f"{guarantees.MARK} Not covered: {said}{_which(names, table)}." for said, names in groups.items()]


def _which(some: Sequence[str], table: Sequence[Row]) -> str:
    """Which rows it is about, where not about all; a name that several have is said once."""
    names = dict.fromkeys(some)
    return f" ({', '.join(names)})" if len(names) < len({row.unlearner for row in table}) else ""


def _row(run: Run, label: str, runs: Sequence[Run], columns: Columns) -> Row:
    middle, p95 = _removal_times(run)
    retraining = retrain_seconds(run, runs)
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
        "seconds_removal_median": middle,
        "seconds_removal_p95": p95,
        "seconds_retrain": retraining.seconds,
        "retrain_from": retraining.source,
        "speed_up": _ratio(retraining.seconds, middle),
        "empirical": run.empirical,
        "extractor_mode": totals.mode(run),
        **{f"extractor_{key}": run.number(f"extractor_{key}") for key in ("epsilon", "delta")},
        "epsilon_total": epsilon_total,
        "delta_total": delta_total,
        "not_covered": totals.not_covered(run),
    }
    return Row(run, values)


def _ratio(above: float | None, below: float | None) -> float | None:
    """Return ``above / below``; None where one of them is not known, or from 0."""
    return above / below if above is not None and below else None


def _measured(run: Run, columns: Columns) -> dict[str, float | None]:
    """Return the numbers that the columns declare, each with the one beside it, as they are over the run."""
    found: dict[str, float | None] = {}
    for key, column in columns.items():
        if column.over_run:
            for name in filter(None, (column.beside, key)):
                found[name] = _over_run(run, name, columns.get(name, column).over_run)
    return found


def _over_run(run: Run, key: str, how: str) -> float | None:
    """Return a number of the summary; where it has none, that of the records, as ``Column.over_run`` says."""
    if (value := run.number(key)) is not None or key not in run.recorded:
        return value
    _, values = run.series(key, refused=how != "served")
    if not values:
        return None
    return mean(values) if how == "mean" else values[-1]


def _removal_times(run: Run) -> tuple[float | None, float | None]:
    """Return median and 95th percentile; None where nothing was removed, whatever the clock said.

    The summary's own figures count refused requests too, so they serve only where there are none.
    """
    times = removal_seconds(run)
    if not times:
        return None, None
    tail = quantiles(times, n=20, method="inclusive")[-1] if len(times) > 1 else times[0]
    if any(r["outcome"] == "refused" for r in run.records):
        return median(times), tail
    middle, p95 = run.number("seconds_removal_median"), run.number("seconds_removal_p95")
    return (median(times) if middle is None else middle, tail if p95 is None else p95)


def _exhausted(run: Run) -> bool | None:
    """Return whether the budget ran out before the last request; None for a method that has none."""
    if run.number("budget") is None:
        return None
    said = run.summary.get("budget_exhausted")
    # A summary need not say; that not every request was served says the same.
    return said if isinstance(said, bool) else run.number("removals_supported") != run.summary["requests"]


def _setup(run: Run) -> tuple[object, ...]:
    keys = ("dataset", "extractor", "extractor_architecture", "extractor_features", "model", "n_train")
    named = (run.summary.get(key) for key in keys)
    # Two networks of one name may differ in their layers; what the linear model passes on to its unlearner
    # is no part of it.
    model = run.setting("model")
    shape = {k: v for k, v in model.items() if k not in ("lam", "std")} if isinstance(model, dict) else model
    return (*named, shape)


def _taste(run: Run) -> tuple[object, ...]:
    return (*map(run.setting, ("extractor", "unlearner.lam", "training", "device")), run.summary.get("seed"))
