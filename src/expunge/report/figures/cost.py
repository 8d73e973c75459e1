"""Time of every removal, a row a method, beside that of training again."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

import altair as alt

from expunge.report.figures import chart, drawing, strips, style
from expunge.report.read import text
from expunge.report.read.methods import Method, methods
from expunge.report.read.runs import Run
from expunge.report.tables.table_rows import removal_seconds, retrain_seconds

_GOLDEN = 0.6180339887
_WHAT = {"one removal": "circle", "median": "stroke", "retraining instead": "diamond"}


def draw_cost(runs: Sequence[Run]) -> style.Drawn | None:
    """Draw the time of every removal, a row a method, against retraining; None if nothing was removed."""
    everyone = methods(runs)
    every = drawing.having(everyone, lambda run: any(s > 0 for s in removal_seconds(run)))
    if not every:
        return None
    most = max(drawing.MOST_DOTS // len(every), 20)
    found = [
        (method, sorted(s for run in method.runs for s in removal_seconds(run) if s > 0)) for method in every
    ]
    rows = [row for method, times in found for row in _rows(method, times, runs, most)]
    title = "Time of one removal"
    said = "Each dot is one request that was carried out"
    if any(len(times) > most for _, times in found):
        said += f", {most} of a method at most, evenly picked from fastest to slowest"
    said += "; left out are requests that were refused, those after which a method that updates had to train "
    said += "again, and the first removal of a run of several, which may have compiled what the others use."
    if any(row["what"] == "retraining instead" for row in rows):
        said += " Retraining was measured by a run of a reference method on the same problem."
    if without := [method.label for method in everyone if method.label not in {row["row"] for row in rows}]:
        said += f" Without a removal, and so not drawn: {', '.join(without)}."
    return chart.rendered(_strips(rows, every), "cost", title, said)


def _rows(method: Method, times: Sequence[float], runs: Sequence[Run], most: int) -> list[dict[str, Any]]:
    """Return a method's times, their median, and where that was measured, the time of training again."""
    # Multiples of the golden ratio spread evenly and come out the same every time.
    dots = [
        {"x": drawing.short(s), "what": "one removal", "lane": drawing.short(place * _GOLDEN % 1)}
        for place, s in enumerate(drawing.thin(list(times), most))
    ]
    middle = median(times)
    found = [*dots, {"x": middle, "what": "median", "lane": 0.5, "said": text.seconds(middle)}]
    peers = ((run, retrain_seconds(run, runs)) for run in method.runs if run.role != "reference")
    again = [peer.seconds for run, peer in peers if peer and peer.seconds and peer.run not in (None, run)]
    if again:
        found.append({"x": median(again), "what": "retraining instead", "lane": 0.5})
    who = {"row": method.label, "seeds": drawing.seeds(method.runs)}
    return [{**who, **row} for row in found]


def _strips(rows: Sequence[dict[str, Any]], every: Sequence[Method]) -> Any:
    names = [method.label for method in every]
    low, high = min(row["x"] for row in rows), max(row["x"] for row in rows)
    x = strips.along(
        "wall time of a request (log scale; evaluation not included)",
        (low / 1.6, high * 1.6),
        True,
        chart.SECONDS,
    )
    lane = alt.YOffset("lane:Q", scale=dict(domain=[-0.35, 1.35]))
    shapes = {what: shape for what, shape in _WHAT.items() if any(row["what"] == what for row in rows)}
    look = {"symbolStrokeColor": style.INK, "symbolFillColor": "transparent", "symbolStrokeWidth": 1.4}
    scale = dict(domain=list(shapes), range=list(shapes.values()))
    shape = alt.Shape("what:N", scale=scale, legend=chart.legend(list(shapes), symbolType="circle", **look))
    tips = [alt.Tooltip("row:N", title="method"), alt.Tooltip("what:N"), alt.Tooltip("x:Q", title="seconds")]
    base = alt.Chart(chart.data(rows)).encode(
        x=x, y=strips.rows_axis(names), yOffset=lane, tooltip=[*tips, alt.Tooltip("seeds:N")]
    )
    dot = base.transform_filter("datum.what == 'one removal'").mark_point(filled=True, size=12, opacity=0.45)
    middle = base.transform_filter("datum.what == 'median'")
    again = base.transform_filter("datum.what == 'retraining instead'").mark_point(size=90, opacity=1)
    step = strips.step(names, 36)
    layers = [
        dot.encode(color=strips.colours(every), shape=shape),
        middle.mark_tick(size=0.6 * step, thickness=2, color=style.INK),
        middle.mark_text(dy=-0.3 * step - 6, fontSize=11, color=style.INK).encode(text="said:N"),
        again.encode(shape=shape, color=alt.value(style.INK), strokeWidth=alt.value(1.4)),
    ]
    return alt.layer(*layers).properties(width=chart.WIDTH - 120, height=step * len(names))
