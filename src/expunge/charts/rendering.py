"""How a chart becomes a figure: Vega-Lite, written as SVG and PNG, and live in a page."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from textwrap import wrap
from typing import Any

from expunge.charts.chart import BESIDE, HOVER, PICK, Spec
from expunge.charts.style import GRID, INK, MUTED, PAPER, SERIES, Drawn
from expunge.core.system_errors import require_addresses

_ADDRESSES = 96 << 30  # bytes; 68 were seen
_SCALE = 2  # pixels of the PNG a pixel of the chart
_TITLE = 72  # characters of a line of a title
CONFIG: Spec = {
    "font": "Liberation Sans, Arial, Helvetica, sans-serif",  # the first comes with the converter
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
        **{"labelLimit": 260, "labelOverlap": "parity", "labelSeparation": 6, "titlePadding": 8},
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


def converter() -> Any:
    """The module that makes files of charts: its JavaScript engine reserves addresses that it never uses.

    Raises:
        MemoryError: The process may not have so many (``ulimit -v``); the engine would end it.
    """
    require_addresses(_ADDRESSES, "for charts")
    import vl_convert

    return vl_convert


def rendered(chart: Any, name: str, title: str, caption: str) -> Drawn:
    """Return a chart as a figure; the same chart gives the same bytes on the same machine.

    Args:
        chart: Its specification, or a chart of Altair, without a configuration of its own.
        name: The name of its files.
        title: What it is, for those who do not see it; and in its head.
        caption: The sentences under it.
    """
    vl_convert = converter()

    spec = {**chart} if isinstance(chart, dict) else chart.to_dict(validate=False)
    spec.pop("$schema", None)  # an address, which nobody is to ask: who shows the chart knows what it is
    spec["config"] = CONFIG
    spec.setdefault("title", wrap(title, _TITLE))
    _pickable(spec)
    svg = vl_convert.vegalite_to_svg(_still(spec))
    return Drawn(name, title, caption, svg, _compact(vl_convert.svg_to_png(svg, scale=_SCALE)), spec)


def _compact(png: bytes) -> bytes:
    """The same pixels in far fewer bytes: the converter hardly packs them; no pixel shines through."""
    from PIL import Image

    packed = BytesIO()
    Image.open(BytesIO(png)).convert("RGB").save(packed, "PNG")
    return packed.getvalue()


def _pickable(spec: Spec) -> None:
    """Add the selection that ``picked`` speaks of, bound to the legend, to the panels whose marks use it."""
    names: list[str] = []
    for panel in _panels(spec):
        if f"'{PICK}'" in str(panel.get("encoding", panel.get("layer"))):
            names.append(f"panel_{len(names)}")
            _first_mark(panel)["name"] = names[-1]
    if names:
        select = {"type": "point", "fields": ["method"]}
        pick = {"name": PICK, "select": select, "bind": "legend", "views": names}
        spec["params"] = [*spec.get("params", []), pick]


def _panels(spec: Spec) -> Iterator[Spec]:
    """Yield what has axes of its own."""
    parts = next((spec[key] for key in BESIDE if key in spec), [spec["spec"]] if "spec" in spec else [])
    for part in parts:
        yield from _panels(part)
    if not parts:
        yield spec


def _first_mark(panel: Spec) -> Spec:
    return _first_mark(panel["layer"][0]) if "layer" in panel else panel


def _still(spec: Spec) -> Spec:
    """Return a specification without the marks that only carry a tooltip."""
    still = dict(spec)
    for key in ("layer", *BESIDE):
        if key in spec:
            still[key] = [_still(one) for one in spec[key] if f"'{HOVER}'" not in str(one.get("mark"))]
    return {**still, "spec": _still(spec["spec"])} if "spec" in spec else still
