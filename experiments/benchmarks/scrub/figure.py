"""The picture of one scrub: seconds of each stage, ours and published, and of each network."""

from __future__ import annotations

from typing import Any

import altair as alt

from experiments.benchmarks.scrub.ours import GUARD, STAGES
from experiments.benchmarks.scrub.tables import WHAT
from experiments.benchmarks.tables import short, times
from expunge.charts import chart, style
from expunge.charts.rendering import rendered

OURS, PUBLISHED = "ours", "published order of work"
_STEP = 26  # pixels of a stage or network
_WIDE = 280


def draw(report: dict[str, Any], name: str) -> style.Drawn:
    """Stages against the published order of work, and beside it, if they were measured, the networks."""
    families = report.get("families")
    caption = "Median seconds of the stages of one scrub" + (
        "; left against the published order of work, right ours on other networks." if families else "."
    )
    panels = [_stages(report["stages"]), *([_families(families["rows"])] if families else [])]
    whole = alt.hconcat(*panels).resolve_scale(color="independent")
    return rendered(whole, name, "Time of one scrub", caption)


def _stages(part: dict[str, Any]) -> alt.LayerChart:
    stages = [(WHAT[row["stage"]], row) for row in part["stages"]]
    stages.append(("whole scrub", part["whole"]))
    rows, pairs = [], []
    for label, row in stages:
        rows.append({"y": label, "method": OURS, "x": row["ours"]["median"]})
        if "published" in row:
            theirs = row["published"]["median"]
            rows.append({"y": label, "method": PUBLISHED, "x": theirs})
            pairs.append(
                {"y": label, "x": row["ours"]["median"], "far": theirs, "words": times(row["ratio"])}
            )
    seconds = [row["x"] for row in rows]
    across = alt.X(
        **chart.log_axis(
            "x", f"seconds ({part['family']}, {part['copies']:,} copies)", [*seconds, 3 * max(seconds)]
        )
    )
    up = alt.Y("y:N", title=None, sort=[label for label, _ in stages])
    both = alt.Chart(chart.data(pairs)).encode(y=up)
    scale = alt.Scale(domain=[OURS, PUBLISHED], range=list(style.SERIES[:2]))
    return alt.layer(
        both.mark_rule(color=style.MUTED, strokeWidth=1.5).encode(x=across, x2="far"),
        alt.Chart(chart.data(rows))
        .mark_point(filled=True, size=60)
        .encode(
            x=across,
            y=up,
            color=alt.Color(
                "method:N", scale=scale, legend=chart.legend([OURS, PUBLISHED], symbolType="circle")
            ),
            tooltip=["y:N", "method:N", "x:Q"],
            opacity=chart.picked(),
        ),
        both.mark_text(align="left", dx=7, color=style.INK).encode(x="far:Q", text="words:N"),
    ).properties(width=_WIDE, height=alt.Step(_STEP))


def _families(rows: list[dict[str, Any]]) -> alt.LayerChart:
    stages = [WHAT[stage] for stage in (*STAGES, GUARD)]
    parts = [
        {"y": row["family"], "method": WHAT[stage], "x": row["seconds"][stage], "place": place}
        for row in rows
        for place, stage in enumerate((*STAGES, GUARD))
    ]
    totals = [
        {"y": row["family"], "x": sum(row["seconds"][stage] for stage in (*STAGES, GUARD))} for row in rows
    ]
    ends = alt.Scale(domain=[0, 1.15 * max(row["x"] for row in totals)], nice=False)
    up = alt.Y("y:N", title=None, sort=[row["family"] for row in rows])
    scale = alt.Scale(domain=stages, range=list(style.SERIES)[: len(stages)])
    said = alt.Chart(chart.data([{**row, "words": short(row["x"])} for row in totals]))
    return alt.layer(
        alt.Chart(chart.data(parts))
        .mark_bar(height={"band": 0.7})
        .encode(
            x=alt.X("x:Q", title="seconds", scale=ends),
            y=up,
            color=alt.Color(
                "method:N", scale=scale, legend=chart.legend(stages, columns=2, symbolType="square")
            ),
            order="place:Q",
            tooltip=["y:N", "method:N", "x:Q"],
            opacity=chart.picked(),
        ),
        said.mark_text(align="left", dx=4, color=style.INK).encode(x="x:Q", y=up, text="words:N"),
    ).properties(width=_WIDE, height=alt.Step(_STEP))
