"""Last values by method: distances to the retrained model, alone or beside what that has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from expunge.charts import chart, style
from expunge.charts.chart import Spec
from expunge.charts.rendering import rendered
from expunge.charts.strips import HOLLOW, Looks, strips
from expunge.core import text
from expunge.core.intervals import interval
from expunge.record.folders.runs import Run
from expunge.report.figures import drawing
from expunge.report.figures.drawing import Keyed
from expunge.report.read.measured import lasting
from expunge.report.read.methods import Method, methods

_NARROW = 180  # pixels, of one of several panels
_OURS, _THEIRS = "the run", "the model retrained without the rows"
_ENDS: Looks = {_OURS: {"shape": "circle", "size": 60}, _THEIRS: HOLLOW}


def draw_distance(runs: Sequence[Run], columns: Sequence[Keyed], name: str) -> style.Drawn | None:
    """Draw last values alone or beside the retrained model's; None if no run has them."""
    columns = [keyed for keyed in columns if any(lasting(run, keyed.key) is not None for run in runs)]
    has = {keyed.key for keyed in columns}
    able = drawing.having(methods(runs), lambda run: any(lasting(run, key) is not None for key in has))
    if not able:
        return None
    groups = [[k for k in columns if bool(k.plot.against) is paired] for paired in (False, True)]
    looks = _ENDS if groups[1] else {_OURS: _ENDS[_OURS]}
    blocks = [
        chart.beside(
            [_last_panel(able, k, looks, i % chart.columns(len(own)) == 0) for i, k in enumerate(own)]
        )
        for own in groups
        if own
    ]
    said = f"{drawing.caption(columns, 'After the last request')}.{drawing.said(able, 'A mark', 'the bar')}"
    said += f" Diamonds are {_THEIRS}." * bool(groups[1])
    return rendered(chart.beside(blocks, 1), name, drawing.heading(columns), said)


def _last_panel(every: Sequence[Method], keyed: Keyed, looks: Looks, labelled: bool) -> Spec:
    """Return the rows of one number: the runs' last, and joined with it the retrained model's if there is."""
    key, column, plot = keyed
    share = column.format == "share"
    rows: list[dict[str, Any]] = []
    for method in every:
        last = [lasting(run, key) for run in method.runs]
        mine = _last(method, _OURS, [run.last(plot.against) for run in method.runs] if plot.against else last)
        theirs = _last(method, _THEIRS, last) if plot.against else {}
        if mine:
            said = text.share(mine["x"]) if share else text.number(mine["x"], 2)
            beside = {"to": theirs["x"]} if theirs else {} if plot.against else {"to": 0.0, "said": said}
            rows.append({**mine, **beside})
        rows += [theirs] if theirs else []
    found = [row[k] for row in rows for k in ("x", "low", "high") if k in row]
    low, high = min(found), max(found)
    # Never so narrow that noise looks like a difference; beside single values there is room for numbers.
    middle, half = (low / 2 + high / 2), max(0.56 * (high - low), 0.01)
    ends = (middle - half, middle + half) if plot.against else (min(0.0, low), 1.25 * high or 1.0)
    x = chart.axis("x", plot.unit, ends, labels=chart.SHARE if share else "", tickCount=4)
    panel = strips(rows, x, looks, drawing.hues(every), width=_NARROW, labelled=labelled)
    return {**panel, "title": chart.head(plot.title)}


def _last(method: Method, what: str, values: Sequence[float | None]) -> dict[str, Any]:
    """Return the mean of the runs' last values, and its interval if there is one; nothing where none is."""
    known = [value for value in values if value is not None]
    if not known:
        return {}
    mean, low, high = interval(known)
    row = {"row": method.label, "what": what, "x": mean, "seeds": drawing.seeds(method.runs)}
    return row | ({"low": low, "high": high} if low < high else {})
