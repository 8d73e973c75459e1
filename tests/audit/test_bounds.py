"""The lower bound beside exact laws: it covers as often as it says, and comes close to what is true."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import binom

from expunge.audit import scores
from expunge.audit.judging import judged, strongest
from expunge.certificate.empirical import Seen, delta_needed, epsilon_needed
from expunge.certificate.guarantee import gaussian_profile

DELTA = 1e-2


def gaussian_epsilon(mu: float, delta: float) -> float:
    return brentq(lambda eps: gaussian_profile(eps, mu) - delta, 0, 50)


def low_of(found) -> float:
    return float(strongest(found).epsilon.low)


counts = st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@settings(max_examples=60, deadline=None)
@given(
    events=st.lists(st.tuples(counts, counts), min_size=1, max_size=3), delta=st.sampled_from([0, 1e-4, 0.1])
)
def test_epsilon_is_where_delta_needed_is_delta(events, delta):
    seen = [Seen(*one, *other) for one, other in events]
    needed = epsilon_needed(delta, seen)
    for name in ("low", "estimate", "high"):
        epsilon = float(getattr(needed, name))
        assert epsilon >= 0
        if np.isfinite(epsilon):
            assert float(getattr(delta_needed(epsilon, seen), name)) <= delta + 1e-9
            above = max(0.0, epsilon - 1e-6)
            if epsilon > 1e-5:
                assert float(getattr(delta_needed(above, seen), name)) > delta
        else:
            assert float(getattr(delta_needed(20.0, seen), name)) > delta
    assert needed.low <= needed.estimate <= needed.high


@pytest.mark.parametrize(("p", "q"), [(0.3, 0.1), (0.02, 0.2), (0.5, 0.5), (0.9, 0.6)])
@pytest.mark.parametrize("delta", [0.0, 0.05])
def test_epsilon_is_covered_as_often_as_it_says(p, q, delta):
    """Over every outcome of 30 draws in one world and 20 in the other, weighed by its probability."""
    pairs = ((p, q), (q, p), (1 - p, 1 - q), (1 - q, 1 - p))
    truth = max(0.0, *(np.log((a - delta) / b) for a, b in pairs if a > delta))
    n, m = 30, 20
    missed = sum(
        binom.pmf(k, n, p) * binom.pmf(j, m, q)
        for k in range(n + 1)
        for j in range(m + 1)
        if float(epsilon_needed(delta, [Seen(k, n, j, m)], 0.9).low) > truth + 1e-12
    )
    assert missed <= 0.1


def test_the_bound_of_two_gaussians_covers_and_comes_close():
    """mu = 1: of 300 audits of 400 pairs none may be expected to pass the truth; with 400,000 it is close."""
    truth = gaussian_epsilon(1.0, DELTA)
    rng = np.random.default_rng(5)
    lows = []
    for _ in range(300):
        one, other = rng.normal(1, 1, 400), rng.normal(0, 1, 400)
        lows.append(
            low_of(judged({"a": (one, other), "b": (one**3, other**3), "c": (-one, -other)}, 1, DELTA))
        )
    assert np.mean(np.array(lows) > truth) <= 0.01
    many = judged({"a": (rng.normal(1, 1, 400_000), rng.normal(0, 1, 400_000))}, 1, DELTA)
    assert 0.85 * truth < low_of(many) <= truth
    assert float(strongest(many).epsilon.high) < 1.3 * truth


def test_the_event_is_chosen_by_draws_that_are_not_counted():
    """Of equal worlds many attacks prove nothing: 99% hold for all of them together."""
    rng = np.random.default_rng(6)
    wrong = 0
    for _ in range(100):
        attacks = {str(k): (rng.normal(size=80), rng.normal(size=80)) for k in range(8)}
        wrong += low_of(judged(attacks, 1.0, 0.0)) > 0
    assert wrong <= 4


def test_attacks_without_draws_are_left_out_and_counted():
    one, other = np.ones(50, bool), np.zeros(50, bool)
    alone = judged({"a": (one, other)}, 1, 0.0)
    (beside,) = judged({"a": (one, other), "none": (np.zeros(0), other)}, 1, 0.0)
    assert beside.epsilon.low < alone[0].epsilon.low
    assert judged({"a": (np.zeros(0, bool), other)}, 1, 0.0) == ()


# -- scores ---------------------------------------------------------------------------------------------


def test_sizes_have_the_laws_that_they_are_read_by():
    rng, std = np.random.default_rng(7), 3.0
    exact = rng.normal(size=(3, 4))
    released = exact + std * rng.normal(size=(4000, 3, 4))
    assert scores.residual_size(released, exact, std).mean() == pytest.approx(12, abs=0.3)
    assert scores.change_size(released, exact, std).mean() == pytest.approx(8, abs=0.3)
    same = exact + std * rng.normal(size=(10, 1, 4))
    assert scores.change_size(same, exact, std).max() < 1e-20


def test_low_bits_tell_float_noise_and_not_a_lattice():
    rng = np.random.default_rng(8)
    exact = rng.normal(size=(1, 40))
    near = exact + 1e-9 * rng.normal(size=exact.shape)
    ours, theirs = (centre + rng.normal(size=(200, 1, 40)) for centre in (near, exact))
    assert (
        scores.low_bits(ours, near, exact, 0.0).min() >= 0 >= scores.low_bits(theirs, near, exact, 0.0).max()
    )
    assert scores.low_bits(ours, near, exact, 0.0).mean() > 2
    grid = 2.0**-40
    steps = [
        grid * (np.rint(c / grid) + np.rint(rng.normal(size=(4000, 1, 40)) / grid)) for c in (near, exact)
    ]
    told = [scores.low_bits(side, near, exact, grid) for side in steps]
    assert max(map(np.max, told)) < 41
    assert told[0].mean() == pytest.approx(told[1].mean(), abs=0.2)
    assert scores.low_bits(ours, near, exact, grid).min() > 41


def test_a_learned_test_finds_means_and_variances():
    rng = np.random.default_rng(9)
    base = rng.normal(size=(2000, 3))
    for other in (base + np.array([0.5, 0, 0]), base * np.array([1, 1, 2])):
        one, two = scores.fitted(rng.permutation(other), rng.normal(size=(2000, 3)))
        assert one.mean() > two.mean() + 0.1
