"""Budget arithmetic, and every bound against the residual that is really there."""

from dataclasses import replace
from itertools import pairwise
from math import exp, log, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from expunge.certificate import CERTIFICATES, Account, Guarantee, StepFacts, bounds
from expunge.certificate.guarantee import gaussian_profile, largest_epsilon
from expunge.core.errors import InvalidValue
from expunge.linear.removal import UPDATES
from expunge.unlearners.newton import Newton
from tests.oracles import logistic as oracle
from tests.problems import labels, make, method, problems

HUGE = 1e305  # training with such a std would drown the data: the budget is raised afterwards


# -- the guarantee ---------------------------------------------------------------------------------------


def test_published_setting():
    guarantee = Guarantee(epsilon=1.0, delta=1e-4, std=10.0, dim=784)
    assert guarantee.c == pytest.approx(sqrt(2 * log(15000)))
    assert guarantee.budget == pytest.approx(2.280, abs=5e-4)
    assert guarantee.spent(guarantee.budget) == pytest.approx(1.0)
    assert guarantee.spent(guarantee.budget / 4) == pytest.approx(0.25)


def test_gaussian_perturbation_has_the_stated_moments():
    b = Guarantee(1.0, 1e-4, 3.0, 40_000).draw(np.random.default_rng(0))
    assert np.std(b) == pytest.approx(3.0, rel=0.02)
    assert stats.kstest(b / 3.0, "norm").pvalue > 1e-3


def test_pure_eps_perturbation_has_the_stated_density():
    """||b|| is Gamma(d, budget / epsilon), its direction uniform, each coordinate has deviation std."""
    d, guarantee = 6, Guarantee(0.5, 0.0, 2.0, 6, "pure_eps")
    rng = np.random.default_rng(1)
    draws = np.array([guarantee.draw(rng) for _ in range(20_000)])
    lengths = np.linalg.norm(draws, axis=1)
    assert stats.kstest(lengths, "gamma", args=(d, 0, guarantee.budget / 0.5)).pvalue > 1e-3
    np.testing.assert_allclose((draws / lengths[:, None]).mean(axis=0), 0, atol=0.02)
    np.testing.assert_allclose(draws.std(axis=0), 2.0, rtol=0.05)


def test_pure_eps_hides_a_residual_of_the_budget():
    """|log p(b) - log p(b + shift)| <= epsilon for every shift of at most the budget."""
    guarantee = Guarantee(0.7, 0.0, 1.5, 4, "pure_eps")
    rng = np.random.default_rng(2)
    for _ in range(200):
        b, shift = rng.normal(size=4) * 3, rng.normal(size=4)
        shift *= guarantee.budget / np.linalg.norm(shift)
        loss = guarantee.epsilon / guarantee.budget * (np.linalg.norm(b + shift) - np.linalg.norm(b))
        assert abs(loss) <= guarantee.epsilon * (1 + 1e-12)


@given(st.floats(0.01, 8.0), st.floats(1e-8, 0.3))
@settings(max_examples=200, deadline=None)
def test_every_accepted_gaussian_guarantee_holds_exactly(epsilon, delta):
    """Against the exact privacy profile of N(0, std^2) shifted by the budget, integrated numerically."""
    try:
        guarantee = Guarantee(epsilon, delta, 1.0, 1)
    except InvalidValue:
        assert epsilon > largest_epsilon(delta) * (1 - 1e-9)
        return
    shift = guarantee.budget
    grid = np.linspace(-12, 12 + shift, 40_001)
    excess = np.maximum(stats.norm.pdf(grid, shift) - exp(epsilon) * stats.norm.pdf(grid), 0)
    assert np.trapezoid(excess, grid) <= delta * (1 + 1e-6)
    assert gaussian_profile(epsilon, shift) == pytest.approx(np.trapezoid(excess, grid), rel=1e-4, abs=1e-12)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"epsilon": 0}, "epsilon"),
        ({"epsilon": 20.0}, "epsilon"),
        ({"std": -1}, "std"),
        ({"std": float("nan")}, "std"),
        ({"delta": 0.0}, "delta"),
        ({"delta": 1.0}, "delta"),
        ({"perturbation": "pure_eps"}, "delta"),
        ({"perturbation": "laplace"}, "perturbation"),
    ],
)
def test_impossible_guarantees_are_refused_by_name(change, name):
    with pytest.raises(InvalidValue) as error:
        Guarantee(**({"epsilon": 1.0, "delta": 1e-4, "std": 1.0, "dim": 3} | change))
    assert error.value.name == name


# -- closed forms of the increments ------------------------------------------------------------------------

FACTS = StepFacts(
    removed=1,
    retained=99,
    lam=0.1,
    residual=0.0,
    aims_at_residual=False,
    perturbation_norm=0.0,
    spectral=5.0,
    step_norm=0.3,
    scores_norm=0.7,
    scores_squared_norm=0.2,
    tau=0.0,
    rounding=0.0,
)


def test_increments_are_the_published_formulas():
    assert bounds.worst_case(FACTS) == pytest.approx(4 * 0.25 / (0.1**2 * 99)), "Theorem 1: b = 0, r = 0"
    perturbed = replace(FACTS, removed=3, retained=97, perturbation_norm=20.0, residual=5.0)
    assert bounds.worst_case(perturbed) == pytest.approx(0.25 * 9 * 2.25**2 / (0.1**2 * 97))
    assert bounds.data_dependent(FACTS) == pytest.approx(0.25 * 5.0 * 0.3 * 0.7)
    assert bounds.third_order(FACTS) == pytest.approx(0.5 * 5.0 * 0.2 / (6 * sqrt(3)))


def test_third_derivative_constant_is_the_maximum():
    z = np.linspace(-10, 10, 200_001)
    s = 1 / (1 + np.exp(-z))
    assert np.abs(s * (1 - s) * (1 - 2 * s)).max() == pytest.approx(bounds.THIRD_DERIVATIVE, rel=1e-8)


def test_a_stale_spectral_norm_never_exceeds_the_row_norms():
    stale = replace(FACTS, spectral=1e9)
    assert bounds.data_dependent(stale) == pytest.approx(0.25 * sqrt(99) * 0.3 * 0.7)


def test_account_adds_up_charges_solves_and_can_be_anchored():
    guarantee = Guarantee(1.0, 1e-4, 10.0, 3)
    account = Account(guarantee, "data_dependent", beta=0.5)
    step = bounds.data_dependent(FACTS)
    assert account.after(FACTS).beta == pytest.approx(0.5 + step)
    assert account.after(replace(FACTS, tau=0.2, rounding=0.1)).beta == pytest.approx(0.8 + step)
    assert account.after(replace(FACTS, aims_at_residual=True, tau=0.2)).beta == pytest.approx(0.2 + step)
    assert account.anchored(0.11).beta == 0.11
    assert account.anchored(0.71).beta == 0.5, "an anchor never makes a sum worse"
    assert not replace(account, beta=float("nan")).within_budget


# -- bounds against measured residuals ---------------------------------------------------------------------


def patient(problem, certificate, update, **more):
    """A Newton unlearner fitted on a random problem, whose budget no sensible bound passes."""
    model = method(
        Newton, lam=problem.lam, std=1.0, certificate=certificate, update=update, at_limit="refuse", **more
    )
    model.fit(problem.rows, labels(problem), seed=7)
    model.guarantee = replace(model.guarantee, std=HUGE)
    return model


batches = st.lists(st.integers(1, 4), min_size=1, max_size=5)


@given(problems, batches)
@settings(max_examples=60, deadline=None)
def test_fresh_bounds_are_ordered_at_every_request(problem, sizes):
    """measured <= third_order <= data_dependent <= worst_case, and all see the same weights."""
    assert_ordered(problem, sizes)


def assert_ordered(problem, sizes):
    models = {name: patient(problem, name, "fresh") for name in CERTIFICATES}
    order = np.random.default_rng(0).permutation(problem.n)
    for size in sizes:
        rows, order = order[:size], order[size:]
        if len(order) < 1:
            break
        outcomes = {name: models[name].remove(rows) for name in CERTIFICATES}
        if outcomes["worst_case"].outcome == "refused":
            return  # it squares what came before: after a few requests at small lam it overflows
        betas = {name: outcome.residual_bound for name, outcome in outcomes.items()}
        true = oracle_residual(models["measured"])
        rounding = rounding_of(models["measured"])
        assert true <= betas["measured"] + rounding
        chain = [true, betas["third_order"], betas["data_dependent"], betas["worst_case"]]
        assert all(a <= b + rounding for a, b in pairwise(chain)), chain


def rounding_of(model):
    return model.predictor.problem.rounding(model.predictor.w)


def oracle_residual(model):
    problem = model.predictor.problem
    kept = problem.rows.scale != 0
    x, y = model.predictor.problem.rows.dense()[kept], model.predictor.problem.y[kept]
    return np.linalg.norm(
        oracle.gradient(x, y, model.predictor.lam, model.predictor.problem.b, model.predictor.w)
    )


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("certificate", CERTIFICATES)
@given(problem=problems, sizes=batches)
@settings(max_examples=15, deadline=None)
def test_measured_residual_never_exceeds_the_charged_bound(update, certificate, problem, sizes):
    model = patient(problem, certificate, update)
    order = np.random.default_rng(1).permutation(problem.n)
    for size in sizes:
        rows, order = order[:size], order[size:]
        if len(order) < 1:
            break
        outcome = model.remove(rows)
        if certificate == "worst_case" and outcome.outcome == "refused":
            return  # it squares what came before: after a few requests at small lam it overflows
        if len(np.unique(problem.y[order])) < 2:
            assert "one class alone" in outcome.reason
            return
        assert outcome.outcome == "removed"
        assert oracle_residual(model) <= outcome.residual_bound + model.predictor.problem.rounding(
            model.predictor.w
        )


@pytest.mark.parametrize(
    ("broken", "times"), [("worst_case", 1e-9), ("data_dependent", 1e-3), ("third_order", 1e-3)]
)
def test_a_broken_bound_is_caught(broken, times, monkeypatch):
    """Negative control: with one formula made too small, the ordering test fails."""
    whole = bounds.INCREMENTS[broken]
    monkeypatch.setitem(bounds.INCREMENTS, broken, lambda facts: times * whole(facts))
    problem = make(11, n=60, d=4, lam=1e-3, std=0.1)
    with pytest.raises(AssertionError):
        assert_ordered(problem, [1, 2, 3, 1])


def test_leaving_out_the_optimisers_leftover_is_caught():
    """A model stopped early has a residual that b and the leftover must be part of."""
    problem = make(12, n=80, d=5, lam=0.1)
    model = method(Newton, lam=0.1, std=10.0, certificate="third_order", tol=1.0, at_limit="refuse")
    model.fit(problem.rows, labels(problem), seed=3)
    leftover = model.predictor.fit_reports[0].gradient_norm
    assert 0.01 < leftover < 1.0
    assert model.account.beta >= leftover
    outcome = model.remove([5])
    true = oracle_residual(model)
    assert true <= outcome.residual_bound
    assert true > outcome.residual_bound - leftover, "without the leftover the bound would be wrong here"


def test_inexact_solves_are_charged():
    """A factor that is off by 10% makes the frozen update miss; tau pays for exactly that."""
    problem = make(13, n=80, d=5, lam=1e-2)
    model = patient(problem, "third_order", "frozen")
    (column,) = model.columns
    factor = replace(column.factor, inverse=column.factor.inverse * 0.9)
    model.predictor.columns = [replace(column, factor=factor)]
    before = model.account.beta
    outcome = model.remove([4])
    assert oracle_residual(model) <= outcome.residual_bound
    assert model.account.solve_error > 0.9 * (outcome.residual_bound - before)
    assert oracle_residual(model) > outcome.residual_bound - model.account.solve_error


@pytest.mark.parametrize(
    ("name", "epsilon", "delta", "std"),
    [
        ("epsilon", 1.0, 1e-310, 1.0),
        ("epsilon", 5e-324, 1e-4, 1.0),
        ("std", 1.0, 1e-4, 5e-324),
        ("std", 1e9, 0, 1e308),
    ],
)
def test_a_budget_that_is_no_number_of_float64_is_refused(name, epsilon, delta, std):
    with pytest.raises(InvalidValue, match=rf"^{name}: got .*, allowed: one with a budget"):
        Guarantee(epsilon, delta, std, 1, "gaussian" if delta else "pure_eps")
