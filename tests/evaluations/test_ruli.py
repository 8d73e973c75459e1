"""RULI: kernel densities by scipy's, closed forms, games with known answers, which rows are vulnerable."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.core.errors import InvalidValue
from expunge.evaluations import ulira
from expunge.evaluations.ruli import beside, likelihood_ratios, vulnerable
from expunge.evaluations.ulira import told
from tests.oracles import evaluations as naive


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), n=st.integers(3, 9), e=st.integers(1, 3))
def test_ratios_are_those_of_scipys_kernel_densities(seed, n, e):
    rng = np.random.default_rng(seed)
    phi, world = rng.normal(0, 3, (n, e)), rng.random((n, e)) < 0.5
    expected = [[naive.ruli(phi[:, j].tolist(), world[:, j], i) for j in range(e)] for i in range(n)]
    np.testing.assert_allclose(likelihood_ratios(phi, world), expected, rtol=1e-8, atol=1e-9)


def test_a_ratio_by_hand():
    """Two others on each side, at 1 and 3, and at -1 and -3, seen from 0 and from 1."""
    phi, world = np.array([[0.0], [1], [3], [-1], [-3]]), np.array([[True], [True], [True], [False], [False]])
    found = likelihood_ratios(phi, world)[:, 0]
    assert found[0] == pytest.approx(0, abs=1e-14), "as far from either"
    h = np.sqrt(2) * 2**-0.2
    density = [np.mean([np.exp(-(((1 - x) / w) ** 2) / 2) / w for x in own]) for own, w in (
        ((0, 3), np.std([0, 3], ddof=1) * 2**-0.2), ((-1, -3), h))]  # fmt: skip
    assert found[1] == pytest.approx(np.log(density[0] / density[1]), rel=1e-12)


def test_two_heaps_are_seen_where_a_gaussian_sees_one():
    """World 1 is at -3 or 3, world 0 as wide and at 0: means and variances say nothing."""
    rng = np.random.default_rng(0)
    world = np.tile(np.arange(80) < 40, (20, 1)).T
    heaps = rng.choice([-3.0, 3.0], (80, 20)) + 0.3 * rng.normal(size=(80, 20))
    phi = np.where(world, heaps, 3 * rng.normal(size=(80, 20)))
    by_heaps, by_one = (told(f(phi, world), world).auc for f in (likelihood_ratios, ulira.likelihood_ratios))
    assert by_heaps > by_one + 0.1


def test_games_with_known_answers():
    """Nothing to tell: a half. A shift of all rows: efficacy sees it, privacy does not."""
    rng = np.random.default_rng(1)
    one, other = rng.normal(size=(60, 30)), rng.normal(size=(60, 30))
    half = rng.permuted(np.tile(np.arange(30) < 15, (60, 1)), axis=1)
    assert abs(told(likelihood_ratios(one, half), half).auc - 0.5) < 0.05
    shifted, marks = beside(one + 5, other)
    assert marks.sum() == 60 * 30
    assert told(likelihood_ratios(shifted, marks), marks).auc > 0.99
    assert abs(told(likelihood_ratios(one + 5, half), half).auc - 0.5) < 0.05
    same, marks = beside(one, other)
    assert abs(told(likelihood_ratios(same, marks), marks).auc - 0.5) < 0.05


def test_vulnerable_rows_are_those_that_the_other_models_give_away():
    rng = np.random.default_rng(2)
    trained = rng.permuted(np.tile(np.arange(10) < 5, (40, 1)), axis=1)
    phi = rng.normal(size=(40, 10)) + 8 * trained * (np.arange(10) >= 8)
    assert (vulnerable(phi, trained, 0.2) == (np.arange(10) >= 8)).all()
    odd = phi.copy()
    odd[1::2] = rng.normal(size=(20, 10))  # what odd models say is changed: what is chosen for them is not
    np.testing.assert_array_equal(vulnerable(odd, trained)[1::2], vulnerable(phi, trained)[1::2])
    assert not np.array_equal(vulnerable(odd, trained), vulnerable(phi, trained))
    assert vulnerable(phi, trained, 0.01).sum() == 40, "one example at least"


def test_what_is_not_defined_is_nan_and_says_why(caplog):
    phi, world = (
        np.arange(8.0).reshape(4, 2),
        np.array([[True, True], [True, True], [False, True], [False, True]]),
    )
    found = likelihood_ratios(phi, world)
    assert np.isnan(found).all(), "a world of two models has one other"
    assert "ruli is not defined for 8 pairs" in caplog.text
    assert np.isnan(likelihood_ratios(np.ones((8, 1)), np.arange(8)[:, None] < 4)).all()
    with pytest.raises(InvalidValue, match="world"):
        likelihood_ratios(phi, world[:2])
