"""What a run comes to: its lasting numbers, the times that count, and the retraining they stand beside."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean
from typing import Any, NamedTuple

from expunge.core import text
from expunge.record import times
from expunge.record.folders.runs import Run
from expunge.report.read import names

_MACHINE = ("device", "threads")


class Retraining(NamedTuple):
    """How long it takes to train again without a row, and the run in which that was measured."""

    seconds: float
    run: Run


def lasting(run: Run, key: str, how: str = "last") -> float | None:
    """Return a number of the summary; where it has none, that of the records, as ``Column.over_run`` says."""
    if (value := run.number(key)) is not None or key not in run.recorded:
        return value
    _, values = run.series(key, refused=how != "served")
    if not values:
        return None
    return mean(values) if how == "mean" else max(values) if how == "most" else values[-1]


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


def break_even(run: Run, again: Retraining | None) -> int | None:
    """Return how many removals take no longer together than training again once; None where it is not known.

    The most k with ``setup + k t <= t_retrain``: t is the mean time of a removal, setup what fitting took
    longer than in the run of the reference method, which trains as it does again.
    """
    times = removal_seconds(run)
    if again is None or run.role == "reference" or not times or not mean(times) > 0:
        return None
    fits = run.number("seconds_fit"), again.run.number("seconds_fit")
    setup = max(0.0, fits[0] - fits[1]) if fits[0] is not None and fits[1] is not None else 0.0
    return max(0, int((again.seconds - setup) / mean(times)))


def references(run: Run, runs: Sequence[Run]) -> list[Run]:
    """Return the runs of reference methods that train again for the same problem.

    That is data, extractor and its settings, model, training, and lam as far as both have one.
    """
    able = [r for r in runs if r.role == "reference" and _problem(r) == _problem(run)]
    return [r for r in able if len({names.told(r, "lam"), names.told(run, "lam")} - {text.NONE}) < 2]


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
