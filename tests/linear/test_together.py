"""Columns that are solved for together come to what each comes to alone, and are charged what is true."""

from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import expunge
from expunge import CertifiedLogisticRegression
from expunge.linear import column_passes
from expunge.linear.column_passes import ColumnPasses, groups
from expunge.linear.logistic import certified_together
from expunge.linear.one_vs_rest import one_vs_rest
from expunge.linear.rows import Rows
from expunge.linear.shared_solves import conjugate_gradients
from expunge.linear.solver import train
from expunge.linear.together import Shared, train_together
from expunge.record.ledger import Ledger
from tests.oracles import logistic as oracle


def uneven(seed, width, n=150, d=9):
    """Rows of classes of very different sizes, the last of a single row, and some rows twice."""
    rng = np.random.default_rng(seed)
    count = max(2, width)
    y = np.minimum(rng.geometric(0.5, n) - 1, count - 2)
    y[:count] = np.arange(count)
    x = rng.normal(size=(n, d)) + 2 * rng.normal(size=(count, d))[y]
    x[20:30], y[20:30] = x[30:40], y[30:40]
    return x, y


def problems_of(x, y, lam, b, gone=()):
    rows = Rows.normalised(x)
    rows = rows.without(np.array(gone, dtype=np.int64)) if len(gone) else rows
    return one_vs_rest(rows, y, np.unique(y), lam, b, iterative=True)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from((1, 2, 3, 7)), st.sampled_from((1e-5, 1e-3, 1e-1)))
def test_a_pass_for_all_is_that_of_the_oracle_within_what_is_charged(seed, width, lam):
    x, y = uneven(seed, width)
    rng = np.random.default_rng(seed)
    columns = len(np.unique(y)) if len(np.unique(y)) > 2 else 1
    b, w = rng.normal(size=(9, columns)), 3 * rng.normal(size=(9, columns))
    problems = problems_of(x, y, lam, b, gone=[50, 51])
    passes, at = ColumnPasses.of(problems), np.arange(columns)
    found, _ = passes.gradients(w, at, slopes := passes.slopes())
    rows = problems[0].rows
    stay = np.delete(np.arange(len(y)), [50, 51])
    for k, problem in enumerate(problems):
        true = oracle.wide_gradient(rows.part(stay), problem.y[stay], lam, b[:, k], w[:, k])
        assert oracle.norm(found[:, k] - true) <= problem.rounding(w[:, k])
        step = rng.normal(size=9)
        hessian = problem.hessian(w[:, k])
        near = passes.curved(slopes, step[:, None], at[k : k + 1])[:, 0]
        np.testing.assert_allclose(near, hessian @ step, atol=1e-4 * np.abs(hessian @ step).max())
    own = np.stack([problem.removed_gradient(w[:, k], [3, 7]) for k, problem in enumerate(problems)], axis=1)
    np.testing.assert_allclose(passes.removed(w, np.array([3, 7])), own, rtol=1e-9, atol=1e-12)
    one = at[-1:]
    np.testing.assert_allclose(passes.gradients(w[:, -1:], one, slopes)[0], found[:, -1:], atol=1e-11)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from((1, 2, 3, 7)), st.sampled_from((1e-6, 1e-3, 1e-1)))
def test_columns_together_come_to_the_minima_that_they_come_to_alone(seed, width, lam):
    x, y = uneven(seed, width)
    columns = len(np.unique(y)) if len(np.unique(y)) > 2 else 1
    problems = problems_of(x, y, lam, np.random.default_rng(seed).normal(size=(9, columns)))
    tols = [1e-9 * 10.0**k for k in range(columns)]  # they end at different steps
    together = train_together(problems, tols)
    for problem, tol, fit in zip(problems, tols, together, strict=True):
        alone = train(problem, tol)
        assert fit.report.converged == alone.report.converged
        assert np.linalg.norm(problem.gradient(fit.w)) <= fit.report.gradient_norm + 2 * problem.rounding(
            fit.w
        )
        most = fit.report.gradient_norm + alone.report.gradient_norm + 4 * problem.rounding(fit.w)
        assert np.linalg.norm(fit.w - alone.w) <= most / (lam * len(y))
        assert isinstance(fit.factor, Shared)
        np.testing.assert_allclose(fit.factor.diagonal, np.diag(problem.hessian(fit.w)), rtol=1e-3)


def test_a_column_that_is_solved_takes_part_in_no_further_product():
    seen, sizes = [], np.array([1.0, 2.0, 5.0])

    def times(p, at):
        seen.append(at.tolist())
        return (1.0 + sizes[at] * np.arange(6)[:, None]) * p

    rhs = np.ones((6, 3))
    rhs[:, 1] = 0.0
    x = conjugate_gradients(times, lambda r, at: r.copy(), rhs, np.array([1.0, 0.0, 1e-9]), 50)
    assert seen[0] == [0, 2]
    assert seen[-1] == [2]
    np.testing.assert_allclose(x[:, 2], 1 / (1 + 5.0 * np.arange(6)), rtol=1e-8)
    assert not x[:, 1].any()


def test_what_one_pass_serves_is_bounded_by_memory():
    x, y = uneven(0, 7)
    problems = problems_of(x, y, 1e-3, np.zeros((9, len(np.unique(y)))))
    assert groups(problems) == [slice(0, len(problems))]
    with patch.object(column_passes, "MOST_SLOPES", 2 * len(y)):
        assert [own.stop - own.start for own in groups(problems)][:2] == [2, 2]
    direct = one_vs_rest(problems[0].rows, y, np.unique(y), 1e-3, np.zeros((9, len(problems))))
    assert all(own.stop - own.start == 1 for own in groups(direct))


@pytest.mark.parametrize("perturbation", ["release", "gaussian"])
def test_a_model_of_many_columns_keeps_its_promise_and_goes_on_from_a_file(perturbation, tmp_path):
    x, y = uneven(3, 6, n=400)
    how = {"lam": 1e-2, "random_state": 0, "perturbation": perturbation, "solver": "iterative"}
    if perturbation == "gaussian":
        how |= {"std": 30.0, "certificate": "measured"}
    model = CertifiedLogisticRegression(**how).fit(x, y)
    for request in ([60], [61, 62, 63], list(range(100, 180)), [5]):  # the last has a class to itself
        assert model.remove(request).outcome == "removed"
        assert model.residual() <= model.certificate_.beta <= model.certificate_.budget
        for column in model._engine_.columns:
            assert np.linalg.norm(column.problem.gradient(column.w)) <= column.account.beta
    model.save(tmp_path / "model.safetensors")
    again = CertifiedLogisticRegression.load(tmp_path / "model.safetensors", x, y)
    for both in (model, again):
        both.remove([200, 201])
    inside = [np.stack([column.w for column in both._engine_.columns]) for both in (model, again)]
    np.testing.assert_array_equal(*inside)


def test_nothing_of_features_x_features_a_column_is_kept():
    x, y = uneven(4, 7)
    model = CertifiedLogisticRegression(lam=1e-2, random_state=0, solver_memory=8 * 9**2 * 2).fit(x, y)
    columns = model._engine_.columns
    assert all(isinstance(column.factor, Shared) for column in columns)  # chosen: 7 inverses are too many
    assert len({id(column.factor.basis) for column in columns}) == 1
    before = columns[0].factor.basis
    model.remove([40])
    assert {id(column.factor.basis) for column in model._engine_.columns} == {id(before)}


def test_a_run_that_is_broken_off_ends_as_the_unbroken_one(tmp_path, monkeypatch):
    """The shared preconditioner is in no checkpoint, and what it is made from is the same again."""
    monkeypatch.chdir(tmp_path)
    asked = {"dataset": "digits", "unlearner": "newton_corrected", "unlearner.solver": "iterative"}
    asked |= {"removal.count": 12, "removal.batch_size": 3, "checkpoint_every": 5, "figures": False}
    asked["metrics"] = ["accuracy", "residual"]
    whole = expunge.run(asked, folder="whole")
    append, served = Ledger.append, iter(range(20))

    def ends(self, record):
        if next(served) == 8:
            raise KeyboardInterrupt
        return append(self, record)

    monkeypatch.setattr(Ledger, "append", ends)
    with pytest.raises(KeyboardInterrupt):
        expunge.run(asked, folder="cut")
    monkeypatch.setattr(Ledger, "append", append)
    cut = expunge.run({**asked, "resume": True}, folder="cut")
    assert whole.removals["residual_measured"].gt(0).all()
    columns = [name for name in whole.removals if name not in ("seconds", "memory_mb", "run")]
    pd.testing.assert_frame_equal(cut.removals[columns], whole.removals[columns])
    for name in ("model", "state"):
        files = [one.folder / f"{name}.safetensors" for one in (whole, cut)]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_bounds_of_columns_together_are_those_of_each_and_hardly_more():
    x, y = uneven(3, 5)
    rng = np.random.default_rng(3)
    w, gradient = rng.normal(size=(5, 9)), rng.normal(size=(5, 9)) * 10.0 ** -np.arange(0, 10, 2)[:, None]
    w /= np.linalg.norm(w, axis=1)[:, None]
    problems = problems_of(x, y, 1e-3, np.zeros((9, 5)), gone=[4])
    together = certified_together(problems, w, gradient)
    for problem, own, at, beta in zip(problems, w, gradient, together, strict=True):
        assert problem.certified(own, at) <= beta <= (1 + 2e-6) * problem.certified(own, at)
    w[2] *= 100
    assert all(b >= p.certified(*of) for b, p, *of in zip(
        certified_together(problems, w, gradient), problems, w, gradient, strict=True))  # fmt: skip
    gradient[1, 1] = np.nan
    assert not certified_together(problems, w, gradient)[1] <= 1e300
