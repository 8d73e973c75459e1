"""The chart of an audit: claimed epsilon beside the lower bound that attacks prove."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf, isfinite
from typing import Any

from expunge.charts import chart, style
from expunge.charts.rendering import rendered
from expunge.charts.strips import UPRIGHT, strips
from expunge.core import text
from expunge.record.folders.findings import BELOW, KNOWN, NOTHING, REFUTED, UNTRIED, VERDICTS

_COLOURS = {REFUTED: 1, KNOWN: 5, BELOW: 2, NOTHING: 7}
_CLAIMED = "claimed"
_CAPTION = (
    "Thick bar: the epsilon that the best of all attacks proves at the least, at the claimed delta (exact "
    "limits, 99% for all attacks on a method together). Thin line: on to the most that the same test can "
    "need. A bar beyond the diamond refutes the claim."
)


def draw(methods: Sequence[Mapping[str, Any]]) -> style.Drawn:
    """Draw for every method its claimed epsilon and what the audit proves."""
    ends = [end for one in methods for end in (one["epsilon"], _bound(one, "low")) if isfinite(end)]
    top = 1.15 * max(1.0, *ends)
    looks: dict[str, dict[str, Any]] = {}
    hues, rows = {}, []
    for verdict, colour in _COLOURS.items():
        if any(one["verdict"] == verdict for one in methods):
            looks[_bound_of(verdict)] = {"type": "tick", "shape": UPRIGHT, "thickness": 2.5, "size": 16}
            hues[_bound_of(verdict)] = style.SERIES[colour]
    looks[_CLAIMED] = {"shape": "diamond", "size": 60, "fill": style.PAPER, "stroke": style.INK}
    hues[_CLAIMED] = style.INK
    for one in methods:
        of = {"row": text.plain(one["name"])}
        low, high = _bound(one, "low"), _bound(one, "high")
        if one["verdict"] != UNTRIED:
            what = _bound_of(one["verdict"])
            own = {"what": what, "x": min(low, top), "to": min(high, top), "low": 0.0, "high": min(low, top)}
            rows.append({**of, **own, "value": f"{text.number(low)} to {text.number(high)}"})
        said = {"said": "no request was served"} if one["verdict"] == UNTRIED else {}
        rows.append({**of, "what": _CLAIMED, "x": one["epsilon"], **said})
    x = chart.axis("x", "epsilon", (0.0, top))
    whole = strips(rows, x, looks, hues, by="what", width=chart.WIDTH, step=24)
    return rendered(whole, "audit", "Claimed epsilon and audited lower bound", _CAPTION)


def _bound_of(verdict: str) -> str:
    return f"lower bound: {VERDICTS[verdict]}"


def _bound(one: Mapping[str, Any], key: str) -> float:
    value = (one.get("audited") or {}).get(key)
    return inf if value is None else float(value)
