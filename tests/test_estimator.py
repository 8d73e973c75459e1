"""The scikit-learn face: estimator checks, serving requests, saving and loading."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.utils.estimator_checks import parametrize_with_checks

from expunge import CertifiedLogisticRegression
from expunge.core.errors import DataError, InvalidValue

BOTH = pytest.mark.parametrize("perturbation", ["release", "gaussian"])


ABOVE_1, OF_ZERO = "weights of rows are at most 1", "rows of weight zero are to be left out"
ELSE = {
    "check_sample_weights_list": ABOVE_1,
    "check_sample_weights_not_overwritten": ABOVE_1,
    "check_sample_weight_equivalence_on_dense_data": f"{ABOVE_1}, and {OF_ZERO}",
    "check_sample_weight_equivalence_on_sparse_data": f"{ABOVE_1}, and {OF_ZERO}",
    "check_classifiers_one_label_sample_weights": OF_ZERO,
    "check_class_weight_classifiers": "there is no intercept unless it is asked for",
}


@parametrize_with_checks(
    [
        CertifiedLogisticRegression(),
        CertifiedLogisticRegression(
            perturbation="gaussian", update="fresh", certificate="data_dependent", std=0.1
        ),
    ],
    expected_failed_checks=lambda estimator: ELSE,
)
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 6))
    return x, np.where(x @ rng.normal(size=6) + 0.3 * rng.normal(size=300) > 0, "yes", "no")


@BOTH
def test_without_noise_it_is_logistic_regression(table, perturbation):
    x, y = table
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    settings = {"lam": 1e-2, "std": 1e-5, "perturbation": perturbation, "random_state": 0}
    ours = CertifiedLogisticRegression(**settings).fit(x, y)
    theirs = LogisticRegression(C=1 / (1e-2 * 300), fit_intercept=False, tol=1e-10, max_iter=1000).fit(x, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-4)
    assert (ours.predict(x) == theirs.predict(x)).all()
    np.testing.assert_allclose(ours.predict_proba(x), theirs.predict_proba(x), atol=1e-5)


@BOTH
def test_serving_removals(table, perturbation):
    settings = {"lam": 1e-2, "std": 0.1, "perturbation": perturbation, "random_state": 0}
    model = CertifiedLogisticRegression(**settings).fit(*table)
    before = model.certificate_.epsilon_spent
    outcome = model.remove([17, 42])
    certificate = model.certificate_
    assert outcome.outcome == "removed"
    assert outcome.rows == (17, 42)
    assert model.residual() == pytest.approx(outcome.residual_measured, rel=1e-6, abs=1e-12)
    assert model.residual() <= certificate.beta <= outcome.residual_bound <= outcome.budget
    assert before < outcome.epsilon_spent == certificate.epsilon_spent <= model.epsilon
    assert certificate.within_budget
    assert np.flatnonzero(~model.retained_).tolist() == [17, 42]
    with pytest.raises(InvalidValue, match="17"):
        model.remove([17])


def test_what_a_removal_has_spent_as_published(table):
    settings = {"lam": 1e-2, "std": 0.1, "perturbation": "gaussian", "random_state": 0}
    model = CertifiedLogisticRegression(**settings).fit(*table)
    outcome = model.remove([17, 42])
    assert outcome.epsilon_spent == pytest.approx(outcome.residual_bound / outcome.budget * model.epsilon)
    assert model.certificate_.beta == outcome.residual_bound
    assert model.certificate_.budget == outcome.budget


def test_what_leaves_says_nothing_of_the_model_inside(table):
    """Every release has noise of its own, and what goes with it was known beforehand."""
    model = CertifiedLogisticRegression(lam=1e-2, releases=4).fit(*table)
    out = [model.coef_.copy()]
    for row in range(3):
        outcome = model.remove([row])
        assert outcome.residual_measured is None
        assert outcome.residual_bound == outcome.budget
        out.append(model.coef_.copy())
    inside = np.stack([column.w for column in model._engine_.columns])
    std = model.certificate_.guarantee.std
    assert std / 4 < np.std(out[-1] - inside) < 4 * std
    assert outcome.epsilon_spent == pytest.approx(model.epsilon, rel=1e-3)
    refused = model.remove([5])
    assert refused.outcome == "refused"
    assert "releases" in refused.reason
    np.testing.assert_array_equal(model.coef_, out[-1])


@BOTH
def test_unseeded_models_draw_their_noise_from_the_system(table, perturbation):
    settings = {"std": 0.05, "perturbation": perturbation}
    one, two = (CertifiedLogisticRegression(**settings).fit(*table).coef_ for _ in range(2))
    assert not np.allclose(one, two)


@pytest.mark.parametrize(
    "settings",
    [
        {"perturbation": "gaussian", "std": 0.05},
        {"perturbation": "release", "std": 0.05, "random_state": 0},
        {"perturbation": "release"},
    ],
    ids=["published", "seeded", "protected"],
)
def test_a_saved_model_goes_on_exactly_where_it_stopped(table, tmp_path, settings):
    x, y = table
    model = CertifiedLogisticRegression(**settings).fit(x, y)
    for row in range(20):
        model.remove([row])
    model.save(tmp_path / "model.safetensors")
    again = CertifiedLogisticRegression.load(tmp_path / "model.safetensors", x, y)
    assert again.get_params() == model.get_params()
    assert again.certificate_ == model.certificate_
    np.testing.assert_array_equal(again.coef_, model.coef_)
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    for row in range(20, 60):
        assert again.remove([row]) == model.remove([row])
    for one, other in zip(again._engine_.columns, model._engine_.columns, strict=True):
        np.testing.assert_array_equal(one.w, other.w)
    same = "random_state" in settings or settings["perturbation"] == "gaussian"
    assert np.array_equal(again.coef_, model.coef_) == same  # else the system has drawn apart


def test_loading_wants_the_same_training_data(table, tmp_path):
    x, y = table
    path = tmp_path / "model.safetensors"
    CertifiedLogisticRegression().fit(x, y).save(path)
    changed = x.copy()
    changed[5, 2] += 1e-12
    with pytest.raises(DataError, match="not the training data"):
        CertifiedLogisticRegression.load(path, changed, y)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="not a file written by expunge"):
        CertifiedLogisticRegression.load(path, x, y)
    with pytest.raises(DataError, match="no such file"):
        CertifiedLogisticRegression.load(tmp_path / "absent", x, y)


@pytest.mark.parametrize(("perturbation", "aim"), [("release", 0.5), ("gaussian", 0.01)])
def test_float32_rows_are_kept_without_a_copy(table, perturbation, aim):
    x = np.ascontiguousarray(table[0], dtype=np.float32)
    model = CertifiedLogisticRegression(perturbation=perturbation, std=0.05).fit(x, table[1])
    assert np.shares_memory(model._engine_.predictor.problem.rows.raw, x)
    budget = model.remove([1]).budget
    assert model.residual() < aim * budget


def test_what_cannot_be_fitted_says_so(table):
    x, y = table
    with pytest.raises(NotFittedError):
        CertifiedLogisticRegression().remove([0])
    with pytest.raises(ValueError, match="lam"):
        CertifiedLogisticRegression(lam=-1.0).fit(x, y)
    with pytest.raises(ValueError, match="norm above 1"):
        CertifiedLogisticRegression(normalize=False).fit(x, y)
    with pytest.warns(ConvergenceWarning, match="charged to the certificate"):
        CertifiedLogisticRegression(tol=1e-300).fit(x, y)
    with pytest.raises(InvalidValue, match=r"^max_iter: got 1, allowed: enough steps to come within "):
        CertifiedLogisticRegression(max_iter=1).fit(x, y)
    with pytest.raises(InvalidValue, match="training leaves a residual"):
        CertifiedLogisticRegression(max_iter=1, perturbation="gaussian", std=0.1).fit(x, y)
    for name in ("certificate", "update", "anchor"):
        bad = {"certificate": "third_order", "update": "fresh", "anchor": 3}[name]
        with pytest.raises(InvalidValue, match=rf"^{name}: got .* with perturbation=release"):
            CertifiedLogisticRegression(**{name: bad}).fit(x, y)
    with pytest.raises(InvalidValue, match=r"^residual_held: got 0\.1, allowed: null where std is given"):
        CertifiedLogisticRegression(std=0.1, residual_held=0.1).fit(x, y)


def test_clone_and_zero_rows(table):
    x, y = table
    x[3] = 0
    published = {"perturbation": "gaussian", "update": "frozen", "certificate": "third_order", "std": 0.1}
    for settings in ({}, published):
        model = clone(CertifiedLogisticRegression(**settings)).fit(x, y)
        assert model.remove([3]).outcome == "removed"
        assert model.residual() <= model.certificate_.beta + 1e-9


@pytest.mark.parametrize("size", [1e-305, 1e-161, 1e300])
def test_rows_of_any_size_train_and_predict_alike(table, size):
    usual = CertifiedLogisticRegression(random_state=0).fit(*table)
    x = table[0] * size
    model = CertifiedLogisticRegression(random_state=0).fit(x, table[1])
    np.testing.assert_allclose(model.coef_, usual.coef_, rtol=1e-6)
    np.testing.assert_allclose(model.decision_function(x), usual.decision_function(table[0]), atol=1e-6)
    assert model.remove([3, 4]).outcome == "removed"


def test_what_is_predicted_of_a_training_row_is_what_it_was_trained_as(table):
    """Also in float32, whose squares vanish below 1e-23."""
    x, y = table[0].astype(np.float32), table[1]
    x[:100] *= np.float32(1e-30)
    x[100:200] *= np.float32(1e30)
    x[200:] *= np.float32(1e-42)  # subnormal: a few bits
    model = CertifiedLogisticRegression(random_state=0).fit(x, y)
    trained = model._engine_.predictor.problem
    np.testing.assert_allclose(model.decision_function(x), trained.rows.scores(model.coef_[0]), rtol=1e-12)
    model = CertifiedLogisticRegression(random_state=0, normalize=False).fit(x[:100], y[:100])
    np.testing.assert_array_equal(model.decision_function(x), x.astype(np.float64) @ model.coef_[0])


def test_probabilities_are_numbers_where_every_score_is_very_low():
    x = np.eye(3).repeat(30, axis=0)
    model = CertifiedLogisticRegression(lam=1e-5, std=100.0, random_state=0, normalize=False)
    probe = np.linalg.solve(model.fit(x, np.arange(90) % 3).coef_, [-800.0, -801.0, -2000.0])[None]
    np.testing.assert_allclose(model.predict_proba(probe), [[1 / (1 + np.exp(-1)), 1 / (1 + np.e), 0]])
