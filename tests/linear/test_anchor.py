"""What is known of the loss at an anchor: its roundings, and what is no number."""

from dataclasses import replace
from fractions import Fraction
from math import inf, nan

import numpy as np
import pytest
from scipy.special import expit

from expunge.linear.anchor import Anchor, Departing
from expunge.linear.anchor_errors import AnchorErrors
from tests.problems import make


@pytest.mark.parametrize("score", [-2.55, -2.7])
def test_like_rows_that_leave_together_cost_no_more_than_they_are_charged(score):
    """In a single sum their roundings are alike too: up to 3.7 times what is charged, for these scores."""
    m, w, lam = 1 << 20, np.array([score]), 1e-3
    x, y = np.ones((m, 1)), np.ones(m)
    arrays = {"w": w, "gradient": np.zeros(1), "curvature": np.ones((1, 1)), "third": np.ones((1, 1))}
    anchor = Anchor.known(lam, 2 * m, AnchorErrors(1, 0.0, 0.0, 0.0), arrays)
    left = anchor.without(Departing(x, y))
    slope = float(expit(-x[:1] @ w)[0])
    off = abs(Fraction(float(left.gradient[0])) - m * (Fraction(slope) - Fraction(lam) * Fraction(score)))
    assert off < left.errors.gradient / 4
    assert (left.n, left.made, len(left.gone)) == (m, m, 0)


@pytest.mark.parametrize("matrix", ["curvature", "third"])
@pytest.mark.parametrize("bad", [nan, inf, -inf])
def test_no_bound_from_what_is_no_number(matrix, bad):
    problem = make(1, d=3, std=0.0)
    anchor = Anchor.of(problem, np.full(3, 0.1))
    damaged = replace(anchor, **{matrix: np.full((3, 3), bad)})
    step = np.full(3, 1e-3)
    assert anchor.bound(step, anchor.misfit(step)) < inf
    assert damaged.bound(step, anchor.misfit(step)) == inf
