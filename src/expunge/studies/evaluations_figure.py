"""The picture of ``evaluations``: each method by KLOM, the challenge's epsilon, U-LiRA and RULI's games."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from expunge.charts import chart, style
from expunge.charts.rendering import rendered
from expunge.core import text

_PANELS = {  # the evaluation -> its title, its axis
    "klom_forget": ("KLOM", "mean KLOM, forget set (nats)"),
    "epsilon": ("Challenge", "mean epsilon, forget set"),
    "ulira_auc": ("U-LiRA", "AUC, forget set"),
    "ruli_privacy_auc": ("RULI, privacy", "AUC, forget set"),
    "ruli_vulnerable_auc": ("RULI, privacy, vulnerable rows", "AUC, the fifth told best before unlearning"),
    "ruli_efficacy_auc": ("RULI, efficacy", "AUC, unlearned against retrained"),
}
_ROW = 3  # panels
_LABELS = {"random": "random rows", "neighbours": "a row and its nearest"}
_WIDE, _STEP = 210, 30


def draw(records: Sequence[dict[str, Any]], models: int) -> style.Drawn:
    """Draw a panel for each evaluation: a line for a method and way to train, a dot for each forget set."""
    sets = [name for name in _LABELS if any(record["forget_set"] == name for record in records)]
    labels = [_LABELS[name] for name in sets]
    order = list(dict.fromkeys(_line(record) for record in records))
    keys = list(_PANELS)
    panels = [_panel(key, records, labels, order, not keys.index(key) % _ROW) for key in keys]
    rows = [alt.hconcat(*panels[at : at + _ROW]) for at in range(0, len(panels), _ROW)]
    caption = (
        f"{models} models a method against {models} retrained ones; lines: 95% intervals. "
        "Grey: what exact unlearning has with so many models (95% of random splits, or of coins dealt anew). "
        "sgd: softmax heads; release: certified, noise at release."
    )
    return rendered(alt.vconcat(*rows), "evaluations", "Unlearned against retrained, many models", caption)


def _panel(
    key: str, records: Sequence[dict[str, Any]], labels: Sequence[str], order: Sequence[str], first: bool
) -> alt.LayerChart | alt.FacetChart:
    title, axis = _PANELS[key]
    rows = [
        {"y": _line(r), "method": _LABELS[r["forget_set"]], "x": x, "low": low, "high": high}
        for r in records
        for x, low, high in [r[key]]
        if x is not None and low is not None
    ]
    floors = [r["floor"][key] for r in records if "floor" in r]
    known = [one for one in floors if None not in one]
    band = [{"x": min(one[1] for one in known), "high": max(one[2] for one in known)}] if known else []
    ends = [v for row in (*rows, *band) for k, v in row.items() if k in ("x", "low", "high")] or [0.0, 1.0]
    room = 0.04 * (max(ends) - min(ends) or 1.0)
    across = alt.X(**chart.axis("x", axis, (min(ends) - room, max(ends) + room), tickCount=5))
    up = alt.Y(
        "y:N",
        title=None,
        sort=list(order),
        scale=alt.Scale(domain=list(order)),
        axis=alt.Axis(grid=True, labelLimit=0, labels=first, ticks=first),
    )
    colours = alt.Scale(domain=list(labels), range=list(style.SERIES[: len(labels)]))
    marks = alt.Scale(domain=list(labels), range=["circle", "diamond"][: len(labels)])
    legend = chart.legend(list(labels))
    colour = alt.Color("method:N", scale=colours, legend=legend)
    beside = alt.YOffset("method:N", scale=alt.Scale(domain=list(labels), paddingOuter=0.6))
    of = alt.Chart(chart.data(rows)).encode(y=up, yOffset=beside, color=colour, opacity=chart.picked())
    told = [
        alt.Tooltip("y:N", title="method"),
        alt.Tooltip("method:N", title="forget set"),
        *(alt.Tooltip(f"{k}:Q", title=t) for k, t in (("x", title), ("low", "from"), ("high", "to"))),
    ]
    return alt.layer(
        alt.Chart(chart.data(band)).mark_rect(color=style.MUTED, opacity=0.25).encode(x=across, x2="high"),
        of.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q"), x2="high"),
        of.mark_point(filled=True, size=50).encode(
            x=across, shape=alt.Shape("method:N", scale=marks, legend=legend), tooltip=told
        ),
    ).properties(width=_WIDE, height=_STEP * len(order), title=alt.Title(**chart.head(title)))


def _line(record: dict[str, Any]) -> str:
    return text.plain(f"{record['method']} ({record['training']})")
