"""The checker's own arithmetic against naive oracles."""

from __future__ import annotations

from fractions import Fraction

import mpmath as mp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from expunge.certificate import outward, release
from expunge.certificate.indistinguishable import ratio
from expunge.verify import exact, privacy
from expunge.verify.gradient import Loss
from expunge.verify.minimum import minimum
from expunge.verify.rows import Columns, Table
from tests.oracles.indistinguishable import delta_together

FLOATS = st.floats(1e-300, 1e300)


@given(FLOATS, FLOATS)
def test_exact_numbers_have_no_float_between(a, b):
    x = Fraction(a) / Fraction(b)
    above, below = exact.least_above(x), exact.most_below(x)
    assert above == outward.up(x)
    assert below == outward.down(x)
    if 1e-300 < a / b < 1e300:
        root = exact.root_above(x)
        assert root == outward.root_up(x)
        assert Fraction(exact.root_below(x)) ** 2 <= x <= Fraction(root) ** 2


@given(st.lists(st.floats(-1e100, 1e100), min_size=1, max_size=5))
def test_norms_are_those_of_the_program(values):
    assert exact.norm_above(values) == outward.norm_up(np.array(values))


@given(st.floats(1e-12, 1), st.floats(1e-6, 1), st.lists(st.integers(1, 10**6), min_size=1, max_size=4))
def test_shares_are_those_of_the_program(sensitivity, lam, counts):
    plan = release.ReleaseGuarantee(1.0, 1e-5, 1, 1e9, "float", 4, sensitivity, 0.0)
    assert exact.shares(sensitivity, lam, counts) == plan.shares(lam, counts)


@settings(deadline=None, max_examples=25)
@example("float", 0.0001, 0.375, 1)
@given(
    st.sampled_from(["float", "lattice"]),
    st.floats(1e-4, 50),
    st.floats(1e-12, 0.4),
    st.integers(1, 10**7),
)
def test_epsilon_and_delta_are_those_of_the_equations(noise, epsilon, delta, count):
    allowed = ratio(epsilon, delta, count, noise)
    assert privacy.is_within(allowed, count, noise, epsilon, delta)
    assert not privacy.is_within(allowed * (1 + 1e-7 + 1e-12 / epsilon), count, noise, epsilon, delta)
    found = privacy.delta_at(mp.mpf(allowed) * mp.sqrt(count), mp.mpf(epsilon), noise)
    assert float(found) == pytest.approx(float(delta_together(noise, allowed, count, epsilon)), rel=1e-12)
    # The ratio is rounded down by so much of itself: epsilon moves by (1 + mu/2 + epsilon/mu) mu as much.
    mu, rounded = allowed * count**0.5, 2.0**-30 + 2.0**-46 / epsilon
    moved = (1 + mu / 2 + epsilon / mu) * mu * rounded
    shown = privacy.epsilon_of(allowed, count, noise, delta)
    assert shown == pytest.approx(epsilon, rel=2e-7, abs=2 * moved)


@pytest.mark.parametrize("dim", [1, 64, 784, 7840])
@pytest.mark.parametrize("share", [0.5, 0.9, 1.0, 1.1, 2.0])
def test_chances_are_those_of_chi_square(dim, share):
    length = 1e-5 * share * np.sqrt(dim)
    below, above = (f(length, 1e-5, dim) for f in (privacy.chance_below, privacy.chance_above))
    assert below == pytest.approx(chi2.cdf(share**2 * dim, dim), rel=1e-8, abs=1e-300)
    assert above == pytest.approx(chi2.sf(share**2 * dim, dim), rel=1e-8, abs=1e-300)


def problem(seed, n=60, d=4, classes=3, share=1.0, lam=1e-2, raw=None):
    rng = np.random.default_rng(seed)
    raw = rng.normal(size=(n, d)) if raw is None else raw
    labels = rng.integers(0, classes, size=n)
    kept = rng.random(n) < 0.8
    columns = Columns.left(labels, kept, 0, share)
    return Loss(Table(raw, 0.25), columns, lam, rng.normal(size=(d, columns.width)))


def true_gradient(loss, w):
    """In 50 digits, from the equation, with rows divided by their norms."""
    with mp.workdps(50):
        columns, total = loss.columns, mp.zeros(*w.shape)
        for i in columns.ids:
            row = [mp.mpf(float(v)) - mp.mpf(loss.table.offset) for v in loss.table.raw[i]]
            norm = mp.sqrt(sum(v**2 for v in row))
            for k in range(w.shape[1]):
                y = columns.signs(np.array([i]))[0, k]
                score = sum(v / norm * mp.mpf(float(c)) for v, c in zip(row, w[:, k], strict=True))
                slope = -y / (1 + mp.exp(y * score)) if y else 0
                for j, v in enumerate(row):
                    total[j, k] += slope * v / norm
        for k in range(w.shape[1]):
            for j in range(w.shape[0]):
                total[j, k] += mp.mpf(loss.lam) * columns.counts[k] * w[j, k] + loss.b[j, k]
        return total


@pytest.mark.parametrize(("seed", "share"), [(0, 1.0), (1, 0.4), (2, 1.0)])
def test_a_gradient_is_within_its_bound_of_the_true_one(seed, share):
    loss = problem(seed, share=share)
    w = 3 * np.random.default_rng(seed).normal(size=loss.b.shape)
    measured, true = loss.gradient(w), true_gradient(loss, w)
    for k, (low, high) in enumerate(measured.norms):
        norm = mp.sqrt(sum(true[j, k] ** 2 for j in range(w.shape[0])))
        off = mp.sqrt(sum((true[j, k] - mp.mpf(float(measured.value[j, k]))) ** 2 for j in range(w.shape[0])))
        assert float(low) <= float(norm) <= float(high)
        assert float(off) <= measured.errors[k] + 1e-15 * float(norm)
        assert float(high - low) <= 1e-12 * (1 + float(norm))
    assert np.allclose(loss.quick(w), measured.value.astype(float), atol=1e-12)


@pytest.mark.parametrize("start", [0.0, 1.0, 1e3])
def test_retraining_ends_at_the_minimiser_from_anywhere(start):
    loss = problem(3)
    best = minimum(loss, np.full(loss.b.shape, start))
    again = minimum(loss, np.zeros(loss.b.shape))
    assert best.off < 1e-12
    assert np.linalg.norm(best.w - again.w) <= best.off + again.off


def test_rows_of_extreme_norms_are_divided_by_them():
    rng = np.random.default_rng(0)
    raw = rng.normal(size=(5, 3)) * np.array([1e-170, 1e170, 1.0, 1e-300, 0.0])[:, None]
    table = Table(raw)
    for rows in (table.extended(np.arange(5)), table.doubles(np.arange(5))):
        assert np.allclose(np.linalg.norm(rows.astype(float), axis=1), [1, 1, 1, 1, 0])
