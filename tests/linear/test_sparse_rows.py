"""Sparse rows against dense ones, against exact arithmetic, and at their edges."""

from dataclasses import replace
from fractions import Fraction
from math import sqrt

import mpmath
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.core.errors import DataError, InvalidValue
from expunge.linear.logistic import LogisticProblem
from expunge.linear.parallel import set_threads
from expunge.linear.rows import Rows
from expunge.linear.sparse_rows import SparseRows
from expunge.linear.spectral import spectral_bound
from expunge.linear.taken import normalised, require_sound

_KINDS = (sp.csr_array, sp.csr_matrix, sp.csc_array, sp.coo_array)


@st.composite
def tables(draw):
    """A matrix of any shape and density, some rows and columns empty, in any type and container."""
    n, d = draw(st.integers(1, 40)), draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x = rng.normal(size=(n, d)) * (rng.random((n, d)) < draw(st.sampled_from((0.0, 0.1, 0.5, 1.0))))
    x *= 10.0 ** draw(st.sampled_from((-170, -3, 0, 5)))
    kind = draw(st.sampled_from((np.float64, np.float32, np.int64, np.uint8)))
    if kind != np.float64:
        x = np.clip(x, -100, 100).astype(kind)
    gone = rng.random(n) < draw(st.sampled_from((0.0, 0.3)))
    return x, draw(st.sampled_from(_KINDS)), gone, rng


@settings(max_examples=60, deadline=None)
@given(tables())
def test_sparse_rows_are_the_dense_ones(table):
    x, container, gone, rng = table
    leaving = np.flatnonzero(gone)
    dense = Rows.normalised(x.astype(np.float64)).without(leaving)
    sparse = SparseRows.normalised(container(x)).without(leaving)
    assert (len(sparse), sparse.dim, sparse.count) == (len(dense), dense.dim, dense.count)
    w, y = rng.normal(size=dense.dim), rng.choice([-1.0, 1.0], size=len(x))
    slopes = rng.random(len(x))
    near = {"rtol": 1e-12, "atol": 1e-13 * max(1, dense.count)}
    some = rng.integers(0, len(x), size=7)
    used = rng.random(len(x)) < 0.6
    for one, other in ((sparse, dense), (sparse.only(used), dense.only(used))):
        np.testing.assert_allclose(one.dense(), other.dense(), **near)
        np.testing.assert_allclose(one.dense(some), other.dense(some), **near)
        np.testing.assert_allclose(one.scores(w), other.scores(w), **near)
        np.testing.assert_allclose(
            one.times(np.stack([w, -w], 1), some), other.times(np.stack([w, -w], 1), some), **near
        )
        np.testing.assert_allclose(one.gradient(y, w), other.gradient(y, w), **near)
        for mine, theirs in zip(one.curved(slopes, w), other.curved(slopes, w), strict=True):
            np.testing.assert_allclose(mine, theirs, **near)
        np.testing.assert_allclose(one.squares(slopes), other.squares(slopes), **near)
        np.testing.assert_allclose(one.absolute(abs(w)), other.absolute(abs(w)), **near)
        np.testing.assert_allclose(one.weighted_gram(slopes), other.weighted_gram(slopes), **near)
    bare = sparse.erased(gone)
    np.testing.assert_array_equal(bare.dense(), sparse.dense())
    assert not len(leaving) or not np.diff(bare.starts)[leaving].any()


@settings(max_examples=40, deadline=None)
@given(tables())
def test_what_is_charged_for_rounding_is_more_than_there_is(table):
    """The gradient of the rows as stored, by exact rationals and 40 digits, against the float64 pass."""
    x, container, gone, rng = table
    rows = SparseRows.normalised(container(x)).without(np.flatnonzero(gone))
    w, y = rng.normal(size=rows.dim) * 10.0 ** rng.integers(-2, 3), rng.choice([-1.0, 1.0], size=len(x))
    lam = 1e-3
    problem = LogisticProblem(rows, y, lam, np.zeros(rows.dim))
    found = problem.gradient(w)
    exact = [Fraction(lam) * rows.count * Fraction(one) for one in w]
    with mpmath.workdps(40):
        for i in np.flatnonzero(rows.scale):
            own = slice(rows.starts[i], rows.starts[i + 1])
            entries = [
                (int(j), Fraction(float(v)) * Fraction(rows.scale[i]))
                for j, v in zip(rows.columns[own], rows.data[own], strict=True)
            ]
            score = sum((v * Fraction(w[j]) for j, v in entries), Fraction(0)) * int(y[i])
            weight = -int(y[i]) / (1 + mpmath.exp(mpmath.mpf(score.numerator) / score.denominator))
            for j, v in entries:
                exact[j] += Fraction(str(weight * mpmath.mpf(v.numerator) / v.denominator))
        off = mpmath.sqrt(
            sum((mpmath.mpf(float(Fraction(a) - b))) ** 2 for a, b in zip(found, exact, strict=True))
        )
    assert off <= problem.rounding(w) * (1 + 1e-9)


def test_long_sums_are_charged_by_the_blocks_that_they_are_made_of():
    """Equal rows, whose roundings all point one way, in blocks of more than 1024."""
    x = sp.csr_array(np.full((40_000, 1), 1.0))
    wide = sp.hstack([x, sp.csr_array((40_000, 6000))]).tocsr()
    rows = SparseRows.normalised(wide)
    assert rows.block == 6001
    problem = LogisticProblem(rows, np.ones(len(rows)), 1e-3, np.zeros(rows.dim))
    w = np.full(rows.dim, 0.1)
    exact = mpmath.mpf(-40_000) / (1 + mpmath.exp(mpmath.mpf(float(w[0])))) + mpmath.mpf(
        1e-3
    ) * 40_000 * mpmath.mpf(float(w[0]))
    assert abs(problem.gradient(w)[0] - exact) < problem.rounding(w)
    assert replace(problem.errors, block=1024).of_gradient(w) < problem.rounding(w)


def test_results_do_not_depend_on_threads():
    rng = np.random.default_rng(0)
    x = sp.random_array((30_000, 3000), density=0.004, rng=rng, format="csr")
    rows, w, y = SparseRows.normalised(x), rng.normal(size=3000), rng.choice([-1.0, 1.0], size=30_000)
    found = []
    try:
        for threads in (1, 2, 5):
            set_threads(threads)
            found.append((rows.gradient(y, w), rows.curved(np.ones(len(rows)), w)[0], rows.scores(w)))
    finally:
        set_threads(None)
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_equal_rows_are_stored_alike(index):
    x = np.array([[0.0, 2.0, 1.0], [0, 0, 0], [3.0, 0, 4.0]], dtype=np.float32)
    once = SparseRows.normalised(sp.csr_array(x))
    twice = sp.csr_array(
        (
            np.array([1, 0.5, 0, 1.5, 4, 3, -0.0], dtype=np.float32),
            np.array([2, 1, 0, 1, 2, 0, 1], dtype=index),
            np.array([0, 4, 4, 7], dtype=index),
        ),
        shape=(3, 3),
    )
    kept = twice.copy()
    other = SparseRows.normalised(twice)
    for name in ("data", "columns", "starts", "scale"):
        np.testing.assert_array_equal(getattr(once, name), getattr(other, name))
    labels = np.array([0, 1, 0])
    every = np.arange(3)
    both = [[bytes(one) for one in rows.contents(every, labels)] for rows in (once, other)]
    assert both[0] == both[1]
    np.testing.assert_array_equal(twice.data, kept.data)  # what is the user's stays so
    np.testing.assert_array_equal(twice.indices, kept.indices)


def test_canonical_rows_are_not_copied():
    x = sp.random_array((50, 30), density=0.2, rng=np.random.default_rng(0), format="csr")
    rows = SparseRows.normalised(x)
    assert np.shares_memory(rows.data, x.data)
    assert np.shares_memory(rows.columns, x.indices)


def test_rows_of_any_length_have_norm_one():
    x = sp.csr_array(np.array([[3e-170, 4e-170], [3e200, 4e200], [5e-324, 0], [0, 0]]))
    rows = SparseRows.normalised(x)
    np.testing.assert_allclose(rows.dense(), [[0.6, 0.8], [0.6, 0.8], [1, 0], [0, 0]], rtol=1e-15)
    assert x.data[0] == 3e-170


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_row_that_is_no_number_is_named(bad):
    x = sp.csr_array(np.array([[1.0, 0], [0, bad], [bad, 0]]))
    with pytest.raises(DataError, match=r"^row 1 holds NaN or infinity \(and 1 more\)$"):
        SparseRows.normalised(x)
    with pytest.raises(DataError, match=r"^row 1 holds NaN or infinity"):
        SparseRows.as_given(x)
    rows = SparseRows.normalised(x, used=np.array([True, False, False]))
    assert rows.gradient(np.ones(3), np.ones(2)).tolist()[1] == 0
    assert np.isfinite(rows.dense()).all()


def test_rows_that_are_too_long_are_refused_and_offsets_too():
    with pytest.raises(DataError, match=r"^row 1 has L2 norm above 1"):
        SparseRows.as_given(sp.csr_array(np.array([[1.0, 0], [1, 1]])))
    with pytest.raises(InvalidValue, match=r"^offset: got 0.5, allowed: 0 with sparse rows$"):
        normalised(sp.csr_array(np.eye(2)), 0.5)
    with pytest.raises(InvalidValue, match="features"):
        normalised(sp.csr_array((3, 0)))
    with pytest.raises(InvalidValue, match="real numbers"):
        normalised(sp.csr_array(np.eye(2) * 1j))


def test_a_damaged_matrix_is_refused_before_compiled_code_meets_it():
    for name, part in (
        ("indices", [0, 5]),
        ("indices", [-1, 0]),
        ("indptr", [0, 3, 2]),
        ("indptr", [0, 1, 9]),
        ("indptr", [1, 1, 2]),
    ):
        x = sp.csr_array(np.eye(2))
        setattr(x, name, np.array(part, dtype=np.int32))
        with pytest.raises(DataError, match=r"^X: a damaged sparse matrix of shape \(2, 2\): "):
            require_sound("X", x)
    x = sp.coo_array(np.eye(2))
    x.coords[0][0] = 7
    with pytest.raises(DataError, match="an entry is outside"):
        require_sound("X", x)


@settings(max_examples=60, deadline=None)
@given(tables())
def test_the_bound_on_the_spectral_norm_is_one(table):
    x, container, gone, _ = table
    for rows in (SparseRows.normalised(container(x)), Rows.normalised(x.astype(np.float64))):
        rows = rows.without(np.flatnonzero(gone))
        assert np.linalg.norm(rows.dense(), 2) <= spectral_bound(rows) <= sqrt(rows.count) * (1 + 1e-5)


def test_that_bound_is_tight_for_text():
    rng = np.random.default_rng(0)
    x = sp.random_array((500, 80), density=0.05, rng=rng, format="csr")
    rows = SparseRows.normalised(x)
    assert spectral_bound(rows) <= 1.02 * np.linalg.norm(rows.dense(), 2)
