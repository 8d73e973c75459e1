"""Tables of the benchmark's JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.benchmarks.tables import factor, short, table, typical

HEADS = (
    "way|ms of a request (p10-p90)|CPU ms, all threads|CPU ms, serving thread|CPU of the other over it|"
    "serving thread's likewise|bound|residual"
)


def lines(found: Mapping[str, Any]) -> list[str]:
    """The table and the line that sums it up, in Markdown."""
    s = found["setting"]
    within = all(row["residual"] <= row["bound"] <= row["budget"] for row in found["removal"])
    return [
        f"n = {s['n']:,}, d = {s['d']:,}, {s['classes']} classes; lam {s['lam']:g}, (eps {s['epsilon']:g}, "
        f"delta {s['delta']:g}) for {s['releases']:,} releases. {found['repeats']} interleaved repeats of "
        f"{found['removals']} requests of a row, and of one of many.",
        "",
        *table(HEADS, [_removal(row) for row in found["removal"]]),
        "",
        f"Residual within its bound, bound within the budget: {'in each' if within else 'NOT in each'}.",
    ]


def _removal(row: Mapping[str, Any]) -> Sequence[str]:
    shares = (factor(row["faster_cpu"]), factor(row["faster_own"])) if row["key"] in "bd" else ("", "")
    times = (typical(row["ms"][clock]) for clock in ("wall", "cpu", "own"))
    return [f"({row['key']}) {row['method']}", *times, *shares, short(row["bound"]), short(row["residual"])]
