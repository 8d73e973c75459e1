"""More than two classes: one column of weights a class, one budget for all of them."""

from dataclasses import replace
from math import hypot

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge import CertifiedLogisticRegression
from expunge.certificate import CERTIFICATES, Account, Guarantee, joint
from expunge.core.errors import InvalidValue
from expunge.datasets import mnist
from expunge.extractors.pixels import Pixels
from expunge.linear.one_vs_rest import one_vs_rest
from expunge.linear.removal import UPDATES
from expunge.linear.rows import Rows, spectral_norm, weighted_gram
from expunge.unlearners.newton import Newton
from expunge.unlearners.none import NoOp
from expunge.unlearners.retrain import Retrain
from tests.oracles import logistic as oracle
from tests.problems import method

HUGE = 1e305


def table(seed, n=80, d=5, classes=4, kind="float64"):
    """Rows of norm one and labels 0..classes-1, each of which occurs."""
    rng = np.random.default_rng(seed)
    rows = Rows.normalised(rng.normal(size=(n, d)).astype(kind))
    y = (rows.dense() @ rng.normal(size=(d, classes)) + 0.2 * rng.normal(size=(n, classes))).argmax(axis=1)
    y[:classes] = np.arange(classes)
    return rows, y


def fitted(rows, y, seed=0, kind=Newton, **how):
    model = method(kind, **({"lam": 1e-2, "std": 1.0} | how))
    model.fit(rows, y, seed)
    return model


def parts(model, k):
    """Rows, signs, lam and b that column k is trained on now, from public facts alone."""
    problem = model.predictor.columns[k].problem
    kept = problem.rows.scale != 0
    return (
        problem.rows.dense()[kept],
        problem.y[kept],
        model.predictor.lam,
        model.predictor.model()["perturbation"].reshape(problem.rows.dim, -1)[:, k],
    )


def oracle_residual(model):
    columns = [oracle.gradient(*parts(model, k), w) for k, w in enumerate(model.predictor.weights.T)]
    return float(np.linalg.norm(np.stack(columns)))


# -- the problems ------------------------------------------------------------------------------------------


def test_every_class_against_the_rest():
    rows, y = table(0)
    model = fitted(rows, y, tol=1e-10)
    assert model.predictor.model()["weight"].shape == model.predictor.model()["perturbation"].shape == (5, 4)
    for k in range(4):
        x, signs, lam, b = parts(model, k)
        np.testing.assert_array_equal(signs, np.where(y == k, 1, -1))
        np.testing.assert_allclose(model.columns[k].w, oracle.minimise(x, signs, lam, b), atol=1e-7)
    scores = rows.dense() @ model.predictor.model()["weight"]
    np.testing.assert_allclose(model.predictor.decision(rows), scores, atol=1e-12)
    np.testing.assert_array_equal(model.predictor.predict(rows), scores.argmax(axis=1))


@pytest.mark.parametrize("joint_training", [True, False])
def test_the_tolerance_is_for_all_classes_or_for_each(joint_training):
    rows, y = table(1, n=300)
    model = fitted(rows, y, tol=1e-3, joint_training=joint_training)
    norms = [report.gradient_norm for report in model.predictor.fit_reports]
    assert model.predictor.residual() == pytest.approx(hypot(*norms), rel=1e-6)
    if joint_training:
        assert model.predictor.residual() < 1e-3
    else:
        assert max(norms) < 1e-3


def test_the_perturbation_has_the_stated_deviation_in_every_class():
    guarantee = Guarantee(1.0, 1e-4, 3.0, 2_000)
    rows = Rows.normalised(np.random.default_rng(0).normal(size=(6, 500)))
    model = fitted(rows, np.array([0, 1, 2, 3, 0, 1]), std=3.0, lam=1.0)
    b = model.predictor.model()["perturbation"]
    np.testing.assert_allclose(b.std(axis=0), 3.0, rtol=0.15)
    assert abs(np.corrcoef(b.T) - np.eye(4)).max() < 0.2, "each class has noise of its own"
    assert model.guarantee.budget == guarantee.budget, "of the (d, K) residual, whatever K is"
    pure = fitted(rows, np.array([0, 1, 2, 3, 0, 1]), std=3.0, lam=1.0, perturbation="pure_eps", delta=0.0)
    assert pure.guarantee.dim == 2_000


def test_losses_and_gradient_are_sums_over_the_classes():
    rows, y = table(2, n=60)
    model, chosen = fitted(rows, y), np.arange(3, 50)
    zero, x = np.zeros(5), rows.dense(chosen)
    losses, gradient = np.zeros(len(chosen)), []
    for k in range(4):
        signs = np.where(y[chosen] == k, 1.0, -1.0)
        w = model.columns[k].w
        losses += [oracle.loss(x[[i]], signs[[i]], 0.0, zero, w) for i in range(len(chosen))]
        gradient.append(oracle.gradient(x, signs, 0.0, zero, w) / len(chosen))
    np.testing.assert_allclose(model.predictor.losses(rows, y, chosen), losses, rtol=1e-12)
    assert model.predictor.gradient_norm(rows, y, chosen) == pytest.approx(
        np.linalg.norm(gradient), rel=1e-12
    )


# -- subsamples --------------------------------------------------------------------------------------------


def test_a_class_uses_its_own_rows_and_a_share_of_the_others():
    rows, y = table(3, n=4000)
    problems = one_vs_rest(rows, y, np.arange(4), 1e-2, np.zeros((5, 4)), 0.25, np.random.default_rng(0))
    for k, problem in enumerate(problems):
        used = problem.rows.scale != 0
        assert used[y == k].all()
        assert used[y != k].mean() == pytest.approx(0.25, abs=0.03)
        assert problem.rows.places == used.sum(), "a pass goes through the rows in use alone"
    alike = np.mean((problems[0].rows.scale != 0)[y > 1] == (problems[1].rows.scale != 0)[y > 1])
    assert alike == pytest.approx(0.25**2 + 0.75**2, abs=0.04), "each class draws by itself"


def test_what_a_row_is_used_for_depends_on_no_other_row():
    """As if the removed row had never been there: all others are used as before."""
    rows, y = table(4, n=500)
    other = y.copy()
    other[17] = (y[17] + 1) % 4
    used = [
        [p.rows.scale != 0 for p in one_vs_rest(rows, labels, np.arange(4), 1.0, np.zeros((5, 4)), 0.3, rng)]
        for labels, rng in ((y, np.random.default_rng(5)), (other, np.random.default_rng(5)))
    ]
    for one, two in zip(*used, strict=True):
        np.testing.assert_array_equal(np.delete(one, 17), np.delete(two, 17))


def test_passes_over_a_subset_equal_passes_over_a_copy():
    rows, y = table(5, n=2500, kind="float32")
    used = np.random.default_rng(1).random(2500) < 0.3
    (problem, *_) = one_vs_rest(rows, y, np.arange(4), 1e-3, np.ones((5, 4)))
    subset = replace(problem, rows=rows.only(used))
    copy = replace(problem, rows=Rows.normalised(rows.raw[used]), y=problem.y[used])
    w, step = np.random.default_rng(2).normal(size=(2, 5))
    np.testing.assert_allclose(subset.gradient(w), copy.gradient(w), rtol=1e-12)
    np.testing.assert_allclose(subset.hessian(w), copy.hessian(w), rtol=1e-12)
    np.testing.assert_allclose(
        subset.curvature(w).along(step)[0], copy.curvature(w).along(step)[0], rtol=1e-12
    )
    np.testing.assert_array_equal(subset.rows.scores(w)[used], copy.rows.scores(w))
    assert not subset.rows.scores(w)[~used].any()
    assert subset.loss(w) == pytest.approx(copy.loss(w), rel=1e-12)


@pytest.mark.parametrize("update", UPDATES)
def test_classes_that_do_not_use_a_row_are_left_alone(update):
    rows, y = table(6, n=400)
    model = fitted(rows, y, update=update, certificate="third_order", subsample_ratio=0.05)
    uses = np.array([c.problem.rows.scale != 0 for c in model.columns])
    row = int(np.flatnonzero(uses.sum(axis=0) == 1)[0])
    before = model.columns
    assert model.remove([row]).outcome == "removed"
    changed = [now is not then for now, then in zip(model.columns, before, strict=True)]
    assert changed == uses[:, row].tolist()
    assert sum(changed) == 1
    assert oracle_residual(model) <= model.account.beta
    with pytest.raises(InvalidValue, match="removed before"):
        model.remove([row])


def test_a_subsample_needs_more_than_two_classes():
    rows, y = table(7)
    with pytest.raises(InvalidValue, match=r"subsample_ratio: got 0\.5, allowed: 1 with two classes"):
        fitted(rows, (y > 1).astype(np.int64), subsample_ratio=0.5)
    for bad in (0, 1.5, "half", True):
        with pytest.raises(InvalidValue, match="subsample_ratio"):
            method(Newton, subsample_ratio=bad)
    with pytest.raises(InvalidValue, match="joint_training"):
        method(Newton, joint_training=1)


# -- the joint certificate ----------------------------------------------------------------------------------


def test_joint_account_is_the_frobenius_norm():
    account = Account(Guarantee(1.0, 1e-4, 10.0, 6), "third_order", 3.0, solve_error=0.6)
    both = joint([account, replace(account, beta=4.0, solve_error=0.8)])
    assert both.beta == pytest.approx(5.0, rel=1e-15)
    assert both.beta >= 5.0
    assert both.solve_error == pytest.approx(1.0)
    assert joint([account]) is account


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(12, 80),
    d=st.integers(1, 8),
    classes=st.integers(3, 5),
    lam=st.sampled_from([1e-3, 1e-2, 1e-1]),
    share=st.sampled_from([1.0, 0.5, 0.1]),
    certificate=st.sampled_from(CERTIFICATES),
    update=st.sampled_from(UPDATES),
)
@settings(max_examples=60, deadline=None)
def test_joint_residual_is_within_the_joint_bound_at_every_step(
    seed, n, d, classes, lam, share, certificate, update
):
    rows, y = table(seed, n, d, classes)
    how = {"certificate": certificate, "update": update, "at_limit": "refuse", "subsample_ratio": share}
    model = fitted(rows, y, seed, lam=lam, **how)
    model.guarantee = replace(model.guarantee, std=HUGE)
    order = np.random.default_rng(seed).permutation(n)
    for request in (order[:1], order[1:3], order[3:4]):
        outcome = model.remove(request)
        rounding = hypot(*(c.problem.rounding(c.w) for c in model.columns))
        assert outcome.outcome == "removed"
        assert oracle_residual(model) <= outcome.residual_bound + rounding
        assert model.predictor.residual() == pytest.approx(oracle_residual(model), rel=1e-6, abs=1e-9)
        if outcome.residual_measured is not None:
            assert outcome.residual_measured == pytest.approx(oracle_residual(model), rel=1e-6, abs=1e-9)


def test_down_dating_a_shared_gram_matrix_once_a_class_is_no_bound():
    """The published error: one Gram matrix for all classes, from which each class takes the row off."""
    rng = np.random.default_rng(9)
    rows = Rows.normalised(np.vstack([np.tile([1.0, 0, 0, 0, 0], (60, 1)), rng.normal(size=(20, 5))]))
    y = rng.integers(0, 4, size=80)
    y[:4] = np.arange(4)
    gram, gone = weighted_gram(rows), np.arange(10, 22)
    for row in rows.dense(gone):
        for _ in range(4):  # once a class
            gram -= np.outer(row, row)
    published = spectral_norm(gram, 80)
    true = float(np.linalg.norm(rows.without(gone).dense(), 2))
    assert published < 0.8 * true, "what was taken for an upper bound lies below the norm"
    model = fitted(rows, y, certificate="third_order", update="frozen", lam=1e-3)
    model.guarantee = replace(model.guarantee, std=HUGE)
    for row in gone:
        model.remove([row])
        stay = model.columns[0].problem.rows
        for column in model.columns:
            assert column.spectral >= float(np.linalg.norm(stay.dense(), 2))
    assert published < model.columns[0].spectral, "the same assertion refuses the published value"


def test_columns_with_all_rows_share_one_gram_matrix(monkeypatch):
    made = []
    monkeypatch.setattr(
        "expunge.linear.rows.weighted_gram", lambda rows, *how: made.append(rows) or weighted_gram(rows, *how)
    )
    rows, y = table(10)
    model = fitted(rows, y, certificate="third_order")
    assert len(made) == 1
    model.remove([5])
    stored = {id(column.problem.rows) for column in model.columns}
    assert len(stored) == 1, "and they go on sharing what says which rows are left"
    fitted(rows, y, certificate="data_dependent", lam=1e-3)
    assert len(made) == 1, "nor does another model of these rows make it again"
    fitted(rows, y, certificate="third_order", subsample_ratio=0.5)
    assert len(made) == 1 + 4


def test_at_the_limit_all_classes_are_trained_anew():
    rows, y = table(11, n=200)
    model = fitted(rows, y, std=0.02, update="fresh", certificate="data_dependent", subsample_ratio=0.5)
    used = [c.problem.rows.scale != 0 for c in model.columns]
    first_b, outcomes = model.predictor.model()["perturbation"], []
    for row in range(30):
        outcomes.append(model.remove([row]))
        assert outcomes[-1].residual_bound <= outcomes[-1].budget
    assert {"retrained"} <= {outcome.outcome for outcome in outcomes}
    assert not np.isclose(model.predictor.model()["perturbation"], first_b).any(), (
        "fresh noise in every class"
    )
    for k, (column, before) in enumerate(zip(model.columns, used, strict=True)):
        np.testing.assert_array_equal((column.problem.rows.scale != 0)[30:], before[30:])
        assert column.spectral >= np.linalg.norm(parts(model, k)[0], 2)


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_what_is_retrained_at_the_limit_equals_the_minimisers_from_scratch(share):
    rows, y = table(15, n=60)
    model = fitted(rows, y, certificate="third_order", subsample_ratio=share)
    model.guarantee = replace(model.guarantee, epsilon=1e-6)
    for row in range(2):
        outcome = model.remove([row])
        assert outcome.outcome == "retrained"
        assert oracle_residual(model) <= outcome.residual_bound
        for k, column in enumerate(model.columns):
            np.testing.assert_allclose(column.w, oracle.minimise(*parts(model, k)), atol=1e-7)
            assert column.spectral >= np.linalg.norm(parts(model, k)[0], 2)


@pytest.mark.parametrize("share", [1.0, 0.3])
@pytest.mark.parametrize("update", UPDATES)
def test_a_loaded_state_goes_on_bit_for_bit(update, share):
    rows, y = table(12, n=200)
    how = {"update": update, "certificate": "third_order", "std": 0.05, "subsample_ratio": share, "anchor": 7}
    one = fitted(rows, y, **how)
    for row in range(20):
        one.remove([row])
    two = method(Newton, lam=1e-2, **how)
    two.load_state(one.state(), replace(rows), y)
    for row in range(20, 60):
        assert one.remove([row]) == two.remove([row])
    for name, array in one.predictor.model().items():
        np.testing.assert_array_equal(array, two.predictor.model()[name])


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_retraining_is_exact_and_paired(share):
    rows, y = table(13, n=100)
    model = fitted(rows, y, seed=4, kind=Retrain, subsample_ratio=share)
    certified = fitted(rows, y, seed=4, subsample_ratio=share, update="corrected", certificate="measured")
    np.testing.assert_array_equal(
        model.predictor.model()["perturbation"], certified.predictor.model()["perturbation"]
    )
    assert model.remove([1, 2, 9]).outcome == "retrained"
    certified.remove([1, 2, 9])
    for k in range(4):
        np.testing.assert_allclose(model.predictor.columns[k].w, oracle.minimise(*parts(model, k)), atol=1e-7)
    difference = np.linalg.norm(model.predictor.weights - certified.predictor.weights)
    assert (
        difference
        <= certified.predictor.residual() / (1e-2 * min(c.problem.n for c in certified.columns)) + 1e-7
    )
    reference = certified.predictor.retrained(rows, y, np.setdiff1d(np.arange(100), [1, 2, 9]))
    np.testing.assert_allclose(reference.weights, model.predictor.weights, atol=1e-7)
    again = method(Retrain, lam=1e-2, std=1.0, subsample_ratio=share)
    again.load_state(model.state(), rows, y)
    assert again.predictor.residual() == model.predictor.residual()
    assert fitted(rows, y, kind=NoOp).remove([0]).outcome == "refused"


# -- the estimator -------------------------------------------------------------------------------------------


def test_estimator_of_many_classes(tmp_path):
    rows, y = table(14, n=300, classes=3)
    x, names = rows.raw, np.array(["cat", "dog", "owl"])[y]
    model = CertifiedLogisticRegression(lam=1e-2, std=0.01, random_state=0, subsample_ratio=0.5).fit(x, names)
    assert model.coef_.shape == (3, 5)
    assert model.decision_function(x).shape == (300, 3)
    assert model.score(x, names) > 0.7
    shares = model.predict_proba(x)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    np.testing.assert_array_equal(model.classes_[shares.argmax(axis=1)], model.predict(x))
    assert model.remove([3, 5]).outcome == "removed"
    assert np.flatnonzero(~model.retained_).tolist() == [3, 5]
    model.save(tmp_path / "model.safetensors")
    loaded = CertifiedLogisticRegression.load(tmp_path / "model.safetensors", x, names)
    assert loaded.remove([8]) == model.remove([8])
    np.testing.assert_array_equal(loaded.coef_, model.coef_)


# -- real data ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("certificate", "update"), [("third_order", "frozen"), ("measured", "corrected")])
def test_a_thousand_digits_leave_a_model_of_ten_classes(shared_data, certificate, update):
    dataset = mnist.load(shared_data, train_rows=2000)
    x, _ = Pixels().extract(dataset)
    model = method(Newton, lam=1e-3, std=10.0, certificate=certificate, update=update, at_limit="refuse")
    model.fit(x, dataset.y_train, 0)
    if certificate == "third_order":  # half of 2,000 rows is more than its sum can pay for
        model.guarantee = replace(model.guarantee, std=HUGE)
    order = np.random.default_rng(0).permutation(2000)[:1000]
    for start in range(0, 1000, 10):
        outcome = model.remove(order[start : start + 10])
        assert outcome.outcome == "removed"
        measured = model.predictor.residual()
        assert measured <= outcome.residual_bound <= outcome.budget
        if certificate == "third_order":
            assert measured < 0.5 * outcome.residual_bound
