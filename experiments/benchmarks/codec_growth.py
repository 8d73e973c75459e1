"""How the time of a feature selection grows with rows, columns and columns to select; and with ties."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

from experiments.benchmarks.codec_contenders import (
    Published,
    PublishedNoise,
    PublishedTies,
    activations,
    attributes,
    seconds_along,
)
from experiments.benchmarks.growth import panel
from expunge.codec import foci
from expunge.report import style

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
        "by_rows": _series("n", rows, by_rows, {"p": FEW_COLUMNS, "k": CHOSEN}),
        "by_columns": _series("p", columns, by_columns, {"n": FEW_ROWS, "k": CHOSEN}),
        "by_chosen": _series("k", features, by_chosen, {"n": FEW_ROWS, "p": MIDDLE}),
    }


def _seconds(n: int, p: int, chosen: int, repeats: int, threads: int | None) -> dict[str, float | None]:
    x, y = activations(n, p, SEED)
    foci(x[:300], y[:300], max_features=2, threads=threads)
    published = Published(x, y) if n <= PUBLISHED_UP_TO else None
    if published:
        published.scores([0], ())  # warm-up
    share = min(SHARE, max(2, ENTRIES // n**2))
    times: dict[str, list[float]] = {key: [] for key in METHODS}
    for repeat in range(1 if n >= ONCE_FROM else repeats):
        begin = perf_counter()
        path = foci(x, y, max_features=chosen, stop=False, threads=threads).columns.tolist()
        times["c"].append(perf_counter() - begin)
        if published:
            rng = np.random.default_rng([SEED, n, p, repeat])
            times["a"].append(seconds_along(published, path, p, share, rng, ends=False))
    return {key: float(np.median(values)) if values else None for key, values in times.items()}


def _series(
    name: str, sizes: Sequence[int], found: list[dict[str, float | None]], fixed: dict[str, int]
) -> dict[str, Any]:
    times = {key: [one[key] for one in found] for key in METHODS}
    ratio = [a / c if a and c else None for a, c in zip(times["a"], times["c"], strict=True)]
    slopes = {key: _slope(sizes, values) for key, values in times.items()}
    return {"name": name, "sizes": list(sizes), **fixed, "seconds": times, "ratio": ratio, "exponent": slopes}


def _slope(sizes: Sequence[int], values: Sequence[float | None]) -> float | None:
    known = [(size, value) for size, value in zip(sizes, values, strict=True) if value]
    if len(known) < 2:
        return None
    x, y = np.log(known).T
    return float(np.polyfit(x, y, 1)[0])


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
    times: dict[str, dict[str, list[float]]] = {ties: {"published": [], "ours": []} for ties in paths}
    for repeat in range(repeats):
        for ties, path in paths.items():
            rng = np.random.default_rng([SEED, n, repeat])
            scaled = seconds_along(baselines[ties], path, TIES_COLUMNS, TIES_SHARE, rng, ends=False)
            times[ties]["published"].append(scaled)
            times[ties]["ours"].append(_clock(partial(ours, ties)))
    medians = {
        ties: {who: float(np.median(values)) for who, values in both.items()} for ties, both in times.items()
    }
    return {"n": n, "p": TIES_COLUMNS, "k": TIES_CHOSEN, "share": TIES_SHARE, "seconds": medians}


def _clock(call: Callable[[], object]) -> float:
    begin = perf_counter()
    call()
    return perf_counter() - begin


def draw(measured: dict[str, Any], name: str) -> style.Drawn:
    """Time against n, p and the number selected, all axes logarithmic."""
    title = "Time of one feature selection"
    caption = (
        "Median seconds of selecting a fixed number of columns; the number in each label is the slope of a "
        "straight line."
    )
    with style.styled():
        figure, axes = style.canvas(10.2, 3.6, panels=3)
        panels = (
            (measured["by_rows"], "rows n  (p = {p}, {k} selected)"),
            (measured["by_columns"], "columns p  (n = {n:,}, {k} selected)"),
            (measured["by_chosen"], "columns selected  (n = {n:,}, p = {p})"),
        )
        for ax, (series, label) in zip(axes, panels, strict=True):
            panel(ax, series, list(METHODS), label.format(**series))
        low, high = min(ax.get_ylim()[0] for ax in axes), max(ax.get_ylim()[1] for ax in axes)
        for ax in axes:
            ax.set_ylim(low, high)
        axes[0].set_ylabel("seconds")
        handles = [
            style.Line2D([], [], color=colour, marker=mark, lw=1.8, label=what)
            for what, colour, mark in zip(METHODS.values(), style.SERIES, "os", strict=False)
        ]
        style.legend(figure, handles, columns=2)
        return style.render(figure, name, title, caption)
