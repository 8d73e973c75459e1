"""A line through some of its places looks like the line through all of them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.charts.places import places, thinned


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([0.0, 1e-9, 1e-3, 0.5, 2.0]) | st.floats(1e-12, 1e6), min_size=1, max_size=400),
    st.integers(1, 20),
    st.booleans(),
)
def test_a_line_shows_what_was_measured(values, times, log):
    """Through its places to a pixel, or by the least and the most of each stretch; its ends are exact."""
    y = values * times
    rows = places({at: [value] for at, value in enumerate(y)}, log)
    x = [row["x"] for row in rows]
    assert x == sorted(x)
    assert len(rows) <= 101
    assert [rows[0]["y"] or 0, rows[-1]["y"] or 0] == pytest.approx([y[0], y[-1]], rel=1e-5)
    if len(rows) == len(y):
        return
    if "least" in rows[0]:
        assert all(row["least"] <= (row["y"] or 0) <= row["most"] for row in rows)
        assert min(row["least"] for row in rows) == pytest.approx(min(y), rel=1e-5)
        assert max(row["most"] for row in rows) == pytest.approx(max(y), rel=1e-5)
        assert "medians of 50 stretches" in thinned(rows)
        return
    known = np.array([value for value in y if value > 0 or not log])
    bend = np.log10 if log else np.asarray
    height = np.ptp(bend(known)) if len(known) else 0.0
    for one, other in pairwise(rows):
        if one["y"] is not None and other["y"] is not None:
            at = np.arange(int(one["x"]), int(other["x"]) + 1)
            drawn = np.interp(at, (one["x"], other["x"]), bend([one["y"], other["y"]]))
            measured = np.array(y)[at]
            assert (measured > 0).all() or not log
            assert np.abs(drawn - bend(measured)).max() <= 0.013 * height + 1e-5 * np.abs(drawn).max() + 1e-5


def test_a_budget_that_falls_is_drawn_to_its_last_request():
    budget = {at: [4e-6 * (1 - at / 11980) ** 0.5 + 1e-10] for at in range(1, 11981)}
    rows = places(budget, log=True)
    assert thinned(rows) == ""
    assert sum(row["x"] > 11900 for row in rows) >= 5
    assert [row["y"] for row in rows if row["x"] == 11980] == [pytest.approx(budget[11980][0], rel=1e-5)]


@given(st.lists(st.sampled_from([0.0, 0.5, 2.0]), min_size=25, max_size=60))
def test_zeros_are_gaps_of_a_log_axis_and_what_is_alone_has_a_mark(values):
    curve = {at: [value] for at, value in enumerate(values)}
    for place, (row, value) in enumerate(zip(places(curve, log=True), values, strict=True)):
        beside = [*values[max(place - 1, 0) : place], *values[place + 1 : place + 2]]
        assert row["y"] == (value or None)
        assert row.get("alone", False) == (value > 0 and not any(beside))
        assert ("mark" in row) == row.get("alone", False)
