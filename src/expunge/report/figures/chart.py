"""How charts look, and how they become files: Vega-Lite, written as SVG, PNG and PDF, live in the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from math import ceil, floor, isfinite, log10
from textwrap import wrap
from typing import Any

import altair as alt
from PIL import Image

from expunge.core.system_errors import require_addresses
from expunge.report.figures.style import GRID, INK, MUTED, PAPER, SERIES, Drawn

WIDTH = 560  # pixels, of one panel; what stands side by side shares it
HEIGHT = 260
HOVER = "hover"
"""Style of marks that only carry a tooltip: the files, where nobody points at anything, are without them."""

# Expressions for the labels of axes and legends: ours, and as ``read.text`` writes numbers.
NUMBER = (
    "datum.value == 0 ? '0' : abs(datum.value) < 0.001 || abs(datum.value) >= 1e6"
    " ? replace(format(datum.value, '.2~e'), '+', '')"
    " : format(datum.value, abs(datum.value) < 1000 ? '.6~r' : ',.6~r')"
)
SHARE = "datum.value == 0 ? '0' : format(datum.value, '.3~%')"
SECONDS = (
    "datum.value >= 7200 ? format(datum.value / 3600, ',.3~r') + ' h'"
    " : datum.value >= 120 ? format(datum.value / 60, '.3~r') + ' min'"
    " : datum.value >= 0.9995 ? format(datum.value, '.3~r') + ' s'"
    " : datum.value >= 0.0009995 ? format(datum.value * 1e3, '.3~r') + ' ms'"
    " : datum.value >= 9.995e-7 ? format(datum.value * 1e6, '.3~r') + ' µs'"
    " : format(datum.value, '.2~e') + ' s'"
)
LONGEST = 76  # characters of a label, of which a longer one loses its middle; data and tooltips have it whole
_SHORT = "length(datum.label) > 76 ? slice(datum.label, 0, 38) + '…' + slice(datum.label, -37) : datum.label"
_BREAKS = "(.{1,34})(, | (?=\\\\()|$)|(.{1,34})( |$)|(.{34})"
LINES = f"split(replace({_SHORT}, regexp('{_BREAKS}', 'g'), '$1$2$3$4$5\\n'), '\\n')"
"""A label in lines, beside an axis: broken after a comma or before a bracket where possible."""

_FONT = "Liberation Sans, Arial, Helvetica, sans-serif"  # the first comes with the converter
_PICK = "pick"
_BESIDE = ("concat", "hconcat", "vconcat")
_ADDRESSES = 96 << 30  # bytes; 68 were seen
_SCALE = 2  # pixels of the PNG a pixel of the chart
_FEW_TICKS, _MOST_TICKS = 4, 7
_TITLE = 72  # characters of a line of a title
CONFIG: dict[str, Any] = {
    "font": _FONT,
    "background": PAPER,
    "view": {"stroke": None},
    "padding": 10,
    "concat": {"spacing": 28},
    "title": {
        **{"color": INK, "fontSize": 14, "anchor": "start", "subtitleColor": MUTED},
        **{"frame": "bounds", "offset": 12},
    },
    "header": {"labelColor": INK, "titleColor": INK, "labelFontSize": 12, "labelFontWeight": "bold"},
    "axis": {
        **{"labelColor": INK, "titleColor": INK, "titleFontWeight": "normal", "domainColor": MUTED},
        **{"tickColor": MUTED, "gridColor": GRID, "labelFontSize": 11, "titleFontSize": 12},
        **{"labelLimit": 260, "labelOverlap": "greedy", "titlePadding": 8},
    },
    "legend": {
        **{"labelColor": INK, "titleColor": INK, "orient": "bottom", "labelFontSize": 12, "title": None},
        **{"labelLimit": 0, "symbolStrokeWidth": 3, "titleLimit": 0, "columnPadding": 18},
        **{"symbolOpacity": 1, "symbolType": "stroke"},
        "layout": {"bottom": {"direction": "vertical", "anchor": "start"}},
    },
    "line": {"strokeWidth": 2},
    "style": {HOVER: {"opacity": 0, "size": 80, "filled": True}},
    "range": {"category": list(SERIES)},
}


def data(rows: Sequence[Mapping[str, Any]]) -> alt.InlineData:
    """Return rows as the data of a chart; what is not finite is a gap.

    What names a field is ours, never from a file: Vega takes a name for a path, or an expression. The rows
    are a tuple, which charts share; a list they would copy at every step.
    """
    return alt.InlineData(values=tuple({key: _plain(value) for key, value in row.items()} for row in rows))


def legend(names: Sequence[str], **more: Any) -> dict[str, Any]:
    """Return a legend of these names under the chart, side by side as far as they fit.

    A click on one of them shows it alone where the chart has a selection that is bound to the legend.
    """
    longest = min(max(map(len, names), default=1), LONGEST)
    columns = max(min(len(names), 640 // (7 * longest + 40)), 1)
    return {"columns": columns, "labelExpr": _SHORT, **more}


def log_ticks(low: float, high: float) -> list[float]:
    """Return round numbers for a log axis from ``low`` to ``high``, both positive: not too many of them."""
    decades = range(max(floor(log10(low)), -307), min(ceil(log10(high)), 308) + 1)
    found: list[float] = []
    for steps in ((1,), (1, 3), (1, 2, 5), range(1, 10), [k / 10 for k in range(10, 100)]):
        every = [step * 10.0**k for k in decades[:: max(1, len(decades) // 8)] for step in steps]
        if len(found) < _FEW_TICKS:
            found = [tick for tick in every if low <= tick <= high]
    return found


def whole_ticks(low: float, high: float) -> list[int]:
    """Return whole numbers for an axis, a few: neighbours, or multiples of 2, 5, 10, 20, ..."""
    steps = (step * 10**k for k in range(300) for step in (1, 2, 5))
    step = next(step for step in steps if (high - low) / step <= _MOST_TICKS)
    return list(range(ceil(low / step) * step, floor(high) + 1, step))


def picked(opacity: float = 1.0) -> Any:
    """Return the opacity of marks that fade when a click on the legend picks another ``method``.

    It is a condition for ``encode(opacity=...)``; ``rendered`` adds the selection that it speaks of.
    """
    return alt.when({"param": _PICK}).then(alt.value(opacity)).otherwise(alt.value(0.12 * opacity))


def converter() -> Any:
    """The module that makes files of charts: its JavaScript engine reserves addresses that it never uses.

    Raises:
        MemoryError: The process may not have so many (``ulimit -v``); the engine would end it.
    """
    require_addresses(_ADDRESSES, "for charts")
    import vl_convert

    return vl_convert


def rendered(chart: alt.TopLevelMixin, name: str, title: str, caption: str) -> Drawn:
    """Return a chart as a figure; the same chart gives the same bytes on the same machine.

    Args:
        chart: The chart, without a configuration of its own.
        name: The name of its files.
        title: What it is, for those who do not see it; and in its head.
        caption: The sentences under it.
    """
    vl_convert = converter()

    spec = chart.to_dict(validate=False)
    del spec["$schema"]  # an address, which nobody is to ask: who shows the chart knows what it is
    spec["config"] = CONFIG
    spec["datasets"] = {key: list(rows) for key, rows in spec.get("datasets", {}).items()}
    spec.setdefault("title", wrap(title, _TITLE))
    _pickable(spec)
    svg = vl_convert.vegalite_to_svg(_still(spec))
    return Drawn(name, title, caption, svg, _compact(vl_convert.svg_to_png(svg, scale=_SCALE)), spec)


def _compact(png: bytes) -> bytes:
    """The same pixels in far fewer bytes: the converter hardly packs them; no pixel shines through."""
    packed = BytesIO()
    Image.open(BytesIO(png)).convert("RGB").save(packed, "PNG")
    return packed.getvalue()


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not isfinite(value) else value


def _pickable(spec: dict[str, Any]) -> None:
    """Add the selection that ``picked`` speaks of, bound to the legend, to the panels whose marks use it.

    Altair would give each panel one of the same name and warn of it.
    """
    units = [_first_mark(panel) for panel in _panels(spec) if f"'{_PICK}'" in str(panel)]
    for place, unit in enumerate(units):
        unit["name"] = f"panel_{place}"
    if units:
        select = {"type": "point", "fields": ["method"]}
        pick = {"name": _PICK, "select": select, "bind": "legend", "views": [unit["name"] for unit in units]}
        spec["params"] = [*spec.get("params", []), pick]


def _panels(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what has axes of its own."""
    for key in _BESIDE:
        if key in spec:
            return [unit for panel in spec[key] for unit in _panels(panel)]
    return _panels(spec["spec"]) if "spec" in spec else [spec]


def _first_mark(panel: dict[str, Any]) -> dict[str, Any]:
    return _first_mark(panel["layer"][0]) if "layer" in panel else panel


def _still(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a specification without the marks that only carry a tooltip."""
    still = dict(spec)
    for key in ("layer", *_BESIDE):
        if key in spec:
            still[key] = [_still(one) for one in spec[key] if not _hovers(one)]
    return {**still, "spec": _still(spec["spec"])} if "spec" in spec else still


def _hovers(layer: Mapping[str, Any]) -> bool:
    mark = layer.get("mark")
    return isinstance(mark, dict) and mark.get("style") == HOVER
