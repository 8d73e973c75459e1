"""What rounding is charged: never less than what float64 is off by, against 64-bit mantissas."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.certificate import Account, Guarantee
from expunge.certificate.bounds import INCREMENTS
from expunge.linear.certified_column import CertifiedColumn
from expunge.linear.logistic import LogisticProblem
from expunge.linear.rows import Rows
from expunge.linear.solver import train
from tests.oracles import logistic as oracle
from tests.problems import make, problems

long = pytest.mark.skipif(not oracle.WIDE, reason="this machine's long double has no longer mantissa")


def wide_rows(problem):
    """The rows that are there, with the scale that is stored, and their labels."""
    there = problem.rows.scale != 0
    raw = problem.rows.raw[there].astype(np.longdouble) - np.longdouble(problem.rows.offset)
    return raw * problem.rows.scale[there, None], problem.y[there]


def wide(problem, w):
    return oracle.wide_gradient(*wide_rows(problem), problem.lam, problem.b, w)


def clouds(half, seed):
    """Rows x of one class, all of them again as -x, and two rows of the other class that cancel too."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=3) + 1e-3 * rng.normal(size=(half, 3))
    z = rng.normal(size=(1, 3))
    rows = Rows.normalised(np.vstack([x, -x[rng.permutation(half)], z, -z]))
    y = np.r_[-np.ones(2 * half), 1.0, 1.0]
    return LogisticProblem(rows, y, 1e5, 1e-6 * rng.normal(size=3))


@long
@pytest.mark.parametrize("update", ["corrected", "fresh", "frozen"])
@pytest.mark.parametrize("certificate", INCREMENTS)
def test_a_step_is_charged_for_the_rounding_of_the_rows_that_left(certificate, update):
    """50,000 rows leave two: what their sums were off by is a hundred times what sums over two rows are."""
    for seed in range(2):
        problem = clouds(25_000, seed)
        fit = train(problem, tol=1e-12)
        guarantee = Guarantee(1.0, 1e-4, 1.0, 3)
        leftover = fit.report.gradient_norm + problem.rounding(fit.w)
        account = Account(guarantee, certificate, leftover)
        column = CertifiedColumn(problem, fit.w, account, np.inf, fit.factor, fit.gradient)
        gone = np.arange(50_000)
        left = column.removed(problem.without(gone), gone, update, 2e-9)
        truth = oracle.norm(wide(left.problem, left.w))
        assert truth <= left.account.beta
        assert left.measured().account.beta <= left.account.beta


@long
@given(problems, st.floats(0, 60), st.data())
@settings(max_examples=80, deadline=None)
def test_errors_of_float64_stay_below_their_bounds(problem, length, data):
    """Gradient, removed gradient, and the product and the end of a step, near and far from zero."""
    gone = data.draw(st.lists(st.integers(0, problem.n - 1), min_size=1, max_size=problem.n - 1, unique=True))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    w, step = length * rng.normal(size=(2, problem.rows.dim))
    after = problem.without(gone)

    def off(found, exact):
        return oracle.norm(found - exact)

    assert off(problem.gradient(w), wide(problem, w)) <= problem.errors.of_gradient(w)
    removed = wide(problem, w) - wide(after, w)
    assert off(problem.removed_gradient(w, gone), removed) <= problem.errors.of_removed(w, len(gone))
    x, _ = wide_rows(after)
    s = 1 / (1 + np.exp(-(x @ w.astype(np.longdouble))))
    along = (s * (1 - s) * (x @ step.astype(np.longdouble))) @ x + np.longdouble(after.lam) * after.n * step
    bound = after.errors.of_step(w, step, along.astype(np.float64))
    assert off(after.curvature(w).times(step), along) <= bound + 1e-150  # of numbers whose squares vanish


def test_a_few_rows_left_of_many_blocks_are_charged_for_every_sum_of_blocks():
    rows = Rows.normalised(np.ones((2_000_000, 1), dtype=np.float32))
    problem = LogisticProblem(rows, np.ones(2_000_000), 1e-3, np.zeros(1))
    few = problem.without(np.flatnonzero(np.arange(2_000_000) % 1024))
    assert few.n > 1950
    assert few.rounding(np.zeros(1)) >= 2.0**-53 * few.n * few.n / 2


def test_the_gradient_of_many_removed_rows_is_summed_in_blocks():
    problem = make(41, n=5000, d=7)
    w = np.random.default_rng(0).normal(size=7)
    gone = np.random.default_rng(1).permutation(5000)[:3000]
    expected = problem.gradient(w) - problem.without(gone).gradient(w)
    np.testing.assert_allclose(problem.removed_gradient(w, gone), expected, rtol=1e-11)
    assert not problem.removed_gradient(w, []).any()
