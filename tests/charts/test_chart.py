"""Panels, ticks and pixels of a chart, whatever it shows."""

from __future__ import annotations

from io import BytesIO

import altair as alt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from expunge.charts import chart
from expunge.charts.rendering import converter, rendered


@pytest.mark.parametrize(("panels", "columns"), list(enumerate((1, 2, 3, 2, 3, 3, 2, 2, 3), 1)))
def test_panels_leave_no_quarter_of_a_picture_empty(panels, columns):
    assert chart.columns(panels) == columns
    assert -panels % columns <= max(1, panels / 4)


@given(st.floats(1e-300, 1e290), st.floats(1.0, 1e12))
def test_ticks_of_a_log_axis(low, more):
    ticks = chart.log_ticks(low, low * more)
    assert ticks == sorted(ticks)
    assert all(low <= tick <= low * more for tick in ticks)
    assert len(ticks) <= 40
    assert more < 1.5 or len(ticks) >= 2


def test_a_png_is_packed_and_has_every_pixel_of_the_converter():
    rows = [{"x": i, "y": i % 7, "method": "ab"[i % 2]} for i in range(50)]
    marks = alt.Chart(chart.data(rows)).mark_point(opacity=0.3)
    drawn = rendered(marks.encode(x="x:Q", y="y:Q", color="method:N"), "name", "title", "caption")
    raw = converter().svg_to_png(drawn.svg, scale=2)
    given, packed = (np.asarray(Image.open(BytesIO(png)).convert("RGBA")) for png in (raw, drawn.png))
    np.testing.assert_array_equal(packed, given)
    assert len(drawn.png) < len(raw) / 2


def test_long_names_lose_their_middles_unless_these_alone_tell_them_apart():
    start, end = "s" * 38, "e" * 37
    assert "labelExpr" in chart.legend([f"{start}, 1, {end}", "b"])
    assert "labelExpr" in chart.legend([f"{start}, 1, {end}"] * 2)
    assert "labelExpr" not in chart.legend([f"{start}, 1, {end}", f"{start}, 2, {end}"])
    assert "labelExpr" in chart.legend([f"{start}{k * 100}{end}" for k in ("1", "2")])
