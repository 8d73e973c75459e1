"""The parts of a chart as Vega-Lite has them: marks, axes, legends, and how panels stand side by side.

Specifications of a report are written out: Altair, which takes a third of a run's drawing time to import
and half of the rest to copy, is for the pictures of studies, and checks the specifications in the tests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import ceil, floor, isfinite, log10
from typing import Any

Spec = dict[str, Any]
"""A chart or a part of one, as Vega-Lite has it."""
WIDTH = 560  # pixels, of one panel; what stands side by side shares it
HEIGHT = 260
HOVER = "hover"
"""Style of marks that only carry a tooltip: the files, where nobody points at anything, are without them."""
PICK = "pick"
"""Name of the selection that a click on a legend makes."""
BESIDE = ("concat", "hconcat", "vconcat")
"""Where Vega-Lite has panels that stand beside one another."""


def _number(low: float, high: float) -> str:
    """Return the expression that writes numbers as ``core.text`` does, with exponents beyond these ends."""
    return (
        f"datum.value == 0 ? '0' : abs(datum.value) < {low} || abs(datum.value) >= {high}"
        " ? replace(format(datum.value, '.2~e'), '+', '')"
        " : format(datum.value, abs(datum.value) < 1000 ? '.6~r' : ',.6~r')"
    )


# Expressions for the labels of axes and legends.
NUMBER = _number(1e-3, 1e6)
WHOLE = f"datum.value % 1 ? '' : {NUMBER}"
SHARE = "datum.value == 0 ? '0' : format(datum.value, '.3~%')"
SECONDS = (
    "datum.value >= 1 ? format(datum.value, ',.3~r') + ' s'"
    " : replace(format(datum.value, '.3~s'), regexp('([a-zµ]?)$'), ' $1s')"
)
LONGEST = 76  # characters of a label, of which a longer one loses its middle; data and tooltips have it whole
_SHORT = "length(datum.label) > 76 ? slice(datum.label, 0, 38) + '…' + slice(datum.label, -37) : datum.label"

_FEW_TICKS = 4
_HUGE = 1e307  # what is larger by a margin is no number any more
_FLUSH = 4  # pixels from an axis's end, from which on a label does not stand out beyond it


def inline(rows: Iterable[Mapping[str, Any]]) -> Spec:
    """Return rows as the data of a chart; what is not finite is a gap.

    What names a field is ours, never from a file: Vega takes a name for a path, or an expression.
    """
    return {"values": tuple({key: _plain(value) for key, value in row.items()} for row in rows)}


def data(rows: Iterable[Mapping[str, Any]]) -> Any:
    """Return rows as ``inline`` does, for a chart of Altair."""
    from altair import InlineData

    return InlineData(**inline(rows))


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not isfinite(value) else value


def layer(mark: str, look: Mapping[str, Any] | None = None, only: str = "", **channels: Any) -> Spec:
    """Return a mark, how it looks, and its channels; an expression says of which rows ``only``."""
    of = {"transform": [{"filter": only}]} if only else {}
    return {**of, "mark": {"type": mark, **(look or {})}, "encoding": channels}


def axis(
    name: str, title: str, ends: Sequence[float], scale: str = "linear", labels: str = "", **look: Any
) -> Spec:
    """Return the channel of a number, from one end to the other, with plain numbers.

    Args:
        name: Of the field.
        title: What it is.
        ends: From where to where.
        scale: ``linear``, ``log``, or ``symlog``, which has a place for 0.
        labels: Expression that writes a number; else all of an axis are written alike.
        look: More of the axis.
    """
    ticks: Spec = {}
    room: Spec = {"zero": False} if scale == "linear" else {}
    if scale != "linear":
        none = [0.0] * (scale == "symlog")
        ticks["values"] = none + log_ticks(max(ends[0], 1.0) if none else ends[0], ends[1])
        alike = _number(1.0 if ends[0] < 1e-3 and not none else 1e-3, 1e3 if ends[1] >= 1e6 else 1e6)
    else:
        span = max(map(abs, ends)), abs(ends[1] / 2 - ends[0] / 2)
        alike = "datum.label" if span[0] < 1e6 and span[1] > 1e-4 else NUMBER
    return {
        **{"field": name, "type": "quantitative", "title": title or None},
        "scale": {"type": scale, "domain": list(ends), "nice": False, **room},
        "axis": {"labelExpr": labels or alike, "labelFlush": _FLUSH, **ticks, **look},
    }


def log_axis(name: str, title: str, values: Iterable[float]) -> Spec:
    """Return the channel of a number on a log scale, with room for all values, which are above 0."""
    return axis(name, title, log_ends(values), "log")


def log_ends(values: Iterable[float], least: float = 1.1) -> tuple[float, float]:
    """Return the ends of a log axis: beyond the values, above 0, by a part of their span or ``least``."""
    known = list(values)
    low, high = min(known), max(known)
    room = max((high / low) ** 0.04, least) if high / low < _HUGE else 10.0
    return low / room or low, min(high * room, _HUGE)


def coded(name: str, looks: Mapping[str, Any], told: bool = True, **more: Any) -> Spec:
    """Return the channel of a name by what each looks like; if it is ``told``, with a legend."""
    scale = {"type": "ordinal", "domain": list(looks), "range": list(looks.values())}
    return {
        "field": name,
        "type": "nominal",
        "scale": scale,
        "legend": legend(list(looks), **more) if told else None,
    }


def tips(titles: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> list[Spec]:
    """Return what a pointer is told of these rows: field -> its title; of ``value``, and what all have."""
    own = {name for name in titles if name == "value" or all(name in row for row in rows)}
    return [{"field": k, "type": "nominal", "title": v} for k, v in titles.items() if k in own]


def valued(name: str) -> Spec:
    """Return the transform that gives rows their ``value`` in words: a field, and its interval if known."""
    ends = "' [' + format(datum.low, '.6~r') + ', ' + format(datum.high, '.6~r') + ']'"
    number = f"format(datum.{name}, '.6~r') + (isValid(datum.low) ? {ends} : '')"
    return {"calculate": f"isValid(datum.value) ? datum.value : {number}", "as": "value"}


def dashed(of: Any, dashes: Mapping[str, Sequence[float]], **look: Any) -> list[Any]:
    """Return a layer of Altair for the lines of each ``method``; as one channel, dashes fray the legend."""
    every = ((of.transform_filter({"field": "method", "equal": name}), on) for name, on in dashes.items())
    return [one.mark_line(strokeDash=list(on), **look) for one, on in every]


def legend(names: Sequence[str], **more: Any) -> Spec:
    """Return a legend of these names under the chart, side by side as far as they fit.

    A click on one of them shows it alone where the chart has a selection that is bound to the legend. Names
    that would be the same without their middles keep them.
    """
    short = {name: name if len(name) <= LONGEST else (name[:38], name[-37:]) for name in names}
    longest = max(map(len, names), default=1)
    whole = len(set(short.values())) < len(short) and longest <= 2 * LONGEST  # else wider than any page
    own = {} if whole else {"labelExpr": _SHORT}
    columns = max(min(len(names), 640 // (7 * (min(longest, LONGEST) if own else longest) + 40)), 1)
    return {"columns": columns, **own, **more}


def lines(length: int) -> str:
    """Return the expression of a label in lines of so many characters, broken after commas if possible."""
    breaks = f"(.{{1,{length}}})(, | (?=\\\\()|$)|(.{{1,{length}}})( |$)|(.{{{length}}})"
    return f"split(slice(replace({_SHORT}, regexp('{breaks}', 'g'), '$1$2$3$4$5\\n'), 0, -1), '\\n')"


def log_ticks(low: float, high: float) -> list[float]:
    """Return round numbers for a log axis from ``low`` to ``high``, both positive: not too many of them."""
    decades = range(max(floor(log10(low)), -307), min(ceil(log10(high)), 308) + 1)
    found: list[float] = []
    for steps in ((1,), (1, 3), (1, 2, 5), range(1, 10), [k / 10 for k in range(10, 100)]):
        every = [step * 10.0**k for k in decades[:: max(1, len(decades) // 8)] for step in steps]
        if len(found) < _FEW_TICKS:
            found = [tick for tick in every if low <= tick <= high]
    return found


def picked(opacity: float = 1.0) -> Spec:
    """Return the opacity of marks that fade when a click on the legend picks another ``method``.

    ``rendering`` adds the selection that it speaks of.
    """
    return {"condition": {"param": PICK, "value": opacity}, "value": 0.12 * opacity}


def head(*words: str) -> Spec:
    """Return the title of a panel, above its axes whatever their labels: those of a row are at one height."""
    return {"text": list(words), "fontSize": 12, "offset": 6, "frame": "group"}


def columns(panels: int) -> int:
    """Return in how many columns panels leave the least empty: one row of three, five as three and two."""
    return 3 if panels % 3 == 0 or panels == 5 else min(panels, 2)


def beside(charts: Sequence[Spec], across: int = 0) -> Spec:
    """Return charts in so many columns, else as ``columns`` has it; one alone as it is."""
    if len(charts) == 1:
        return dict(charts[0])
    return {"concat": list(charts), "columns": across or columns(len(charts))}
