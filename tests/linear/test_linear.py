"""Loss, derivatives, trainer and kept factor against naive float64 oracles."""

import logging
import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.core.cores import available_cores
from expunge.core.errors import DataError, InvalidValue
from expunge.linear import parallel
from expunge.linear.factor import Factor
from expunge.linear.parallel import set_threads
from expunge.linear.removal import correct, depart, solve
from expunge.linear.rows import Rows, spectral_norm, weighted_gram
from expunge.linear.solver import build_factor, train
from tests.oracles import logistic as oracle
from tests.problems import make, problems


@given(problems)
@settings(max_examples=40, deadline=None)
def test_loss_and_derivatives_equal_the_oracle(problem):
    x, w = problem.rows.dense(), np.random.default_rng(0).normal(size=problem.rows.dim)
    close = {"rtol": 1e-10, "atol": 1e-10}
    np.testing.assert_allclose(problem.loss(w), oracle.loss(x, problem.y, problem.lam, problem.b, w), **close)
    gradient = oracle.gradient(x, problem.y, problem.lam, problem.b, w)
    np.testing.assert_allclose(problem.gradient(w), gradient, **close)
    hessian = oracle.hessian(x, problem.y, problem.lam, w)
    np.testing.assert_allclose(problem.hessian(w), hessian, **close)
    np.testing.assert_allclose(problem.hessian(w, np.float32), hessian, rtol=1e-4, atol=1e-4)
    step = np.random.default_rng(1).normal(size=len(w))
    along, scores, squared = problem.curvature(w).along(step)
    np.testing.assert_allclose(along, hessian @ step, **close)
    np.testing.assert_allclose(scores, np.linalg.norm(x @ step), **close)
    np.testing.assert_allclose(squared, np.linalg.norm((x @ step) ** 2), **close)


@given(problems, st.data())
@settings(max_examples=40, deadline=None)
def test_removed_rows_contribute_exactly_nothing(problem, data):
    gone = data.draw(st.lists(st.integers(0, problem.n - 1), min_size=1, max_size=problem.n - 2, unique=True))
    stay = np.setdiff1d(np.arange(problem.n), gone)
    x, w = problem.rows.dense(), np.random.default_rng(2).normal(size=problem.rows.dim)
    after = problem.without(gone)
    assert after.n == len(stay)
    parts = (x[stay], problem.y[stay], problem.lam)
    np.testing.assert_allclose(after.gradient(w), oracle.gradient(*parts, problem.b, w), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(after.hessian(w), oracle.hessian(*parts, w), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(after.loss(w), oracle.loss(*parts, problem.b, w), rtol=1e-9, atol=1e-9)
    removed = problem.gradient(w) - after.gradient(w)
    np.testing.assert_allclose(problem.removed_gradient(w, gone), removed, rtol=1e-8, atol=1e-8)
    assert problem.n == len(x), "the problem before is untouched"


@pytest.mark.skipif(np.finfo(np.longdouble).eps > 1e-18, reason="no type here is wider than float64")
@given(problems, st.sampled_from([0.1, 1.0, 30.0]))
@settings(max_examples=40, deadline=None)
def test_rounding_is_bounded_as_charged(problem, length):
    """Against the same sums in extended precision, of the very numbers that are stored."""
    rows, w = problem.rows, length * np.random.default_rng(9).normal(size=problem.rows.dim)
    x = (rows.raw.astype(np.longdouble) - rows.offset) * rows.scale[:, None]
    weights = -problem.y / (1 + np.exp(problem.y * (x @ w)))
    exact = weights @ x + problem.lam * np.longdouble(problem.n) * w + problem.b
    assert np.linalg.norm((problem.gradient(w) - exact).astype(float)) <= problem.rounding(w)


def test_gradient_is_the_slope_of_the_loss():
    problem = make(3, n=60, d=7)
    w, h = np.random.default_rng(3).normal(size=7), 1e-3
    for j in range(7):
        e = h * np.eye(7)[j]
        stencil = [problem.loss(w + k * e) for k in (-2, -1, 1, 2)]
        slope = (stencil[0] - 8 * stencil[1] + 8 * stencil[2] - stencil[3]) / (12 * h)
        assert slope == pytest.approx(problem.gradient(w)[j], rel=1e-8, abs=1e-8)


def test_results_do_not_depend_on_the_number_of_threads():
    problem = make(4, n=5000, d=60)
    w, rhs = np.random.default_rng(4).normal(size=(2, 60))
    stale, results = Factor.of(problem.hessian(np.zeros(60))), []
    for count in (1, 2, 3):
        set_threads(count)
        solution = solve(problem.curvature(w), rhs, stale)
        gram, norm = replace(problem.rows).gram()
        results.append((problem.gradient(w).tobytes(), solution.x.tobytes(), gram.tobytes(), norm))
    set_threads(None)
    assert len(set(results)) == 1


def test_cores_are_no_more_than_openmp_is_told(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    every = available_cores()
    assert every == len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = {}
    for limit in ("1", " 1 ", "100000", "0", "-1", "", "two", "1.5", "2,1"):
        monkeypatch.setenv("OMP_NUM_THREADS", limit)
        found[limit] = available_cores()
    assert found == dict.fromkeys(found, every) | {"1": 1, " 1 ": 1}
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    set_threads(3)  # what the configuration says wins
    assert parallel._Setting.threads == 3
    set_threads(None)
    assert parallel._Setting.threads == 1
    monkeypatch.undo()
    set_threads(None)


@given(problems)
@settings(max_examples=40, deadline=None)
def test_training_reaches_its_tolerance_and_the_oracles_minimum(problem):
    fit = train(problem)
    assert fit.report.converged
    assert fit.report.gradient_norm < 1e-8
    assert np.linalg.norm(problem.gradient(fit.w)) == pytest.approx(
        fit.report.gradient_norm, rel=1e-6, abs=1e-12
    )
    strong = problem.lam * problem.n  # ||w - w*|| <= ||grad|| / (lam n)
    best = oracle.minimise(problem.rows.dense(), problem.y, problem.lam, problem.b)
    leftover = np.linalg.norm(problem.gradient(best))
    assert np.linalg.norm(fit.w - best) <= (fit.report.gradient_norm + leftover) / strong * 1.01 + 1e-12


def test_training_says_when_the_tolerance_cannot_be_reached(caplog):
    problem = make(5, n=200, d=6, std=100.0)
    with caplog.at_level(logging.WARNING):
        fit = train(problem, tol=1e-300)
    assert fit.report.stopped_by == "rounding_floor"
    assert not fit.report.converged
    assert fit.report.gradient_norm <= problem.rounding(fit.w)
    assert "rounding_floor" in caplog.text
    assert train(problem, tol=1e-300, max_iter=2).report.stopped_by == "max_iter"


@pytest.mark.parametrize("lam", [1e-5, 1e-6])
@pytest.mark.parametrize("seed", [0, 13, 25, 31, 208, 320, 741, 1039])
def test_training_gets_there_from_far_away(seed, lam):
    """From the weights of another perturbation the gradient's norm rises for long before it falls.

    That is not the rounding floor, nor may such steps end in a circle.
    """
    problem = make(seed, n=9, d=5, lam=lam)
    other = replace(problem.without([0]), b=np.random.default_rng(seed).normal(size=5))
    far = train(problem)
    assert train(other, start=far.w, factor=far.factor).report.converged


def test_spectral_norm_is_an_upper_bound_and_tight():
    for seed in range(20):
        x = make(seed, n=50, d=8).rows.dense()
        true = np.linalg.norm(x, 2)
        bound = spectral_norm(weighted_gram(Rows.as_given(x)), len(x))
        assert true <= bound <= true * (1 + 1e-10)


def test_the_gram_matrix_is_kept_with_rows_that_are_all_in_use():
    rows = make(14, n=60, d=7).rows
    gram, norm = rows.gram()
    x = rows.dense()
    np.testing.assert_allclose(gram, x.T @ x, rtol=1e-12)
    assert np.linalg.norm(x, 2) <= norm <= np.linalg.norm(x, 2) * (1 + 1e-10)
    assert rows.gram()[0] is gram
    with pytest.raises(ValueError, match="read-only"):
        gram[0, 0] = 1.0
    left, used = rows.without([3, 4]), np.arange(60) % 2 == 0
    for part in (left, rows.only(used)):
        x = part.dense()
        np.testing.assert_allclose(part.gram()[0], x.T @ x, rtol=1e-12)
        assert part.gram()[0] is not part.gram()[0]
        assert np.linalg.norm(x, 2) <= part.gram()[1] <= norm
    wide = Rows.normalised(np.random.default_rng(0).normal(size=(3, 2049)).astype(np.float32))
    assert wide.gram()[0] is not wide.gram()[0], "too large to be kept"


@given(problems, st.sampled_from([0.0, 0.1, 1.0, 30.0]), st.data())
@settings(max_examples=60, deadline=None)
def test_solve_equals_an_explicit_solve(problem, length, data):
    """With an inverse Hessian of other weights, before rows left, in float32."""
    gone = data.draw(st.lists(st.integers(0, problem.n - 1), max_size=problem.n - 2, unique=True))
    far, w, rhs = np.random.default_rng(11).normal(size=(3, problem.rows.dim))
    curvature = problem.without(gone).curvature(length * w)
    solution = solve(curvature, rhs, build_factor(problem, length * far), 5)
    exact = curvature.matrix()
    close = 1e-12 + 1e-15 * np.linalg.cond(exact)
    assert np.linalg.norm(exact @ solution.x - rhs) <= 2 * close * np.linalg.norm(rhs)
    np.testing.assert_allclose(
        solution.x, np.linalg.solve(exact, rhs), rtol=1e-9, atol=1e-9 * np.abs(solution.x).max()
    )
    assert 5 <= solution.extra_steps <= 5 + 32


def test_solve_gives_up_an_inverse_that_does_not_help():
    problem = make(15, n=400, d=60, lam=1e-4)
    w, rhs = np.random.default_rng(12).normal(size=(2, 60))
    useless = Factor.of(np.diag(np.logspace(0, 12, 60)))
    curvature = problem.curvature(w)
    solution = solve(curvature, rhs, useless, 31)
    assert solution.factor is not useless
    assert solution.extra_steps == 0
    assert np.linalg.norm(curvature.matrix() @ solution.x - rhs) <= 1e-11 * np.linalg.norm(rhs)
    assert not solve(curvature, np.zeros(60), useless).x.any()


@given(problems, st.data())
@settings(max_examples=40, deadline=None)
def test_kept_factor_follows_departed_rows(problem, data):
    """With w fixed, Woodbury and the shift give the Hessian of the rows that stay."""
    gone = data.draw(
        st.lists(st.integers(0, problem.n - 1), min_size=1, max_size=problem.n // 3, unique=True)
    )
    w = np.random.default_rng(6).normal(size=problem.rows.dim)
    factor = Factor.of(problem.hessian(w))
    for row in gone:
        factor = factor.without(problem.removed_factors(w, [row]), problem.lam)
    exact = problem.without(gone).hessian(w)
    rhs = np.random.default_rng(7).normal(size=problem.rows.dim)
    left = np.linalg.norm(exact @ factor.nearby(rhs) - rhs)
    stale = np.linalg.norm(exact @ Factor.of(problem.hessian(w)).nearby(rhs) - rhs)
    # The shift's series is cut after two terms: what is left is of third order in the share removed.
    assert left <= np.linalg.norm(rhs) * (2 * (len(gone) / problem.n) ** 3 + 1e-7)
    assert left <= stale + 1e-9


def test_factor_folds_its_correction_without_changing_its_solves():
    problem = make(8, n=400, d=50)
    w = np.zeros(50)
    factor, ranks = Factor.of(problem.hessian(w)), set()
    for row in range(40):
        factor = factor.without(problem.removed_factors(w, [row]), 0.0)
        ranks.add(factor.v.shape[1])
    assert 0 in ranks, "folded on the way"
    exact = problem.hessian(w) - problem.removed_factors(w, range(40)).T @ problem.removed_factors(
        w, range(40)
    )
    rhs = np.ones(50)
    np.testing.assert_allclose(factor.nearby(rhs), np.linalg.solve(exact, rhs), rtol=1e-9)


def test_many_departing_rows_rebuild_the_factor():
    problem = make(9, n=400, d=8)
    gone = np.arange(300)
    fit = train(problem)
    factor = depart(build_factor(problem, fit.w), problem, fit.w, gone)
    assert factor.shift == 0.0
    exact = problem.without(gone).hessian(fit.w)
    np.testing.assert_allclose(exact @ factor.nearby(np.ones(8)), np.ones(8), rtol=1e-3)


def test_correct_recovers_from_a_useless_factor():
    problem = make(10, n=300, d=6, lam=1e-3)
    fit = train(problem)
    useless = Factor.of(1e6 * np.eye(6))
    far = fit.w + 5.0
    found = correct(problem, far, problem.gradient(far), useless, target=1e-6)
    assert np.linalg.norm(found.gradient) <= 1e-6
    assert found.rebuilt >= 1
    np.testing.assert_allclose(found.w, fit.w, atol=1e-4)


def test_factor_refuses_what_is_not_positive_definite():
    with pytest.raises(np.linalg.LinAlgError):
        Factor.of(-np.eye(3))


def test_rows_keep_their_stored_type_and_normalise_exactly():
    raw = np.random.default_rng(0).integers(0, 256, size=(30, 12), dtype=np.uint8)
    rows = Rows.normalised(raw, 127.5)
    assert rows.raw is raw
    pixels = raw / 255 - 0.5
    expected = pixels / np.linalg.norm(pixels, axis=1, keepdims=True)
    np.testing.assert_allclose(rows.dense(), expected, rtol=1e-14, atol=1e-16)
    np.testing.assert_allclose(rows.scores(np.ones(12)), expected.sum(axis=1), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ([[1.0, np.nan], [1.0, 1.0]], "row 0 holds NaN or infinity"),
        ([[1.0, np.inf], [0.0, 0.0], [np.nan, 0.0]], r"row 0 holds NaN or infinity \(and 1 more\)"),
        ([[1.0, np.inf]], "row 0 holds NaN"),
    ],
)
def test_rows_refuse_what_cannot_be_normalised(raw, message):
    with pytest.raises(DataError, match=message):
        Rows.normalised(np.array(raw))


def test_rows_as_given_refuse_norms_above_one():
    with pytest.raises(DataError, match="row 1 has L2 norm above 1"):
        Rows.as_given(np.array([[0.6, 0.8], [1.0, 0.1]]))
    rows = Rows.as_given(np.array([[0.6, 0.8 + 1e-12]]))
    assert np.linalg.norm(rows.dense()) <= 1


def test_rows_refuse_what_is_not_a_table_of_numbers():
    with pytest.raises(InvalidValue, match="features"):
        Rows.normalised(np.ones(3))
    with pytest.raises(InvalidValue, match="features"):
        Rows.normalised(np.array([["a"]]))


@pytest.mark.parametrize("d", [1, 3, 6, 9, 17])
def test_results_do_not_depend_on_where_arrays_lie_in_memory(d):
    """Short vectors at many distances from each other: the same bits, which a continued run relies on."""
    problem = make(40, n=60, d=d)
    rng = np.random.default_rng(0)
    w, step = rng.normal(size=(2, d))
    seen, held = set(), []
    for _ in range(1500):
        held += [w.copy(), step.copy(), np.empty(rng.integers(1, 60))]
        held = [array for array in held if rng.random() < 0.9]  # leaves holes for the kernels' own arrays
        along, scores, squares = problem.curvature(w.copy()).along(step.copy())
        seen.add((problem.gradient(w.copy()).tobytes(), along.tobytes(), scores, squares))
    assert len(seen) == 1


@pytest.mark.parametrize("kind", ["float64", "float32"])
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_rows_of_any_size_are_normalised(kind, data):
    """From subnormal numbers to the largest: the direction to the last bits, against 64-bit mantissas."""
    info = np.finfo(kind)
    least, most = int(np.log2(info.smallest_subnormal)), info.maxexp - 2
    powers = data.draw(st.lists(st.integers(least, most), min_size=3, max_size=3))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    raw = np.ldexp(rng.uniform(0.5, 1, size=(3, 4)), np.array(powers)[:, None] + 1).astype(kind)
    rows = Rows.normalised(raw)
    wide = raw.astype(np.longdouble)
    wide /= np.abs(wide).max(axis=1, keepdims=True)
    wide /= np.sqrt((wide * wide).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(rows.dense(), wide.astype(np.float64), rtol=1e-15)
    assert np.linalg.norm(rows.dense(), axis=1) == pytest.approx(1, abs=1e-15)
    w = rng.normal(size=4)
    np.testing.assert_allclose(rows.scores(w), rows.times(w[:, None])[:, 0], rtol=1e-14, atol=1e-15)


def test_rows_in_the_usual_range_are_not_copied():
    raw = np.random.default_rng(0).normal(size=(30, 4)) * 1e-130
    raw[3] = 0
    assert Rows.normalised(raw).raw is raw
    raw[4] *= 1e-30
    assert Rows.normalised(raw).raw is not raw


def test_an_offset_is_subtracted_before_tiny_and_huge_rows_are_normalised():
    raw = np.array([[3.0, 3.0], [3.0 + 1e-200, 3.0], [1e200, 1e200]])
    raw[1, 0] = 3.0 + 2.0**-51
    rows = Rows.normalised(raw, 3.0)
    np.testing.assert_allclose(rows.dense(), [[0, 0], [1, 0], [0.5**0.5, 0.5**0.5]], rtol=1e-15)
    pixels = np.array([[127, 128], [0, 255], [7, 7]], dtype=np.uint8)
    far = Rows.normalised(pixels, 1e200).dense()
    np.testing.assert_allclose(far, -np.full((3, 2), 0.5**0.5), rtol=1e-15)


def test_rows_as_given_may_be_tiny_and_say_that_huge_ones_are_too_long():
    assert Rows.as_given(np.array([[1e-200, 0.0]])).dense()[0, 0] == 1e-200
    with pytest.raises(DataError, match="row 1 has L2 norm above 1"):
        Rows.as_given(np.array([[0.1, 0.0], [1e200, 0.0]]))
