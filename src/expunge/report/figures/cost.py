"""The time of every removal, beside that of training again."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from expunge.charts import chart, style
from expunge.charts.places import short, thin
from expunge.charts.rendering import rendered
from expunge.charts.strips import HOLLOW, UPRIGHT, Looks, strips
from expunge.core import text
from expunge.record.folders.runs import Run
from expunge.report.figures import drawing
from expunge.report.read.measured import removal_seconds, retrain_seconds
from expunge.report.read.methods import Method, methods

_ONE, _MEDIAN, _AGAIN = "one removal", "median", "retraining instead"
_STEP = 36  # pixels of a row
_TICK = {"type": "tick", "shape": UPRIGHT, "thickness": 2, "size": 0.6 * _STEP, "color": style.INK}
_TIMES: Looks = {_ONE: {"shape": "circle", "size": 12, "opacity": 0.45}, _MEDIAN: _TICK, _AGAIN: HOLLOW}
_GOLDEN = 0.6180339887


def draw_cost(runs: Sequence[Run]) -> style.Drawn | None:
    """Draw the time of every removal, a row a method, against retraining; None if nothing was removed."""
    everyone = methods(runs)
    every = drawing.having(everyone, lambda run: any(s > 0 for s in removal_seconds(run)))
    if not every:
        return None
    most = max(drawing.MOST_DOTS // len(every), 20)
    times = [sorted(s for run in method.runs for s in removal_seconds(run) if s > 0) for method in every]
    rows = [row for method, own in zip(every, times, strict=True) for row in _times(method, own, runs, most)]
    said = "Each dot is one request that was carried out"
    if any(len(own) > most for own in times):
        said += f", {most} of a method at most, evenly picked from fastest to slowest"
    said += "; left out are requests that were refused, those after which a method that updates had to train "
    said += "again, and the first removal of a run of several, which may have compiled what the others use."
    if any(row["what"] == _AGAIN for row in rows):
        said += " Retraining was measured by a run of a reference method on the same problem."
    if without := [method.label for method in everyone if method.label not in {row["row"] for row in rows}]:
        said += f" Without a removal, and so not drawn: {', '.join(without)}."
    title = "wall time of a request (log scale; evaluation not included)"
    ends = chart.log_ends((row["x"] for row in rows), 1.6)
    x = chart.axis("x", title, ends, "log", chart.SECONDS)
    lanes, words = {"domain": [-0.35, 1.35]}, {"dy": -0.3 * _STEP - 6}
    looks = {what: look for what, look in _TIMES.items() if any(row["what"] == what for row in rows)}
    whole = strips(rows, x, looks, drawing.hues(every), step=_STEP, lanes=lanes, words=words)
    return rendered(whole, "cost", "Time of one removal", said)


def _times(method: Method, times: Sequence[float], runs: Sequence[Run], most: int) -> list[dict[str, Any]]:
    """Return a method's times, their median, and where that was measured, the time of training again."""
    # Multiples of the golden ratio spread evenly and come out the same every time.
    rows: list[dict[str, Any]] = [
        {"x": short(s), "what": _ONE, "lane": short(place * _GOLDEN % 1)}
        for place, s in enumerate(thin(list(times), most))
    ]
    middle = median(times)
    rows.append({"x": middle, "what": _MEDIAN, "lane": 0.5, "said": text.seconds(middle)})
    peers = ((run, retrain_seconds(run, runs)) for run in method.runs if run.role != "reference")
    again = [peer.seconds for run, peer in peers if peer and peer.seconds and peer.run not in (None, run)]
    if again:
        rows.append({"x": median(again), "what": _AGAIN, "lane": 0.5})
    who = {"row": method.label, "seeds": drawing.seeds(method.runs)}
    return [{**who, **row} for row in rows]
