"""Tables of the one-vs-rest benchmark's JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.benchmarks.tables import factor, short, table, typical

HEADS = "method|ms per removed row (p10-p90)|mean|faster than (a), by repeat|retrained|bound|residual"
USES = "method|classes that use the row|requests|ms (p10-p90)|time over (b)|time over a row that all use"


def lines(found: Mapping[str, Any]) -> list[str]:
    """Both tables and the lines that sum them up, in Markdown."""
    s = found["setting"]
    return [
        f"MNIST, n = {s['n']:,}, d = {s['d']}, {s['classes']} classes; lam {s['lam']:g}, std {s['std']:g} "
        f"(eps {s['epsilon']:g}, delta {s['delta']:g}, budget {s['budget']:.3g}). {found['repeats']} "
        f"interleaved repeats of {found['removals']} requests, {found['published']} of (a).",
        "",
        *table(HEADS, [_removal(row) for row in found["removal"]]),
        "",
        *table(USES, [_uses(row) for row in found["uses"]]),
        "",
        *_summary(found["uses"], s["classes"]),
        *_within(found["removal"], s["budget"]),
    ]


def _removal(row: Mapping[str, Any]) -> list[str]:
    mixed = row["key"] == "e"  # two kinds of request that say nothing together
    return [
        f"({row['key']}) {row['method']}",
        *(["see below", ""] if mixed else [typical(row["ms"]), short(row["ms"]["mean"])]),
        "" if mixed else factor(row),
        f"{row['retrained']} of {row['served']}",
        f"{row['bound']:.2g}" + (f" ({row['over_budget']} over budget)" if row["over_budget"] else ""),
        f"{row['residual']:.2g}",
    ]


def _uses(row: Mapping[str, Any]) -> list[str]:
    return [
        f"({row['key']})",
        str(row["classes"]),
        str(row["ms"]["count"]),
        typical(row["ms"]),
        factor(row["of_base"]),
        factor(row["of_all"]) if row["of_all"] else "",
    ]


def _summary(uses: Sequence[Mapping[str, Any]], classes: int) -> list[str]:
    alone = {row["key"]: row for row in uses if row["classes"] == 1}
    found = []
    if "e" in alone and alone["e"]["of_all"]:
        found += [
            f"(e) Removing a row that {classes - 1} of {classes} classes do not use costs "
            f"{factor(alone['e']['of_all'])} the time of removing one that all use, in the same model.",
            "",
        ]
    if "d" in alone:
        found += [
            f"(d) With subsampled classes it costs {factor(alone['d']['of_base'])} the time of a removal "
            "from all classes on all rows (b): fewer classes change, and each of them has fewer rows.",
            "",
        ]
    return found


def _within(removal: Sequence[Mapping[str, Any]], budget: float) -> list[str]:
    ours = [row for row in removal if row["key"] != "a"]
    broken = [f"({row['key']})" for row in ours if not row["residual"] <= row["bound"] <= budget]
    return [
        "Residual within its bound, bound within the budget: "
        + (f"NOT in {', '.join(broken)}." if broken else "in every model of ours.")
    ]
