"""What rounding is charged: never less than what float64 is off by, against 64-bit mantissas."""

from fractions import Fraction
from math import exp, inf, isqrt, nextafter

import numpy as np
import pytest
from experiments.truth.exact import BITS, Exact, fixed, fixed_rows, square_norm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import lambertw

from expunge.certificate import Account, Guarantee
from expunge.certificate.bounds import INCREMENTS
from expunge.linear.certified_column import CertifiedColumn
from expunge.linear.logistic import LogisticProblem
from expunge.linear.rounding import Rounding, public_floor, radius
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


@given(problems, st.floats(0, 60), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_a_gradient_is_charged_for_its_rounding_and_that_of_the_norms_of_its_rows(problem, length, seed):
    """Against whole numbers of 77 digits: the rows as they are stored, and as they are exactly normalised."""
    w = length * np.random.default_rng(seed).normal(size=problem.rows.dim)
    stored = fixed_rows(problem.rows)
    bound, found = Fraction(problem.errors.of_gradient(w)), fixed(problem.gradient(w))
    for x in (stored, normalised(stored)):
        exact = Exact(x, problem.y, problem.lam).gradient(fixed(w)) + fixed(problem.b)
        assert square_norm(found - exact) <= bound**2
        assert square_norm(exact) <= Fraction(problem.certified(w, problem.gradient(w))) ** 2


def normalised(x):
    """Rows of norm 1, all but the last of 77 digits right."""
    norms = [isqrt(sum(v * v for v in row)) for row in x.tolist()]
    return np.array([[(v << BITS) // norm for v in row] for row, norm in zip(x.tolist(), norms, strict=True)])


sizes = st.integers(1, 3000), st.integers(0, 5000), st.integers(1, 5000), st.integers(1, 100)


@given(*sizes, st.floats(-9, 3), st.floats(0, 1), st.integers(0, 3000), st.floats(0, 256))
@settings(max_examples=300, deadline=None)
def test_no_rounding_is_above_the_public_floor(n, more, dim, width, power, part, gone, floors):
    """Whichever rows are left, at any w up to 256 floors from one that may be a minimiser."""
    lam = 10.0**power
    floor = public_floor(n, n + more, dim, width, lam)
    m = max(1, n - gone)
    w = part * radius(lam) + floors * floor
    charged = Rounding(m, n + more, dim, lam, 0.0).of_gradient_at(nextafter(w, 0.0))
    assert (Fraction(charged) / (Fraction(lam) * m)) ** 2 * width <= Fraction(floor) ** 2
    least = np.sqrt(width) * Rounding(n, n + more, dim, lam, 0.0).of_gradient_at(radius(lam)) / lam / n
    assert power < -6 or floor <= 1.001 * least


def test_the_floor_is_infinite_where_float64_can_hold_nothing():
    assert public_floor(1000, 1000, 784, 1, 1e-13) == inf
    assert public_floor(1000, 1000, 784, 1, 5e-324) == inf


def test_the_floor_of_3_against_8():
    assert public_floor(11_982, 11_982, 784, 1, 1e-4) == pytest.approx(1.27e-8, rel=0.01)


@given(problems)
@settings(max_examples=40, deadline=None)
def test_no_minimiser_is_longer_than_the_radius(problem):
    x = fixed_rows(problem.rows)
    start = train(LogisticProblem(problem.rows, problem.y, problem.lam, 0 * problem.b), tol=1e-9).w
    assert (
        square_norm(Exact(x, problem.y, problem.lam).minimiser(start)) <= Fraction(radius(problem.lam)) ** 2
    )


def test_the_radius_is_reached():
    """By one row of norm 1 whose score is where t / (1 + e^t) is largest."""
    t = 1 + float(lambertw(1 / np.e).real)
    lam = 1 / (1 + exp(t)) / t
    problem = LogisticProblem(Rows.as_given(np.ones((1, 1))), np.ones(1), lam, np.zeros(1))
    assert abs(train(problem, tol=1e-14).w[0]) == pytest.approx(radius(lam), rel=2e-6)
    assert abs(train(problem, tol=1e-14).w[0]) <= radius(lam)
