"""Solves without a matrix of d x d: as good as the kept inverse, and charged for what they leave."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.core.errors import InvalidValue
from expunge.linear import memory as linear_memory
from expunge.linear.factor import Factor
from expunge.linear.iterative import Iterative
from expunge.linear.logistic import LogisticProblem
from expunge.linear.memory import iterates
from expunge.linear.rows import Rows
from expunge.linear.solver import train
from expunge.linear.sparse_rows import SparseRows
from expunge.predictors.linear import LinearModel
from expunge.unlearners.newton import Newton


def text(n=300, d=90, density=0.05, seed=0, classes=2):
    rng = np.random.default_rng(seed)
    x = sp.random_array((n, d), density=density, rng=rng, format="csr")
    scores = x @ rng.normal(size=(d, classes)) * 3
    return x, scores.argmax(axis=1) if classes > 2 else (scores[:, 0] > 0).astype(np.int64)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from((1e-6, 1e-4, 1e-2)), st.booleans())
def test_both_ways_of_solving_come_to_the_same(seed, lam, sparse):
    x, y = text(seed=seed, n=120, d=40)
    rows = SparseRows.normalised(x) if sparse else Rows.normalised(x.toarray())
    b = np.random.default_rng(seed).normal(size=40)
    fits = [
        train(LogisticProblem(rows, 2.0 * y - 1, lam, b, iterative), tol=1e-9) for iterative in (False, True)
    ]
    assert all(fit.report.converged for fit in fits)
    # both are within their gradient's norm, over lam n, of the one minimiser
    assert np.linalg.norm(fits[0].w - fits[1].w) <= 2.1e-9 / (lam * 120)
    assert isinstance(fits[0].factor, Factor)
    assert isinstance(fits[1].factor, Iterative)


def test_a_solve_leaves_what_it_may():
    x, y = text()
    problem = LogisticProblem(SparseRows.normalised(x), 2.0 * y - 1, 1e-4, np.zeros(90), True)
    w = np.random.default_rng(1).normal(size=90)
    solver, rhs = Iterative.at(problem, w), np.random.default_rng(2).normal(size=90)
    curvature = problem.curvature(w)
    np.testing.assert_allclose(solver.diagonal, np.diag(problem.hessian(w)), rtol=1e-12)
    for enough in (1e-2, 1e-6, None):
        left = np.linalg.norm(curvature.times(solver.solve(problem, w, rhs, enough)) - rhs)
        assert left <= (1e-10 if enough is None else enough * (1 + 1e-6))
    assert not solver.solve(problem, w, np.zeros(90)).any()


def newton(perturbation, certificate, update, **model):
    release = perturbation == "release"
    linear = LinearModel(lam=1e-2, std=0.0 if release else 30.0, **model)
    return Newton(
        linear, certificate=certificate, update=update, perturbation=perturbation, at_limit="refuse"
    )


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(
    "how",
    [
        ("release", "measured", "corrected"),
        ("gaussian", "measured", "corrected"),
        ("gaussian", "measured", "fresh"),
        ("gaussian", "third_order", "fresh"),
        ("gaussian", "data_dependent", "frozen"),
        ("gaussian", "third_order", "corrected"),
        ("gaussian", "worst_case", "fresh"),
    ],
)
def test_every_certificate_holds_without_a_matrix(how, classes):
    x, y = text(n=400, classes=classes)
    for rows in (SparseRows.normalised(x), Rows.normalised(x.toarray())):
        iterative, direct = (newton(*how, solver=solver) for solver in ("iterative", "direct"))
        for method in (iterative, direct):
            method.fit(rows, y, 0)
        assert [method.predictor.iterative for method in (iterative, direct)] == [True, False]
        for request in ([3], [10, 11, 12], [40], list(range(100, 160))):
            outcomes = [method.remove(request) for method in (iterative, direct)]
            assert [one.outcome for one in outcomes] == [outcomes[0].outcome] * 2
            for method in (iterative, direct):
                bound = method.account.beta
                assert method.predictor.kept_residual() <= bound * (1 + 1e-9)
                assert bound <= method.account.budget
        assert not any(array.shape[-2:] == (90, 90) for array in iterative.state().arrays.values())


def test_a_column_is_saved_and_goes_on_alike():
    x, y = text(n=300, classes=3)
    rows = SparseRows.normalised(x)
    method = newton("gaussian", "measured", "corrected", solver="iterative")
    method.fit(rows, y, 0)
    method.remove([3])
    other = newton("gaussian", "measured", "corrected", solver="auto")  # the file says how
    other.load_state(method.state(), rows, y)
    assert other.predictor.iterative
    for request in ([7], [20, 21]):
        ours, theirs = method.remove(request), other.remove(request)
        assert (ours.residual_bound, ours.residual_measured) == (
            theirs.residual_bound,
            theirs.residual_measured,
        )
    np.testing.assert_array_equal(method.predictor.weights, other.predictor.weights)


def test_how_is_chosen_by_what_it_costs(monkeypatch):
    wide, narrow = (
        SparseRows.normalised(sp.csr_array((4, 1025))),
        SparseRows.normalised(sp.csr_array((4, 1024))),
    )
    dense = Rows.normalised(np.zeros((4, 2000)))
    for rows, width, most, expected in (
        (wide, 1, 1e12, True),
        (narrow, 1, 1e12, False),
        (dense, 10, 8 * 10 * 2000**2, False),
        (dense, 11, 8 * 10 * 2000**2, True),
    ):
        assert iterates("auto", rows, width, 1.5 * width, most) is expected
        assert iterates("direct", rows, width, 1.5 * width, most) is False
        assert iterates("iterative", rows, width, 1.5 * width, most) is True
    monkeypatch.setattr(linear_memory, "_SMALL", 0)
    monkeypatch.setattr(linear_memory, "available_memory", lambda: 2000)
    x, y = text()
    rows = Rows.normalised(x.toarray())
    assert newton("release", "measured", "corrected").fit(rows, y, 0) is None  # what does not fit is not made
    with pytest.raises(InvalidValue, match=r"features: got 90, allowed: at most .* choose solver=iterative"):
        newton("release", "measured", "corrected", solver="direct").fit(rows, y, 0)


def test_removals_without_the_rows_keep_their_matrices():
    x, y = text()
    with pytest.raises(InvalidValue, match=r"^solver: got 'iterative', allowed: direct or auto with"):
        newton("release", "measured", "rowless", solver="iterative")
    with pytest.raises(InvalidValue, match=r"^update: got 'rowless', allowed: corrected with sparse rows$"):
        newton("release", "measured", "rowless").fit(SparseRows.normalised(x), y, 0)
    method = newton("release", "measured", "rowless", solver_memory=1.0)
    method.fit(Rows.normalised(x.toarray()), y, 0)
    assert method.remove([3]).outcome == "removed"


@pytest.mark.parametrize("setting", [{"solver": "cg"}, {"solver_memory": 0}, {"solver_memory": "4GB"}])
def test_settings_that_are_none(setting):
    (name,) = setting
    with pytest.raises(InvalidValue, match=f"^{name}: "):
        LinearModel(**setting)


def test_too_little_regularisation_is_said():
    rows = SparseRows.normalised(sp.csr_array(np.eye(3)))  # and a feature that no row has
    rows = SparseRows.normalised(sp.csr_array((rows.data, rows.columns, rows.starts), shape=(3, 4)))
    with pytest.raises(InvalidValue, match=r"^lam: "):
        Iterative.at(LogisticProblem(rows, np.ones(3), 1e-324, np.zeros(4), True), np.zeros(4))


@pytest.mark.parametrize("sparse", [True, False])
def test_a_run_in_small_is_solved_as_the_run_is(sparse, caplog):
    x, y = text(n=100, d=1500, classes=3)
    rows = SparseRows.normalised(x) if sparse else Rows.normalised(x.toarray())
    method = newton("release", "measured", "corrected", solver="auto" if sparse else "iterative")
    model, few, labels = method.predictor.small(rows.without([0]), y)
    assert (model.solver, len(few), len(labels)) == ("iterative", 24, 24)
    caplog.set_level("DEBUG", logger="expunge.unlearners.rehearsal")
    method.rehearse(rows, y)
    assert not [record.message for record in caplog.records if "a run in small failed" in record.message]
