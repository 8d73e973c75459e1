"""One kind of chart: a row for each of what is compared, and marks along x; distances and times are such."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from expunge.core import text
from expunge.core.intervals import interval
from expunge.record.folders.runs import Run
from expunge.report.figures import chart, drawing, style
from expunge.report.figures.chart import Spec
from expunge.report.figures.drawing import Keyed
from expunge.report.read.methods import Method, methods
from expunge.report.tables.table_rows import lasting, removal_seconds, retrain_seconds

Row = Mapping[str, Any]
Looks = Mapping[str, Mapping[str, Any]]
"""What is marked -> its mark's properties, with a ``shape`` for the legend; ``color`` if not its row's."""

_LANE = 15  # pixels of a line of words
_LINE = 34  # characters of a line of a row's name
_BAR: Spec = {"strokeWidth": 6, "opacity": 0.3}
_KEY: Spec = {
    **{"symbolType": "circle", "symbolFillColor": style.MUTED, "symbolStrokeColor": style.MUTED},
    **{"symbolStrokeWidth": 0, "symbolSize": 120},
}
_WORDS = {"align": "left", "dx": 9}
_HALO = {"stroke": style.PAPER, "strokeWidth": 4, "strokeJoin": "round"}  # so that nothing strikes through
_NARROW = 180  # pixels, of one of several panels
_RING = "M0,-1L.75,0L0,1L-.75,0ZM0,-.68L-.51,0L0,.68L.51,0Z"  # a diamond with a hole
UPRIGHT = "M-.1,-1L.1,-1L.1,1L-.1,1Z"
_OURS, _THEIRS = "the run", "the model retrained without the rows"
_HOLLOW = {"shape": _RING, "size": 120, "color": style.INK}
_ENDS: Looks = {_OURS: {"shape": "circle", "size": 60}, _THEIRS: _HOLLOW}
_ONE, _MEDIAN, _AGAIN = "one removal", "median", "retraining instead"
_STEP = 36  # pixels of a row of times
_TICK = {"type": "tick", "shape": UPRIGHT, "thickness": 2, "size": 0.6 * _STEP, "color": style.INK}
_TIMES: Looks = {_ONE: {"shape": "circle", "size": 12, "opacity": 0.45}, _MEDIAN: _TICK, _AGAIN: _HOLLOW}
_GOLDEN = 0.6180339887
_TOLD = {"row": "of", "what": "what", "value": "value [95%]", "seeds": "seeds"}


def strips(
    rows: Sequence[Row],
    x: Spec,
    looks: Looks,
    hues: Mapping[str, str],
    *,
    by: str = "row",
    width: int = chart.WIDTH - 120,
    step: int = 28,
    labelled: bool = True,
    lanes: Spec | None = None,
    words: Mapping[str, Any] = _WORDS,
) -> Spec:
    """Return a panel of marks with their intervals, joined with what they are compared with, and numbers.

    Args:
        rows: ``row``, ``x``, ``what`` (one of ``looks``), and as known the interval ``low``, ``high``, ``to``
            for a line to there, ``said`` for words beside it, ``value`` for a pointer, ``seeds``, ``lane``.
        x: The axis along which they stand.
        looks: What is marked.
        hues: The colours of rows, or of what is marked.
        by: Which of the two.
        width: In pixels.
        step: The least height of a row, in pixels.
        labelled: Whether the rows have their names.
        lanes: The scale of ``lane``, if marks of a row do not stand at one height.
        words: How the words look.
    """
    names = list(dict.fromkeys(row["row"] for row in rows))
    look = {
        "labelExpr": chart.lines(_LINE),
        "domain": False,
        "ticks": False,
        "grid": True,
        "labels": labelled,
        "labelPadding": 10,
        "bandPosition": 0 if lanes else 0.5,  # of several marks a row, lines are between the rows
    }
    y: Spec = {"title": None, "axis": {**look, "labelLimit": 240, "labelOverlap": False}}
    y |= {"field": "row", "type": "nominal", "scale": {"type": "band", "domain": names}}
    colour = chart.coded(by, hues, by != "row", symbolType="circle")
    shape = chart.coded("what", {what: look["shape"] for what, look in looks.items()}, len(looks) > 1, **_KEY)
    if by != "row":
        shape["legend"] = colour["legend"]  # one legend of both
    fixed: Spec = {"color": {"value": style.INK}}
    layers = []
    if any("to" in row for row in rows):
        layers.append(chart.layer("rule", {"strokeWidth": 1.6}, "isValid(datum.to)", x2={"field": "to"}))
    if any("low" in row for row in rows):
        spread: Spec = {"x": {**x, "field": "low"}, "x2": {"field": "high"}}
        layers.append(chart.layer("rule", _BAR, "isValid(datum.low)", **spread))
    for place, (what, marked) in enumerate(looks.items()):
        own = {key: value for key, value in marked.items() if key not in ("type", "shape", "color")}
        kind = str(marked.get("type", "point"))
        more = {**(fixed if "color" in marked else {}), **({"shape": shape} if kind == "point" else {})}
        only, tips = f"datum.kind == {place}", chart.tips(_TOLD, [row for row in rows if row["what"] == what])
        layers.append(chart.layer(kind, {"opacity": 1, "filled": True, **own}, only, **more, tooltip=tips))
    if any("said" in row for row in rows):
        end: Spec = {"x": {**x, "field": "end"}, "text": {"field": "said"}, **fixed}
        written = {**words, "fontSize": 11}
        layers += [chart.layer("text", of, "isValid(datum.said)", **end) for of in (written | _HALO, written)]
    kinds = list(looks)
    lane: Spec = {"yOffset": {"field": "lane", "type": "quantitative", "scale": lanes}} if lanes else {}
    tall = _LANE * -(-min(max(map(len, names)), chart.LONGEST) // 25) + 6
    return {
        "width": width,
        "height": max(step, tall) * len(names),
        "data": chart.inline({**row, "kind": kinds.index(row["what"])} for row in rows),
        "transform": [
            chart.valued("x"),
            {"calculate": "isValid(datum.high) ? datum.high : datum.x", "as": "end"},
        ],
        "encoding": {"x": x, "y": y, "color": colour, **lane},
        "layer": layers,
    }


def hues(every: Sequence[Method]) -> dict[str, str]:
    """Return the colours of the methods by their labels."""
    return {method.label: style.SERIES[method.colour] for method in every}


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
    return chart.rendered(chart.beside(blocks, 1), name, drawing.heading(columns), said)


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
    panel = strips(rows, x, looks, hues(every), width=_NARROW, labelled=labelled)
    return {**panel, "title": chart.head(plot.title)}


def _last(method: Method, what: str, values: Sequence[float | None]) -> dict[str, Any]:
    """Return the mean of the runs' last values, and its interval if there is one; nothing where none is."""
    known = [value for value in values if value is not None]
    if not known:
        return {}
    mean, low, high = interval(known)
    row = {"row": method.label, "what": what, "x": mean, "seeds": drawing.seeds(method.runs)}
    return row | ({"low": low, "high": high} if low < high else {})


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
    whole = strips(rows, x, looks, hues(every), step=_STEP, lanes=lanes, words=words)
    return chart.rendered(whole, "cost", "Time of one removal", said)


def _times(method: Method, times: Sequence[float], runs: Sequence[Run], most: int) -> list[dict[str, Any]]:
    """Return a method's times, their median, and where that was measured, the time of training again."""
    # Multiples of the golden ratio spread evenly and come out the same every time.
    rows: list[dict[str, Any]] = [
        {"x": drawing.short(s), "what": _ONE, "lane": drawing.short(place * _GOLDEN % 1)}
        for place, s in enumerate(drawing.thin(list(times), most))
    ]
    middle = median(times)
    rows.append({"x": middle, "what": _MEDIAN, "lane": 0.5, "said": text.seconds(middle)})
    peers = ((run, retrain_seconds(run, runs)) for run in method.runs if run.role != "reference")
    again = [peer.seconds for run, peer in peers if peer and peer.seconds and peer.run not in (None, run)]
    if again:
        rows.append({"x": median(again), "what": _AGAIN, "lane": 0.5})
    who = {"row": method.label, "seeds": drawing.seeds(method.runs)}
    return [{**who, **row} for row in rows]
