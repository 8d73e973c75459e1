"""Evaluations over many models: closed forms, naive computations, and what is not defined."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax
from scipy.stats import norm

from expunge.core.errors import InvalidValue
from expunge.evaluations.challenge import epsilons, final_score, score
from expunge.evaluations.klom import klom
from expunge.evaluations.margins import margins
from expunge.evaluations.ulira import likelihood_ratios, told
from expunge.metrics.divergence import js_divergence, kl_divergence
from tests.oracles import evaluations as naive


@st.composite
def groups(draw):
    """Margins of two groups of models, now and then with ties, and far off."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, m, e = draw(st.integers(2, 9)), draw(st.integers(2, 9)), draw(st.integers(1, 4))
    scale, digits = draw(st.sampled_from([1e-3, 1.0, 80.0])), draw(st.sampled_from([0, 1, 9]))
    shift = draw(st.sampled_from([0.0, 1.0, 5.0]))
    return np.round(scale * rng.normal(shift, 1, (n, e)), digits), np.round(
        scale * rng.normal(size=(m, e)), digits
    )


# -- margins --------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 10**6), k=st.integers(2, 6))
def test_the_margin_is_phi_of_the_softmax(seed, k):
    rng = np.random.default_rng(seed)
    z, y = rng.normal(size=(3, 5, k)), rng.integers(0, k, 5)
    p = np.exp(log_softmax(z, axis=-1))[:, np.arange(5), y]
    np.testing.assert_allclose(margins(z, y), np.log(p) - np.log1p(-p), rtol=1e-9, atol=1e-12)


def test_of_two_classes_the_margin_is_the_difference():
    assert margins(np.array([[800.0, -3.0], [2.0, 5.0]]), np.array([0, 0])).tolist() == [803.0, -3.0]
    with pytest.raises(InvalidValue, match="logits"):
        margins(np.zeros((2, 3)), np.zeros(3, dtype=int))


# -- KLOM -----------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(two=groups())
def test_klom_is_the_naive_one(two):
    expected = [naive.klom(u.tolist(), r.tolist()) for u, r in zip(two[0].T, two[1].T, strict=True)]
    np.testing.assert_allclose(klom(*two), expected, rtol=1e-12, atol=1e-14)


def test_klom_in_closed_form():
    """Half of p where q is a quarter; all of p where q is nothing; the largest counts; one bin; clipped."""
    u, r = np.array([0.0, 0, 20, 20]), np.array([0.0, 0, 0, 20])
    both = 0.5 * log(0.5 / 0.75) + 0.5 * log(0.5 / 0.25)
    assert klom(u[:, None], r[:, None])[0] == pytest.approx(both)
    assert klom(np.ones((3, 1)), np.zeros((2, 1)))[0] == pytest.approx(log(1e5))
    assert klom(np.ones((3, 1)), np.ones((2, 1)))[0] == 0
    assert klom(np.full((3, 1), 300.0), np.full((3, 1), 100.0))[0] == 0


def test_klom_without_models_or_numbers_is_nan_and_says_why(caplog):
    assert np.isnan(klom(np.empty((0, 2)), np.zeros((3, 2)))).all()
    found = klom(np.array([[0.0, np.nan]]), np.zeros((3, 2)))
    assert found[0] == 0
    assert np.isnan(found[1])
    assert "klom is not defined for 1 examples" in caplog.text
    with pytest.raises(InvalidValue, match="retrained"):
        klom(np.zeros((3, 2)), np.zeros((3, 1)))


# -- challenge ------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(two=groups(), delta=st.sampled_from([0.0, 1e-5, 0.1]))
def test_epsilon_is_the_naive_one(two, delta):
    expected = [naive.epsilon(u.tolist(), r.tolist(), delta) for u, r in zip(two[0].T, two[1].T, strict=True)]
    np.testing.assert_allclose(epsilons(*two, delta), expected, rtol=1e-9, atol=1e-12)


def test_epsilon_in_closed_form():
    """Apart: 50. One of four on the other's side, each: log 3. Two thresholds find what one does not."""
    apart = np.arange(4.0)[:, None]
    assert epsilons(apart, apart + 10)[0] == 50
    one = np.array([0, 1, 2, 9.0])[:, None], np.array([1.5, 8, 10, 11])[:, None]
    assert epsilons(*one, 0.0)[0] == pytest.approx(log(3))
    middle = np.array([4, 4.2, 4.4, 9.5])[:, None], np.array([0, 4.1, 9, 10.0])[:, None]
    assert epsilons(*middle, 0.0)[0] == pytest.approx(log(3))
    assert epsilons(np.zeros((4, 1)), apart)[0] == 50  # without a range beside one that has one


def test_epsilon_of_equal_numbers_is_nan_and_says_why(caplog):
    assert np.isnan(epsilons(np.ones((4, 1)), np.ones((4, 1)))).all()
    assert np.isnan(epsilons(np.ones((1, 1)), np.zeros((4, 1)))).all()
    assert "challenge epsilon is not defined for 1 examples" in caplog.text


def test_score_in_closed_form():
    """A half for each half of epsilon, nothing from ceil(log(N - 1)) on; accuracies multiply."""
    assert score(np.array([0.0, 0.49, 0.5, 1.2, 6.9, 7.0, 50.0]), 512) == pytest.approx(
        (1 + 1 + 0.5 + 0.25 + 2.0**-13) / 7
    )
    assert final_score(0.5, (0.9, 1.0), (0.4, 0.8)) == pytest.approx(0.225)
    assert np.isnan(score(np.array([np.nan]), 512))
    assert np.isnan(final_score(0.5, (0.9, 0.0), (0.4, 0.8)))


# -- U-LiRA ---------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 9), e=st.integers(1, 4), ties=st.booleans())
def test_ratios_and_auc_are_the_naive_ones(seed, n, e, ties):
    rng = np.random.default_rng(seed)
    phi, trained = rng.normal(size=(n, e)), rng.random((n, e)) < 0.5
    phi = np.round(phi) if ties else phi
    ratio = likelihood_ratios(phi, trained)
    pairs = [(i, k) for i in range(n) for k in range(e)]
    expected = [naive.ratio(phi[:, k].tolist(), trained[:, k].tolist(), i) for i, k in pairs]
    np.testing.assert_allclose(ratio.ravel(), expected, rtol=1e-6, atol=1e-9)
    known = ~np.isnan(ratio)
    inside, outside = ratio[known & trained].tolist(), ratio[known & ~trained].tolist()
    if inside and outside:
        found = told(ratio, trained)
        assert found.auc == pytest.approx(naive.auc(inside, outside))
        right = sum(a > 0 for a in inside) / len(inside) + sum(b <= 0 for b in outside) / len(outside)
        assert found.accuracy == pytest.approx(right / 2)
        best = max(
            sum(a > t for a in inside) / len(inside)
            for t in outside
            if sum(b > t for b in outside) / len(outside) <= 0.01
        )
        assert found.tpr == pytest.approx(best)
    else:
        assert np.isnan(told(ratio, trained).auc)


def test_of_two_gaussians_the_attack_is_the_best_there_is():
    """Means d apart: accuracy Phi(d / 2), AUC Phi(d / sqrt 2), TPR Phi(d - z_99)."""
    rng = np.random.default_rng(0)
    trained = rng.random((400, 200)) < 0.5
    for d in (0.0, 2.0):
        found = told(likelihood_ratios(rng.normal(size=(400, 200)) + d * trained, trained), trained)
        assert found.accuracy == pytest.approx(norm.cdf(d / 2), abs=0.01)
        assert found.auc == pytest.approx(norm.cdf(d / 2**0.5), abs=0.01)
        assert found.tpr == pytest.approx(norm.cdf(d - norm.ppf(0.99)), abs=0.02)


def test_without_two_worlds_or_spread_it_is_nan_and_says_why(caplog):
    every = np.ones((5, 1), dtype=bool)
    assert np.isnan(told(likelihood_ratios(np.arange(5.0)[:, None], every), every).accuracy)
    half = np.array([True, False] * 3)[:, None]
    assert np.isnan(likelihood_ratios(np.ones((6, 1)), half)).all()
    assert "u-lira is not defined" in caplog.text
    with pytest.raises(InvalidValue, match="trained"):
        likelihood_ratios(np.zeros((3, 2)), half)


# -- divergences ----------------------------------------------------------------------------------------


def test_divergences_in_closed_form():
    """JS of (1, 0) and (1/2, 1/2) is (log 4/3 + log(2/3) / 2 + log 2 / 2) / 2, whose square root is .464."""
    p, q = np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]])
    expected = (log(4 / 3) + 0.5 * log(2 / 3) + 0.5 * log(2)) / 2
    assert js_divergence(p, q)[0] == pytest.approx(expected, rel=1e-14)
    assert js_divergence(p, p[:, ::-1])[0] == pytest.approx(log(2), rel=1e-14)
    assert kl_divergence(p, q)[0] == pytest.approx(log(2), rel=1e-14)


@given(seed=st.integers(0, 10**6), k=st.integers(2, 6))
def test_divergences_are_the_naive_ones(seed, k):
    rng = np.random.default_rng(seed)
    p, q = rng.dirichlet(np.ones(k), size=(2, 3))

    def kl(a, b):
        return [
            sum(x * log(x / y) for x, y in zip(*rows, strict=True) if x > 0)
            for rows in zip(a, b, strict=True)
        ]

    m = (p + q) / 2
    np.testing.assert_allclose(kl_divergence(p, q), kl(p, q), rtol=1e-9, atol=1e-12)
    js = [(a + b) / 2 for a, b in zip(kl(p, m), kl(q, m), strict=True)]
    np.testing.assert_allclose(js_divergence(p, q), js, rtol=1e-9, atol=1e-12)
