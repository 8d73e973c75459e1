"""The guarantee of extractor and model together, and of several rows that leave together."""

from fractions import Fraction
from math import exp

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.certificate.composition import Total, Upstream, group, total
from expunge.certificate.outward import sum_up
from expunge.core.errors import InvalidValue


def test_guarantees_add_up():
    assert total(Upstream(0.5, 1e-5), 1.0, 1e-4) == Total(1.5, sum_up(1e-5, 1e-4))
    for one, other in np.random.default_rng(0).uniform(size=(50, 2)).tolist():
        found = total(Upstream(one, 0.0), other, 1e-4)
        assert Fraction(found.epsilon) >= Fraction(one) + Fraction(other)
    assert total(Upstream(0.5, 0.7), 1.0, 0.6).delta == 1, "nothing is more likely than that"
    assert total(Upstream(), 1.0, 1e-4) == Total(1.0, 1e-4), "features that cost nothing"
    assert total(Upstream(0.5, 1e-5), 2.0, 0.0) == Total(2.5, 1e-5), "pure epsilon on private features"


@pytest.mark.parametrize("epsilon", [0.0, 1.0])
def test_nothing_known_is_never_a_guarantee(epsilon):
    reason = "features were scaled by statistics of the training set"
    assert total(Upstream(epsilon, 0.0, reason), 1.0, 1e-4) == Total(None, None, reason)
    found = total(Upstream(epsilon, 1e-5), None, None)
    assert (found.epsilon, found.delta) == (None, None)
    assert "no certificate" in found.not_covered


@given(st.floats(0.0, 1.0), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_a_group_is_hidden_by_a_chain_of_single_rows(epsilon, rows, seed):
    """D and D without m rows are m neighbours apart: the exact delta of the ends is within the group's."""
    rng = np.random.default_rng(seed)
    chain, needed = [rng.dirichlet(np.ones(5))], 0.0
    for _ in range(rows):
        other = chain[-1] * np.exp(rng.uniform(-epsilon, epsilon, size=5))  # some links cost a delta
        chain.append(other / other.sum())
        needed = max(needed, np.maximum(chain[-2] - exp(epsilon) * chain[-1], 0).sum())
    together, lost = group(epsilon, needed, rows)
    assert np.maximum(chain[0] - exp(together) * chain[-1], 0).sum() <= lost + 1e-12


def test_a_group_in_closed_form():
    assert group(0.3, 1e-6, 1) == (0.3, 1e-6)
    together, lost = group(0.3, 1e-6, 20)
    assert together == pytest.approx(6.0)
    assert lost == pytest.approx(1e-6 * (exp(6.0) - 1) / (exp(0.3) - 1))
    assert group(0.5, 0.0, 10) == (5.0, 0.0)
    assert group(0.0, 1e-6, 10)[1] == pytest.approx(1e-5)
    assert group(5.0, 1e-5, 1000) == (5000.0, 1.0), "nothing is left to be promised"
    with pytest.raises(InvalidValue, match="rows"):
        group(1.0, 1e-5, 0)
