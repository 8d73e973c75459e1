"""Exact confidence limits for probabilities and for delta, beside closed forms, enumerations and SciPy's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from expunge.certificate.empirical import Seen, clopper_pearson, delta_needed

counts = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
confidences = st.sampled_from([0.5, 0.9, 0.99, 0.9999])


@settings(max_examples=50, deadline=None)
@given(seen=counts, confidence=confidences)
def test_limits_are_those_of_scipy(seen, confidence):
    theirs = binomtest(*seen).proportion_ci(confidence, method="exact")
    assert clopper_pearson(*seen, confidence) == pytest.approx((theirs.low, theirs.high), rel=1e-8, abs=1e-12)


@pytest.mark.parametrize("n", [1, 10, 10_000])
def test_limits_of_never_and_always(n):
    low, high = clopper_pearson([0, n], n, 0.99)
    assert low == pytest.approx([0, 0.005 ** (1 / n)], rel=1e-12)
    assert high == pytest.approx([1 - 0.005 ** (1 / n), 1], rel=1e-9)


@pytest.mark.parametrize("n", [1, 7, 40])
def test_limits_cover_as_often_as_they_say(n):
    k, p = np.arange(n + 1), np.linspace(0, 1, 201)[:, None]
    low, high = clopper_pearson(k, n, 0.9)
    covered = (binom.pmf(k, n, p) * ((low <= p) & (p <= high))).sum(axis=1)
    assert covered.min() >= 0.9


def naive(epsilon, events, confidence):
    """One probability at a time, over both orders and both an event and its complement."""
    each = 1 - (1 - confidence) / (2 * len(events))
    found = []
    for k, n, j, m in events:
        for one, other in (((k, n), (j, m)), ((n - k, n), (m - j, m))):
            for a, b in ((one, other), (other, one)):
                (a_low, a_high), (b_low, b_high) = (
                    binomtest(*side).proportion_ci(each, method="exact") for side in (a, b)
                )
                e = np.exp(epsilon)
                found.append((a[0] / a[1] - e * b[0] / b[1], a_low - e * b_high, a_high - e * b_low))
    return np.maximum(0, np.max(found, axis=0))


@settings(max_examples=25, deadline=None)
@given(
    events=st.lists(st.tuples(counts, counts).map(lambda pair: (*pair[0], *pair[1])), min_size=1, max_size=3),
    epsilon=st.sampled_from([0.0, 0.1, 1.0, 3.0]),
    confidence=confidences,
)
def test_delta_is_the_largest_of_all(events, epsilon, confidence):
    found = delta_needed([epsilon], [Seen(*event) for event in events], confidence)
    expected = naive(epsilon, events, confidence)
    assert [found.estimate[0], found.low[0], found.high[0]] == pytest.approx(expected, rel=1e-7, abs=1e-10)
    swapped = delta_needed([epsilon], [Seen(j, m, k, n) for k, n, j, m in events], confidence)
    assert (swapped.estimate, swapped.low, swapped.high) == (found.estimate, found.low, found.high)


def test_events_may_differ_from_epsilon_to_epsilon():
    first, second = np.array([9, 5, 1]), np.array([3, 2, 0])
    found = delta_needed([0.0, 0.5, 1.0], [Seen(first, 10, second, 12)])
    for at, epsilon in enumerate((0.0, 0.5, 1.0)):
        alone = delta_needed(epsilon, [Seen(int(first[at]), 10, int(second[at]), 12)])
        assert found.low[at] == alone.low
        assert found.high[at] == alone.high
        assert found.estimate[at] == alone.estimate


@pytest.mark.parametrize(("p", "q"), [(0.02, 0.2), (0.5, 0.5), (0.0, 0.1), (0.9, 0.3), (1.0, 1.0)])
@pytest.mark.parametrize("epsilon", [0.0, 1.0])
def test_delta_is_covered_as_often_as_it_says(p, q, epsilon):
    """Over every outcome of 30 draws in one world and 20 in the other, weighed by its probability."""
    e, n, m = np.exp(epsilon), 30, 20
    truth = max(0, p - e * q, q - e * p, (1 - p) - e * (1 - q), (1 - q) - e * (1 - p))
    k, j = (axis.ravel() for axis in np.meshgrid(np.arange(n + 1), np.arange(m + 1)))
    found = delta_needed(np.full(k.shape, epsilon), [Seen(k, n, j, m)], 0.9)
    weight = binom.pmf(k, n, p) * binom.pmf(j, m, q)
    assert weight[(found.low <= truth + 1e-12) & (truth - 1e-12 <= found.high)].sum() >= 0.9
    assert np.all((found.low <= found.estimate) & (found.estimate <= found.high))
