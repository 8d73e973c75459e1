"""Tables of the removal benchmark's JSON."""

from __future__ import annotations

from typing import Any

from experiments.benchmarks.tables import factor, short, table, typical, verdict


def lines(part: dict[str, Any]) -> list[str]:
    """The tables of all settings, in Markdown."""
    found = [f"{part['repeats']} interleaved repeats of {part['removals']} requests."]
    for setting in part["settings"]:
        found += ["", *setting_lines(setting)]
    return found


def setting_lines(found: dict[str, Any]) -> list[str]:
    """Both tables of one setting, in Markdown."""
    s = found["setting"]
    heading = (
        f"### lam {s['lam']:g}, std {s['std']:g} (eps {s['epsilon']:g}, delta {s['delta']:g}, "
        f"budget {s['budget']:.3g}; n = {s['n']:,}, d = {s['d']})"
    )
    removal = [
        [
            f"({row['key']}) {row['method']}",
            typical(row["ms"]),
            short(row["ms"]["mean"]),
            factor(row),
            _target(row),
            f"{row['retrained']} of {row['served']}",
            f"{row['bound']:.2g}" + (f" ({row['over_budget']} over budget)" if row["over_budget"] else ""),
            f"{row['residual']:.2g}",
        ]
        for row in found["removal"]
    ]
    training = [
        [
            row["method"],
            typical(row["ms"]),
            f"{row['gradient_norm']:.2g}" + (f" ({row['stopped_by']})" if "stopped_by" in row else ""),
            factor(row) if "ratio" in row else "",
            f"at most {row['at_most']}x: {verdict(row['met'])}" if "at_most" in row else "",
        ]
        for row in found["training"]
    ]
    return [
        heading,
        "",
        *table(
            "method|ms per removal (p10-p90)|mean|faster than (a), by repeat|target|retrained|bound|residual",
            removal,
        ),
        "",
        *table("training|ms (p10-p90)|gradient norm|time over lbfgs, by repeat|target", training),
    ]


def _target(row: dict[str, Any]) -> str:
    if "at_most" in row:
        return f"{factor(row['of_b'])} of (b), at most {row['at_most']}x: {verdict(row['met'])}"
    if "at_least" not in row:
        return ""
    aim = f" (aim {row['aim']}x: {verdict(row['ratio'] >= row['aim'])})" if "aim" in row else ""
    return f"at least {row['at_least']}x: {verdict(row['met'])}{aim}"
