"""The chart of an audit: claimed epsilon beside the lower bound that attacks prove."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

import altair as alt

from expunge.report.figures import chart, style
from expunge.report.read import text

_STEP = 24  # pixels of a method
_CLAIMED = "claimed"


def draw(found: Mapping[str, Any], verdicts: Mapping[str, tuple[str, int]], untried: str) -> style.Drawn:
    """Draw for every method its claimed epsilon and what the audit proves.

    ``verdicts``: verdict -> its words, and the place of its colour; ``untried``: the one of no request.
    """
    methods = found["methods"]
    top = (
        max(
            [
                1.0,
                *(one["epsilon"] for one in methods),
                *(low for one in methods if isfinite(low := _bound(one, "low"))),
            ]
        )
        * 1.15
    )
    there = [verdict for verdict in verdicts if any(one["verdict"] == verdict for one in methods)]
    bounds = {it: f"lower bound: {verdicts[it][0]}" for it in there if it != untried}
    rows = [_row(one, bounds, top, untried) for one in methods]
    names = [_CLAIMED, *bounds.values()]
    colours = [style.INK, *(style.SERIES[verdicts[it][1]] for it in bounds)]
    scale = alt.Scale(domain=names, range=colours)
    legend = chart.legend(names)
    across = alt.X("low:Q", title="epsilon", scale=alt.Scale(domain=[0, top], nice=False))
    look = alt.Axis(labelLimit=360, grid=True)
    up = alt.Y("y:N", title=None, sort=[row["y"] for row in rows], axis=look)
    told = [alt.Tooltip(f"{key}:N") for key in ("y", "epsilon", "proved", "verdict")]
    of = alt.Chart(chart.data(rows)).encode(y=up, tooltip=told)
    proved = of.encode(color=alt.Color("method:N", scale=scale, legend=legend)).transform_filter(
        "datum.tried"
    )
    claimed = of.transform_calculate(method=repr(_CLAIMED))
    shape = alt.Scale(domain=names, range=["diamond", *(["stroke"] * len(bounds))])
    layers = (
        proved.mark_rule(opacity=0.45).encode(x=across, x2="high"),
        proved.mark_bar(height=6).encode(x=across),
        proved.mark_tick(thickness=2.5, height=16).encode(x=across),
        claimed.mark_point(size=60, fill=style.PAPER, stroke=style.INK, opacity=1).encode(
            x="epsilon:Q", shape=alt.Shape("method:N", scale=shape, legend=legend)
        ),
        of.mark_text(text="no request was served", align="left", dx=4, color=style.MUTED)
        .encode(x=alt.datum(0))
        .transform_filter("!datum.tried"),
    )
    caption = (
        "Thick bar: the epsilon that the best of all attacks proves at the least, at the claimed delta "
        "(exact limits, 99% for all attacks on a method together). Thin line: on to the most that the "
        "same test can need. A bar beyond the diamond refutes the claim."
    )
    whole = alt.layer(*layers).properties(width=chart.WIDTH, height=alt.Step(_STEP))
    return chart.rendered(whole, "audit", "Claimed epsilon and audited lower bound", caption)


def _row(one: Mapping[str, Any], bounds: Mapping[str, str], top: float, untried: str) -> dict[str, Any]:
    low, high = _bound(one, "low"), _bound(one, "high")
    return {
        **{"y": text.plain(one["name"]), "epsilon": one["epsilon"], "verdict": one["verdict"]},
        **{"low": min(low, top), "high": min(high, top), "tried": one["verdict"] != untried},
        **{"method": bounds.get(one["verdict"], ""), "proved": f"{text.number(low)} to {text.number(high)}"},
    }


def _bound(one: Mapping[str, Any], key: str) -> float:
    value = (one.get("audited") or {}).get(key)
    return float("inf") if value is None else float(value)
