"""Linear CKA: closed forms, an oracle of n x n matrices, invariances, and what is not defined."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.core.errors import InvalidValue
from expunge.metrics import cka
from expunge.metrics.cka import Cka, linear_cka
from tests.oracles import evaluations as naive


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), n=st.integers(4, 12), d=st.integers(1, 6), e=st.integers(1, 6))
def test_it_is_the_naive_one(seed, n, d, e):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(3, 1, (n, d)), rng.normal(size=(n, e))
    y[:, 0] += x[:, 0]
    found = linear_cka(x, y)
    assert found.biased == pytest.approx(naive.cka(x, y, naive.hsic), rel=1e-10)
    assert found.unbiased == pytest.approx(naive.cka(x, y, naive.hsic_unbiased), rel=1e-7, abs=1e-9)


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 10**6), scale=st.sampled_from([-3.0, 1e-6, 1e6]), shift=st.sampled_from([0.0, 10.0])
)
def test_axes_scale_and_origin_do_not_count(seed, scale, shift):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(30, 5)), rng.normal(size=(30, 4))
    turn = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    turned = scale * x @ turn + shift
    np.testing.assert_allclose(linear_cka(x, turned), (1, 1), rtol=1e-9)
    np.testing.assert_allclose(linear_cka(turned, y), linear_cka(x, y), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(linear_cka(y, x), linear_cka(x, y), rtol=1e-9, atol=1e-12)


def test_closed_forms():
    """Columns that are orthogonal share nothing; one axis of two that are as wide is 1 / sqrt 2."""
    x = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    assert linear_cka(x[:, :1], x[:, 1:]).biased == 0
    assert linear_cka(x[:, :1], x).biased == pytest.approx(np.sqrt(0.5), rel=1e-14)


def test_of_few_rows_only_the_unbiased_one_tells_nothing_from_something():
    """Features that have nothing to do with each other, more of them than rows."""
    rng = np.random.default_rng(0)
    found = [linear_cka(rng.normal(size=(20, 200)), rng.normal(size=(20, 200))) for _ in range(40)]
    assert min(one.biased for one in found) > 0.85
    mean, error = (
        np.mean([one.unbiased for one in found]),
        np.std([one.unbiased for one in found]) / np.sqrt(40),
    )
    assert abs(mean) < 4 * error


def test_blocks_of_rows_come_to_the_same(monkeypatch):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(101, 3)), rng.normal(size=(101, 7))
    whole = linear_cka(x, y)
    monkeypatch.setattr(cka, "_BLOCK", 10)
    np.testing.assert_allclose(linear_cka(x, y), whole, rtol=1e-12)
    np.testing.assert_allclose(linear_cka(x.astype(np.float32), y), whole, rtol=1e-5)


def test_what_is_not_defined_is_none():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(6, 2))
    assert linear_cka(x[:1], x[:1]) == Cka()
    assert linear_cka(x, np.full((6, 3), 0.1)) == Cka(), "a representation that is the same for every row"
    few = linear_cka(x[:3], x[:3])
    assert few.biased == pytest.approx(1)
    assert few.unbiased is None
    with pytest.raises(InvalidValue, match="beside"):
        linear_cka(x, x[:5])
