"""Where the variance of a number comes from: a bar a method, in parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from expunge.charts import chart, style
from expunge.charts.chart import Spec
from expunge.charts.rendering import rendered
from expunge.core import text
from expunge.record.chance import LEVELS
from expunge.record.folders.runs import Run
from expunge.report.tables.over_seeds import by_method
from expunge.report.tables.variance import TITLE, Sources, sources

_STEP, _WIDTH = 30, 440  # pixels: of a row, of a panel
_TOLD = 0.07  # share from which on it is written into its part
_HUES = dict(zip(LEVELS.values(), style.SERIES, strict=False))
_TIPS = {"method": "of", "source": "chance in", "value": "share of the variance"}


def draw_variance(runs: Sequence[Run]) -> style.Drawn | None:
    """Draw the shares of original, unlearning and evaluation; None where no seed has several runs."""
    every = [
        one for one in sources(by_method(runs)) if any(part and part.share for part in one.found.components)
    ]
    if not every:
        return None
    panels: dict[str, list[Sources]] = {}
    for one in every:
        panels.setdefault(one.column.head, []).append(one)
    said = (
        "Shares of the variance of one run's number: chance in the original network, in the unlearning of "
        "one original, and in the evaluation of one unlearned model. Right of a bar stands the standard "
        "deviation of one run's number. A source that was not varied, or whose estimate is not above 0, has "
        "no part."
    )
    return rendered(chart.beside([_panel(*panel) for panel in panels.items()], 1), "variance", TITLE, said)


def _panel(title: str, every: Sequence[Sources]) -> Spec:
    rows = [row for one in every for row in _parts(one)]
    names = list(dict.fromkeys(row["method"] for row in rows))
    x = chart.axis("x", "share of the variance", (0, 1), labels=chart.SHARE)
    band = {"type": "band", "domain": names}
    label = {"labelExpr": chart.lines(34), "domain": False, "ticks": False, "labelLimit": 240}
    y: Spec = {"field": "method", "type": "nominal", "title": None, "scale": band, "axis": label}
    own: Spec = {
        "color": chart.coded("source", _HUES, symbolType="square"),
        "tooltip": chart.tips(_TIPS, rows),
    }
    middle = {"x": {**x, "field": "middle"}, "text": {"field": "said"}, "color": {"value": style.PAPER}}
    end = {"x": {"value": _WIDTH}, "text": {"field": "spread"}, "color": {"value": style.INK}}
    return {
        **{"width": _WIDTH, "height": _STEP * len(names), "title": chart.head(text.capital(title))},
        "data": chart.inline(rows),
        "encoding": {"y": y},
        "layer": [
            chart.layer("bar", {"height": {"band": 0.7}}, x=x, x2={"field": "to"}, **own),
            chart.layer("text", {"fontSize": 11, "fontWeight": "bold"}, f"datum.share >= {_TOLD}", **middle),
            chart.layer("text", {"fontSize": 11, "align": "left", "dx": 8}, "datum.first", **end),
        ],
    }


def _parts(of: Sources) -> list[dict[str, Any]]:
    """The parts of a bar, one after the other."""
    rows, at = list[dict[str, Any]](), 0.0
    for source, part in zip(LEVELS.values(), of.found.components, strict=True):
        if part is None or not part.share:
            continue
        ends = {"x": at, "to": at + part.share, "middle": at + part.share / 2, "share": part.share}
        words = text.share(part.share)
        own = {"method": of.method, "source": source, "value": words, "said": words}
        rows.append({**own, **ends, "first": not rows, "spread": f"sd {of.spread}"})
        at += part.share
    return rows
