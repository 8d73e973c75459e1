"""What the report says of each run: the values behind the table, unrounded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from expunge.report import text
from expunge.report.runs import Run, finite

OWN_FIT = "own fit"
_RANK = {"retrain": 2, "none": 3}


@dataclass(frozen=True)
class Row:
    """What the table says of one run; also a line of ``table.csv``, in this order."""

    unlearner: str
    run: str
    dataset: str
    extractor: str
    model: str
    seed: str
    requests: int
    test_accuracy_before: float | None
    test_accuracy_after: float | None
    removals_supported: int | None
    budget_exhausted: bool
    retrained: int | None
    refused: int | None
    residual_measured: float | None
    residual_bound: float | None
    budget: float | None
    epsilon_spent: float | None
    epsilon: float | None
    seconds_removal_median: float | None
    seconds_removal_p95: float | None
    seconds_retrain: float | None
    retrain_from: str
    speed_up: float | None

    @property
    def used(self) -> float | None:
        """The bound at the last release, as a share of the budget."""
        return _ratio(self.residual_bound, self.budget)


def ordered(runs: Sequence[Run]) -> list[Run]:
    """Return certified runs first, then other methods, retraining, and doing nothing; otherwise as given."""
    return sorted(runs, key=lambda run: _RANK.get(run.unlearner, 0 if run.certified else 1))


def rows(runs: Sequence[Run]) -> list[Row]:
    """Return one row a run, in the order of ``runs``."""
    return [_row(run, label, runs) for run, label in zip(runs, text.labels(runs), strict=True)]


def removal_seconds(run: Run) -> list[float]:
    """Return the time of each removal that was carried out; a refusal takes no time worth comparing."""
    done = (r for r in run.records if r["outcome"] != "refused")
    return [s for r in done if (s := finite(r.get("seconds"))) is not None]


def retrain_seconds(run: Run, runs: Sequence[Run]) -> tuple[float | None, str]:
    """Return how long it takes to train again without the row, and where that was measured.

    It is the median of a ``retrain`` run on the same data, extractor and model (the same ``lam`` and seed
    preferred); without one, the time of this run's own first fit.
    """
    peers = [r for r in runs if r.unlearner == "retrain" and _setup(r) == _setup(run)]
    peers.sort(
        key=lambda r: (r is not run, _lam(r) != _lam(run), r.summary.get("seed") != run.summary.get("seed"))
    )
    for peer in peers:
        if (time := _removal_times(peer)[0]) is not None:
            return time, f"retrain run {peer.name}"
    return run.number("seconds_fit"), OWN_FIT


def warnings(runs: Sequence[Run]) -> list[str]:
    """Return one line for each thing that makes the rows less comparable than they look."""
    first: dict[str, list[list[object]]] = {}
    unlike = [r for r in runs if r.requests() != first.setdefault(str(r.summary["dataset"]), r.requests())]
    if not unlike:
        return []
    cut = all(_common_start(r.requests(), first[str(r.summary["dataset"])]) for r in unlike)
    what = "the same requests, but not equally many" if cut else "the same requests (their rows differ)"
    verb = "served" if cut else "did not serve"
    return [f"Warning: the runs {verb} {what}; compare counts and accuracies with that in mind."]


def _row(run: Run, label: str, runs: Sequence[Run]) -> Row:
    middle, p95 = _removal_times(run)
    retrain, source = retrain_seconds(run, runs)
    measured = run.number("residual_measured")
    s = run.summary
    return Row(
        unlearner=label,
        run=run.name,
        dataset=str(s["dataset"]),
        extractor=str(s.get("extractor") or ""),
        model=str(s.get("model") or ""),
        seed=str(s.get("seed", "")),
        requests=s["requests"],
        test_accuracy_before=run.number("test_accuracy_before"),
        test_accuracy_after=run.number("test_accuracy_after"),
        removals_supported=_whole(run, "removals_supported"),
        budget_exhausted=_exhausted(run),
        retrained=_whole(run, "retrained"),
        refused=_whole(run, "refused"),
        residual_measured=run.last("residual_measured") if measured is None else measured,
        residual_bound=run.number("residual_bound"),
        budget=run.number("budget"),
        epsilon_spent=run.last("epsilon_spent"),
        epsilon=run.number("epsilon"),
        seconds_removal_median=middle,
        seconds_removal_p95=p95,
        seconds_retrain=retrain,
        retrain_from=source if retrain is not None else "",
        speed_up=_ratio(retrain, middle),
    )


def _removal_times(run: Run) -> tuple[float | None, float | None]:
    """Return median and 95th percentile; None where nothing was removed, whatever the clock said."""
    times = removal_seconds(run)
    if not times:
        return None, None
    middle, p95 = run.number("seconds_removal_median"), run.number("seconds_removal_p95")
    tail = quantiles(times, n=20, method="inclusive")[-1] if len(times) > 1 else times[0]
    return (median(times) if middle is None else middle, tail if p95 is None else p95)


def _exhausted(run: Run) -> bool:
    # A method without a budget need not say; that every request was served says the same.
    said = run.summary.get("budget_exhausted")
    return (
        bool(said) if isinstance(said, bool) else run.number("removals_supported") != run.summary["requests"]
    )


def _whole(run: Run, key: str) -> int | None:
    value = run.number(key)
    return None if value is None else int(value)


def _ratio(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None


def _setup(run: Run) -> tuple[object, ...]:
    return tuple(run.summary.get(key) for key in ("dataset", "extractor", "model", "n_train"))


def _lam(run: Run) -> object:
    return run.setting("unlearner.lam")


def _common_start(a: list[list[object]], b: list[list[object]]) -> bool:
    least = min(len(a), len(b))
    return a[:least] == b[:least]
