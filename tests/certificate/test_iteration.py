"""Amplification by iteration: against its equations, a solver, and profiles of true trajectories."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.certificate.guarantee import gaussian_profile
from expunge.certificate.iteration import IterationGuarantee, apart, within
from expunge.core.errors import InvalidValue
from tests.oracles import iteration as oracle

PLAN = {"radius": 0.5, "clip": 1.0, "lr": 0.05, "decay": 1.0, "steps": 12}


def planned(noise="float", dim=4, releases=2, **changes):
    return IterationGuarantee.planned(1.0, 1e-5, releases, noise, dim, **{**PLAN, **changes})


@settings(max_examples=20, deadline=None)
@given(
    st.floats(0, 1),
    st.floats(1e-3, 1e3),
    st.floats(1e-6, 10),
    st.integers(1, 60),
)
def test_the_distance_is_that_of_the_equation_and_never_below_it(a, start, drift, steps):
    found, k = apart(a, Fraction(start), Fraction(drift), steps)
    exact = oracle.mu(a, start, drift, steps, 1)
    assert float(found) >= exact
    assert float(found) <= float(exact) * (1 + 1e-12)
    assert 1 <= k <= steps


@pytest.mark.parametrize("a", [0.6, 0.95, 1.0])
@pytest.mark.parametrize(("start", "drift"), [(1.0, 0.0), (1.0, 0.1), (0.2, 0.5)])
def test_no_other_shifts_are_cheaper(a, start, drift):
    """The closed form is what a solver finds for each number of steps."""
    for steps in (1, 2, 5):
        powers = a ** np.arange(steps)
        closed = (a**steps * start + drift * powers.sum()) / np.sqrt((powers**2).sum())
        assert closed == pytest.approx(oracle.cheapest_shifts(a, start, drift, steps), rel=1e-4)


def test_one_step_is_the_gaussian_mechanism_and_no_decay_is_a_walk():
    assert float(apart(0.9, Fraction(2), Fraction(1, 4), 1)[0]) == pytest.approx(0.9 * 2 + 0.25)
    assert float(apart(1.0, Fraction(2), Fraction(0), 16)[0]) == pytest.approx(2 / 4)
    found, k = apart(1.0, Fraction(1), Fraction(1), 50)  # the drift of a second step costs more than it hides
    assert (float(found), k) == (2.0, 1)


@pytest.mark.parametrize("steps", [1, 4, 8])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_the_bound_holds_for_the_true_laws_of_a_loss_that_is_not_convex(steps, sign):
    """One weight, gradients of full length away from 0 (or towards it): profiles by quadrature.

    Away from 0 the two trajectories are driven apart as far as is covered, and little is left over.
    """
    lr, clip, decay, radius, std = 0.1, 1.0, 0.5, 0.6, 0.8
    points = np.linspace(-8, 8, 1201)

    def step(x):
        return (1 - lr * decay) * x + sign * lr * clip * np.sign(x)

    p, q = oracle.laws_of_one_weight(step, (radius, -radius), std, steps, points)
    mu = float(oracle.mu(1 - lr * decay, 2 * radius, 2 * lr * clip, steps, std))
    for epsilon in (0.0, 0.5, 1.0, 2.0):
        true = oracle.profile(p, q, epsilon, points[1] - points[0])
        claimed = gaussian_profile(epsilon, mu)
        assert true <= claimed * (1 + 1e-4)
        if sign > 0 and steps == 1:
            assert true == pytest.approx(claimed, rel=1e-3)  # tight


@pytest.mark.parametrize("noise", ["float", "lattice"])
def test_the_noise_keeps_the_promise_and_no_less_would(noise):
    plan = planned(noise, releases=4)
    assert plan.ratio <= plan.most
    assert plan.spent(4) <= 1.0
    assert plan.spent(4) > 0.999
    assert plan.spent(1) == 0.0  # the trained network is the same in both worlds
    assert plan.spent(2) < plan.spent(3) < plan.spent(4) < plan.spent(5)
    with pytest.raises(InvalidValue, match=r"^std: got .*, allowed: at least"):
        replace(plan, std=0.999 * plan.std)
    assert plan.gathered == pytest.approx(plan.std * np.sqrt(sum(0.95 ** (2 * j) for j in range(12))))


def test_the_lattice_costs_a_thousandth_at_most():
    one, other = planned("float"), planned("lattice")
    bare = float(oracle.mu(0.95, 1.0, 0.1, 12, other.std))
    assert bare < other.ratio < bare * (1 + 1 / 1024)
    assert one.std < other.std < 1.1 * one.std  # zCDP is what it costs more
    assert other.std / other.grid > 1000
    x = other.noisy(np.linspace(-1, 1, 4), None)
    assert np.array_equal(x, np.rint(x / other.grid) * other.grid)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=20), st.floats(1e-3, 1e3))
def test_nothing_is_longer_than_it_may_be_by_a_rounding(entries, most):
    found = within(np.array(entries), most)
    assert sum(Fraction(x) ** 2 for x in found.tolist()) <= Fraction(most) ** 2
    if np.linalg.norm(entries) < most * (1 - 1e-9):
        assert np.array_equal(found, entries)
    elif np.isfinite(np.linalg.norm(entries)):
        assert np.linalg.norm(found) == pytest.approx(most, rel=1e-9)


def test_what_is_no_number_has_no_direction():
    assert not within(np.array([1.0, np.nan]), 1.0).any()
    assert not within(np.array([1.0, np.inf]), 1.0).any()


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"radius": 0.0}, "radius: got 0.0, allowed: a finite number > 0"),
        ({"clip": 1e-200}, "clip: got 1e-200, allowed: at least 1e-100"),
        ({"steps": 0}, "steps: got 0, allowed: "),
        ({"releases": 1}, "releases: got 1, allowed: 2 or more"),
        ({"decay": 21.0}, "weight_decay: got 21.0, allowed: at most 1 / lr, which is 20"),
        ({"noise": "other"}, "noise: got 'other', allowed: "),
    ],
)
def test_settings_that_promise_nothing_are_refused(changes, line):
    with pytest.raises(InvalidValue) as error:
        planned(**changes)
    assert str(error.value).startswith(line)
