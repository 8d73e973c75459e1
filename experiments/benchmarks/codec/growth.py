"""How the time of a feature selection grows with rows, columns and columns to select; and with ties."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from experiments.benchmarks import growth
from experiments.benchmarks.codec.contenders import (
    Published,
    PublishedNoise,
    PublishedTies,
    activations,
    attributes,
    seconds_along,
)
from experiments.benchmarks.harness import clock, in_turns
from expunge.charts import style
from expunge.codec import foci

ROWS, FEW_COLUMNS = (500, 1_000, 2_000, 5_000, 10_000, 20_000), 110
COLUMNS, FEW_ROWS = (110, 512, 1_536, 4_810), 1_000
FEATURES, MIDDLE = (1, 2, 4, 8, 16), 512
CHOSEN = 8  # columns selected while n and p grow
PUBLISHED_UP_TO = 5_000  # rows: beyond, its matrices of distances do not fit
SHARE, ENTRIES = 24, 24_000_000  # its candidates at a step: fewer with more rows, by the entries of a matrix
ONCE_FROM = 10_000
SEED = 0
METHODS = {"a": "published shape, float32 (scaled from a share)", "c": "ours, float64"}
TIES_ROWS, TIES_COLUMNS, TIES_CHOSEN, TIES_SHARE = (2_000, 5_000), 40, 6, 2


def measure(
    repeats: int,
    threads: int | None,
    rows: Sequence[int] = ROWS,
    columns: Sequence[int] = COLUMNS,
    features: Sequence[int] = FEATURES,
) -> dict[str, Any]:
    """Time the selection of a fixed number of columns at every size.

    Args:
        repeats: Interleaved repeats.
        threads: Of ours.
        rows: Numbers of rows, at 110 columns.
        columns: Numbers of columns, at 1,000 rows.
        features: Numbers of columns to select, from 512 at 1,000 rows.
    """
    by_rows = [_seconds(n, FEW_COLUMNS, CHOSEN, repeats, threads) for n in rows]
    by_columns = [_seconds(FEW_ROWS, p, CHOSEN, repeats, threads) for p in columns]
    by_chosen = [_seconds(FEW_ROWS, MIDDLE, k, repeats, threads) for k in features]
    return {
        "repeats": repeats,
        "by_rows": growth.series("n", rows, by_rows, {"p": FEW_COLUMNS, "k": CHOSEN}),
        "by_columns": growth.series("p", columns, by_columns, {"n": FEW_ROWS, "k": CHOSEN}),
        "by_chosen": growth.series("k", features, by_chosen, {"n": FEW_ROWS, "p": MIDDLE}),
    }


def _seconds(n: int, p: int, chosen: int, repeats: int, threads: int | None) -> dict[str, float | None]:
    x, y = activations(n, p, SEED)
    foci(x[:300], y[:300], max_features=2, threads=threads)
    published = Published(x, y) if n <= PUBLISHED_UP_TO else None
    share = min(SHARE, max(2, ENTRIES // n**2))

    def ours() -> list[int]:
        return foci(x, y, max_features=chosen, stop=False, threads=threads).columns.tolist()

    ways: dict[str, Callable[[int], float]] = {"c": lambda _: clock(ours)}
    if published:
        published.scores([0], ())  # warm-up
        path = ours()
        ways["a"] = lambda repeat: seconds_along(
            published, path, p, share, np.random.default_rng([SEED, n, p, repeat]), ends=False
        )
    times = in_turns(ways, 1 if n >= ONCE_FROM else repeats)
    return {key: float(np.median(times[key])) if key in times else None for key in METHODS}


def compare_ties(n: int, repeats: int, threads: int | None) -> dict[str, Any]:
    """Time both ways to break ties, CODEC's and L-CODEC's, in the published shape and in ours.

    All select the same number out of 40 binary columns; the published ones are timed on two candidates at
    each step of ours, and scaled.
    """
    x, y = attributes(n, TIES_COLUMNS, SEED)

    def ours(ties: Any) -> list[int]:
        return foci(x, y, ties=ties, max_features=TIES_CHOSEN, stop=False, threads=threads).columns.tolist()

    paths = {ties: ours(ties) for ties in ("random", "noise")}
    baselines = {"random": PublishedTies(x, y), "noise": PublishedNoise(x, y)}

    def theirs(ties: str, repeat: int) -> float:
        rng = np.random.default_rng([SEED, n, repeat])
        return seconds_along(baselines[ties], paths[ties], TIES_COLUMNS, TIES_SHARE, rng, ends=False)

    ways: dict[tuple[str, str], Callable[[int], float]] = {}
    for ties in paths:
        ways[ties, "published"] = partial(theirs, ties)
        ways[ties, "ours"] = lambda _, ties=ties: clock(partial(ours, ties))
    times = in_turns(ways, repeats)
    medians = {
        ties: {who: float(np.median(times[ties, who])) for who in ("published", "ours")} for ties in paths
    }
    return {"n": n, "p": TIES_COLUMNS, "k": TIES_CHOSEN, "share": TIES_SHARE, "seconds": medians}


def draw(measured: dict[str, Any], name: str) -> style.Drawn:
    """Time against n, p and the number selected."""
    panels = (
        (measured["by_rows"], "rows n  (p = {p}, {k} selected)"),
        (measured["by_columns"], "columns p  (n = {n:,}, {k} selected)"),
        (measured["by_chosen"], "columns selected  (n = {n:,}, p = {p})"),
    )
    caption = (
        "Median seconds of selecting a fixed number of columns; the number in each label is the slope of a "
        "straight line."
    )
    return growth.draw(panels, METHODS, ("seconds", 1), name, "Time of one feature selection", caption)
