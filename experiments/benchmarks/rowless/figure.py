"""The picture: time of a removal against n, and removals between passes against n, lam and the noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from experiments.benchmarks import growth
from experiments.benchmarks.harness import Report
from experiments.benchmarks.rowless.between import ORDERS, TARGETS
from experiments.benchmarks.rowless.timing import AT_MOST_MS, METHODS
from expunge.charts import chart, style
from expunge.charts.rendering import rendered

TITLE = "Removals without the rows: their time, and how many between passes"
_DASHES = ([1, 0], [6, 3], [2, 2])  # of the data sets
_AXES = {"n": "training rows n", "lam": "lam", "std": "std of the noise"}
_WIDE = 270  # pixels of a panel


def draw(report: Report, name: str) -> style.Drawn:
    """Times, and where the report has them the removals between passes."""
    counted, caption = report.get("between"), "Median time of one removal of one row on one core, d = 384."
    panels = [_times(report["time"]["by_rows"])]
    if counted:
        tasks = [_task(run) for run in counted["runs"]]
        for key, label in _AXES.items():
            panels.append(_between(counted["runs" if key == "n" else f"by_{key}"], key, label, tasks))
        caption += " Removals between two passes: a triangle where 999 requests, all that 1,000 releases"
        caption += " allow, took none."
    whole = alt.concat(*panels, columns=chart.columns(len(panels))).resolve_scale(
        color="independent", shape="independent"
    )
    return rendered(whole, name, TITLE, caption)


def _times(found: Mapping[str, Any]) -> alt.LayerChart:
    lines = growth.panel(found, METHODS, "training rows n", ("ms per removal", 1e-3), [AT_MOST_MS], _WIDE, 1)
    most = {"x": found["sizes"][-1], "y": AT_MOST_MS, "words": f"{AT_MOST_MS:g} ms"}
    limit = alt.Chart(chart.data([most]))
    return alt.layer(
        lines,
        limit.mark_rule(color=style.MUTED, strokeDash=[2, 2]).encode(y="y:Q"),
        limit.mark_text(align="right", dy=-7, color=style.INK).encode(x="x:Q", y="y:Q", text="words:N"),
    )


def _between(runs: Sequence[dict[str, Any]], key: str, label: str, tasks: Sequence[str]) -> alt.LayerChart:
    orders = list(ORDERS)
    rows = [
        {
            **{"method": run["order"], "task": _task(run), "x": run[key], "y": max(1, run["between"])},
            "ended": "a pass" if run["passed_at"] else "none was needed",
        }
        for run in runs
    ]
    targets = [{"x": n, "y": least} for n, least in TARGETS.items()] if key == "n" else []
    every = [*rows, *targets]
    across = alt.X(**chart.log_axis("x", label, [row["x"] for row in every]))
    colours = alt.Scale(domain=orders, range=list(style.SERIES)[: len(orders)])
    named = list(dict.fromkeys(tasks))
    dashes = alt.Scale(domain=named, range=list(_DASHES)[: len(named)])
    ends = alt.Scale(domain=["a pass", "none was needed"], range=["circle", "triangle-up"])
    legends = key == "n"  # one panel's legends are those of all
    of = alt.Chart(chart.data(rows)).encode(
        x=across,
        y=alt.Y(**chart.log_axis("y", "removals between passes", [row["y"] for row in every])),
        color=alt.Color("method:N", scale=colours, legend=chart.legend(orders) if legends else None),
        detail="task:N",
        opacity=chart.picked(),
    )
    told = [alt.Tooltip(f"{field}:N") for field in ("method", "task", "x", "y", "ended")]
    layers = [
        of.mark_line().encode(
            strokeDash=alt.StrokeDash("task:N", scale=dashes, legend=chart.legend(named, columns=1))
        ),
        of.mark_point(filled=True, size=45).encode(
            shape=alt.Shape(
                "ended:N", scale=ends, legend=chart.legend(list(ends.domain)) if legends else None
            ),
            tooltip=told,
        ),
    ]
    if targets:
        least = alt.Chart(chart.data(targets)).encode(x="x:Q", y="y:Q")
        layers.append(least.mark_point(shape="cross", angle=45, size=80, filled=True, color=style.INK))
        layers.append(least.mark_text(text="at least", align="right", dx=-8, dy=-8, color=style.INK))
    return alt.layer(*layers).properties(width=_WIDE, height=220)


def _task(run: Mapping[str, Any]) -> str:
    return f"{run['task']}, d = {run['d']:,}"
