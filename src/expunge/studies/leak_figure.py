"""The picture of ``leak``: delta needed against epsilon, and what was claimed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import numpy as np

from expunge.certificate.empirical import Curve
from expunge.charts import chart, style
from expunge.charts.rendering import rendered
from expunge.core import text
from expunge.linear.rows import Array

_PANELS = {
    "Published: the decision tells": {
        "retrain": "retrains at the limit",
        "refuse": "refuses at the limit",
        "corrected": "corrected updates",
    },
    "Published: the residual depends on b": {
        "rounded": "u = b - round(b)",
        "away": "u = -budget sign(b)",
        "constant": "u constant",
    },
    "Noise at release": {
        "edge": "likelihood ratio, w~ at the edge",
        "all": "likelihood ratio, all releases",
        "one": "likelihood ratio, one release",
        "replay": "would the published have retrained?",
    },
}
_FLOOR, _TOP = 1e-5, 1.6
_MARKS = ("circle", "square", "triangle-up", "diamond")
_STAR = (
    "M0,-1L0.224,-0.309L0.951,-0.309L0.363,0.118L0.588,0.809L0,0.382"
    "L-0.588,0.809L-0.363,0.118L-0.951,-0.309L-0.224,-0.309Z"
)
_CLAIMED = "claimed"
_WIDE, _HIGH = 290, 300
_EACH = 5  # of the places along a curve one in so many is marked


def draw(curves: Mapping[str, Curve], epsilons: Array, claim: Mapping[str, float], draws: int) -> style.Drawn:
    """Draw a panel for each kind of attack, all with the same axes, and in each what was claimed.

    ``curves``: attack -> what it found at ``epsilons``; ``claim``: epsilon and delta; ``draws``: pairs.
    """
    panels = [_panel(title, labels, curves, epsilons, claim) for title, labels in _PANELS.items()]
    whole = alt.hconcat(*panels).resolve_scale(color="independent", shape="independent")
    at = f"epsilon {text.number(claim['epsilon'])}, delta {text.number(claim['delta'])}"
    caption = (
        f"{draws:,} pairs. Thick: the estimate, where it is above 0. Thin: the most that it can "
        "be; shaded: down to the least, where that is above 0 (exact 99% limits). "
        f"Star: what is promised, {at}. The second panel is exact."
    )
    return rendered(whole, "leak", "Delta needed against epsilon, and claimed", caption)


def _panel(
    title: str,
    labels: Mapping[str, str],
    curves: Mapping[str, Curve],
    epsilons: Array,
    claim: Mapping[str, float],
) -> alt.LayerChart | alt.FacetChart:
    rows = [
        row
        for k, (name, label) in enumerate(labels.items())
        for row in _rows(curves[name], epsilons, k, label)
    ]
    claimed = max((curves[name].claimed for name in labels), key=lambda values: float(values.sum()))
    rows += [{"method": _CLAIMED, "x": x, "y": y} for x, y in zip(epsilons, claimed, strict=True) if y > 0]
    names = [*labels.values(), _CLAIMED]
    own: dict[str, Any] = {"legend": chart.legend(names, columns=1)}
    colour = alt.Scale(domain=names, range=[*style.SERIES[: len(labels)], style.INK])
    dashes = {name: [6, 3] if name == _CLAIMED else [1, 0] for name in names}
    up = alt.Scale(type="log", domain=[_FLOOR, _TOP], nice=False)
    ticks = alt.Axis(values=chart.log_ticks(_FLOOR, _TOP), labelExpr=chart.NUMBER)
    across = alt.Scale(domain=[0, float(epsilons[-1])], nice=False)
    of = alt.Chart(chart.data(rows)).encode(
        x=alt.X("x:Q", title="epsilon", scale=across),
        y=alt.Y("y:Q", title="delta needed (log scale)", scale=up, axis=ticks),
        color=alt.Color("method:N", scale=colour, **own),
        opacity=chart.picked(),
    )
    promise = alt.Chart(chart.data([{"x": claim["epsilon"], "y": claim["delta"]}]))
    told = [alt.Tooltip("method:N"), alt.Tooltip("x:Q", title="epsilon"), alt.Tooltip("y:Q", title="delta")]
    marks = alt.Scale(domain=names, range=[*_MARKS[: len(labels)], "stroke"])
    return alt.layer(
        of.mark_area(clip=True)
        .encode(y="low:Q", y2="high", opacity=chart.picked(0.15))
        .transform_filter("datum.low > 0"),
        of.mark_line(strokeWidth=1, clip=True).encode(y="high:Q").transform_filter("isValid(datum.high)"),
        *chart.dashed(of, dashes, clip=True),
        of.mark_point(filled=True, size=36)
        .encode(shape=alt.Shape("method:N", scale=marks, **own), tooltip=told)
        .transform_filter("datum.marked"),
        promise.mark_point(shape=_STAR, filled=True, size=260, color=style.INK, opacity=1).encode(
            x="x:Q", y="y:Q"
        ),
    ).properties(width=_WIDE, height=_HIGH, title=alt.Title(**chart.head(title)))


def _rows(curve: Curve, epsilons: Array, place: int, label: str) -> list[dict[str, Any]]:
    """Return the points of a curve; what is not above 0 is a gap, and exact ones have no limits."""
    needed = curve.needed
    exact = np.array_equal(needed.low, needed.high)
    return [
        {
            **{
                "method": label,
                "x": x,
                "y": y if y > 0 else None,
                "marked": bool(y >= _FLOOR and i % _EACH == place),
            },
            **({} if exact else {"low": max(low, _FLOOR / 10) if low > 0 else None, "high": high}),
        }
        for i, (x, y, low, high) in enumerate(
            zip(
                epsilons.tolist(),
                needed.estimate.tolist(),
                needed.low.tolist(),
                needed.high.tolist(),
                strict=True,
            )
        )
    ]
