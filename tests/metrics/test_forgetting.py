"""Metrics of forgetting: cases worked by hand, properties, and models that remember or never saw the rows."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log, nan

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit

from expunge.core.errors import InvalidValue
from expunge.linear.rows import Rows
from expunge.metrics import View
from expunge.metrics.divergence import js_divergence, kl_divergence
from expunge.metrics.forgetting import Forgetting, completeness
from expunge.metrics.membership import Attack, logistic_attack, matched, row_losses, threshold_attack, traits
from expunge.metrics.relearn import relearn_steps
from expunge.metrics.retrained import Retrained
from expunge.models import Mlp
from expunge.predictors import Differentiable, Probabilistic
from expunge.predictors.linear import LinearModel
from expunge.predictors.network import NetworkModel
from expunge.training import Learner, Training
from expunge.unlearners.newton import Newton
from expunge.unlearners.retrain import Retrain
from tests import cli, networks
from tests.problems import method

ATTACKS = ("membership_auc", "membership_tpr", "membership_logistic_auc", "membership_logistic_tpr")
OWN = (*ATTACKS, "relearn_steps")
APART = ("retrain_js_test", "retrain_js_forget", "retrain_kl_test", "retrain_kl_forget")


# Divergences

P, Q = np.array([[0.7, 0.1, 0.1, 0.1]]), np.array([[0.1, 0.1, 0.1, 0.7]])


def test_divergences_in_closed_form():
    np.testing.assert_allclose(kl_divergence(P, Q), 0.6 * log(7), rtol=1e-14)
    # m = (.4, .1, .1, .4): half of .7 log(.7/.4) + .1 log(.1/.4), twice
    np.testing.assert_allclose(js_divergence(P, Q), 0.7 * log(7 / 4) - 0.1 * log(4), rtol=1e-14)
    assert js_divergence(P, Q)[0] == pytest.approx(0.253, abs=5e-4), "and not 0.083, as seen elsewhere"


def test_divergences_of_rows_that_rule_classes_out():
    p, q = np.array([[1.0, 0.0], [0.5, 0.5]]), np.array([[0.0, 1.0], [1.0, 0.0]])
    np.testing.assert_allclose(js_divergence(p, q)[0], log(2), rtol=1e-15)
    np.testing.assert_allclose(kl_divergence(p, np.array([[0.5, 0.5], [0.5, 0.5]])), [log(2), 0], rtol=1e-15)
    smallest = -log(np.finfo(float).tiny)  # 708.4: what a class costs that the second argument rules out
    np.testing.assert_allclose(kl_divergence(p, q), [smallest, 0.5 * (log(0.5) + log(0.5) + smallest)])
    assert js_divergence(P[:0], Q[:0]).shape == kl_divergence(P[:0], Q[:0]).shape == (0,)


@st.composite
def rows_of_probabilities(draw):
    n, k = draw(st.integers(1, 6)), draw(st.integers(2, 5))
    weights = st.one_of(st.just(0.0), st.floats(0, 1), st.floats(0, 1e-300))
    found = [draw(arrays(float, (n, k), elements=weights)) for _ in range(2)]
    for raw in found:
        raw[:, draw(st.integers(0, k - 1))] += 0.1
    return tuple(raw / raw.sum(axis=1, keepdims=True) for raw in found)


@given(rows_of_probabilities())
@settings(max_examples=100, deadline=None)
def test_properties_of_divergences(pair):
    p, q = pair
    js = js_divergence(p, q)
    np.testing.assert_allclose(js, js_divergence(q, p), rtol=1e-12, atol=1e-300)
    assert np.all((js >= 0) & (js <= log(2)))
    assert np.all(kl_divergence(p, q) >= 2 * (np.abs(p - q).sum(1) / 2) ** 2 - 1e-12), "Pinsker"
    assert np.all(js_divergence(p, p) == 0)
    assert np.all(kl_divergence(p, p) == 0)


# Membership


def test_losses_and_traits_of_rows():
    p = np.array([[0.5, 0.25, 0.25], [0.7, 0.2, 0.1]])
    found = traits(p, np.array([0, 2]))
    entropies = [1.5 * log(2), -0.7 * log(0.7) - 0.2 * log(0.2) - 0.1 * log(0.1)]
    expected = [[log(2), 0.5, 0.25, entropies[0]], [-log(0.1), 0.7, 0.5, entropies[1]]]
    np.testing.assert_allclose(found, expected, rtol=1e-14)
    sure = row_losses(np.array([[1.0, 1e-30], [1e-30, 1.0], [0.0, 1.0]]), np.array([0, 0, 0]))
    np.testing.assert_allclose(sure, [1e-30, 30 * log(10), -log(np.finfo(float).tiny)], rtol=1e-14)


def test_threshold_attack_in_closed_form():
    assert threshold_attack(np.array([1.0, 2.0]), np.array([3.0, 4.0])) == Attack(1.0, 1.0)
    assert threshold_attack(np.array([3.0, 4.0]), np.array([1.0, 2.0])) == Attack(0.0, 0.0)
    assert threshold_attack(np.ones(3), np.ones(5)) == Attack(0.5, 0.0)
    # of the 6 pairs 1 < 2, 1 < 2, 1 < 5, 3 < 5 are right
    assert threshold_attack(np.array([1.0, 3.0]), np.array([2.0, 2.0, 5.0])) == (pytest.approx(4 / 6), 0.5)
    for sides in ((0, 3), (3, 0)):
        assert threshold_attack(*map(np.ones, sides)) == (None, None)


def test_one_false_alarm_in_a_hundred_is_allowed():
    others, members = np.arange(100) + 0.0, np.array([-1.0, 0.5, 1.5])
    assert threshold_attack(members, others).tpr == pytest.approx(2 / 3)
    assert threshold_attack(members, others[:99]).tpr == pytest.approx(1 / 3)


@given(
    st.lists(st.sampled_from([0.0, 0.1, 0.5, 1.0, 7.0]), min_size=1, max_size=9),
    st.lists(st.sampled_from([0.0, 0.1, 0.5, 1.0, 7.0]), min_size=1, max_size=9),
)
@settings(max_examples=25, deadline=None)
def test_threshold_attack_by_counting(members, others):
    ours, theirs = np.array(members), np.array(others)
    found = threshold_attack(ours, theirs)
    pairs = (ours[:, None] < theirs) + 0.5 * (ours[:, None] == theirs)
    assert found.auc == pytest.approx(pairs.mean())
    cuts = [-inf, *members, *others]
    assert found.tpr == max(np.mean(ours <= cut) for cut in cuts if np.mean(theirs <= cut) <= 0.01)
    assert threshold_attack(theirs, ours).auc == pytest.approx(1 - found.auc)


def test_logistic_attack_tells_what_it_can_and_repeats_itself():
    rng = np.random.default_rng(0)
    members, others = rng.normal(size=(40, 2)), rng.normal(size=(60, 2))
    assert logistic_attack(members + 10, others) == (1.0, 1.0)
    assert logistic_attack(members - 10, others) == (1.0, 1.0), "it learns which way"
    assert logistic_attack(members, others, 3) == logistic_attack(members, others, 3)
    assert logistic_attack(members, others, 3) != logistic_attack(members, others, 4)
    assert logistic_attack(members[:4], others) == logistic_attack(members, others[:4]) == (None, None)


def test_logistic_attack_is_not_optimistic():
    """30 columns of noise separate 60 rows perfectly, but for rows that the attack has not been fitted to."""
    rng = np.random.default_rng(1)
    found = [logistic_attack(*rng.normal(size=(2, 30, 30))).auc for _ in range(5)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.15)


def test_matched_keeps_proportions_and_spreads():
    members, others = np.array([1, 1, 2, 9]), np.array([1, 2, 3, 1, 2, 1, 1, 2, 1])
    ours, theirs = matched(members, others)
    np.testing.assert_array_equal(ours, [0, 1, 2])  # nothing can be said of class 9
    np.testing.assert_array_equal(theirs, [0, 1, 3, 4, 5, 6, 8])  # five of class 1, two of class 2
    assert [len(side) for side in matched(np.array([1]), np.array([2]))] == [0, 0]


@given(st.lists(st.integers(0, 3), max_size=30), st.lists(st.integers(0, 3), max_size=30))
@settings(max_examples=60, deadline=None)
def test_matched_is_as_near_as_whole_rows_can_be(members, others):
    members, others = np.array(members, dtype=np.int64), np.array(others, dtype=np.int64)
    ours, theirs = matched(members, others)
    shared = set(members) & set(others)
    assert set(members[ours]) == set(others[theirs]) == shared
    assert len(ours) == sum(label in shared for label in members)
    assert len(np.unique(theirs)) == len(theirs)
    ratio = min((np.sum(others == k) / np.sum(members == k) for k in shared), default=0)
    for k in shared:
        exact = ratio * np.sum(members == k)
        taken = np.sum(others[theirs] == k)
        assert exact - 1 < taken <= max(exact + 1e-9, 1)


# Relearning


def bowl(w):
    """``w^2 / 2``: a step of size 1/2 halves w."""
    return float(w @ w) / 2, w


@pytest.mark.parametrize("make", [np.array, torch.tensor])
def test_relearn_steps_in_closed_form(make):
    start = make([1.0])
    found = [relearn_steps(bowl, start, target, 0.5, 9) for target in (0.5, 0.125, 0.124, 0.01, 0.0)]
    assert found == [0, 1, 2, 3, None]  # losses 1/2, 1/8, 1/32, 1/128
    assert start == make([1.0])
    assert relearn_steps(bowl, start, 0.125, 0.5, 1) == 1
    assert relearn_steps(bowl, start, 0.124, 0.5, 1) is None
    assert relearn_steps(lambda w: (nan, w), start, 1.0, 0.5, 9) is None


def test_completeness_is_the_share_classified_alike():
    assert completeness(np.array([1, 2, 3, 4]), np.array([1, 2, 4, 4])) == 0.75
    assert completeness(np.array([]), np.array([])) is None


# What the models offer


def rows(n=40, d=60, classes=2, seed=0):
    """Rows without any pattern, of more features than rows: what is known of them is known by heart."""
    rng = np.random.default_rng(seed)
    return Rows.normalised(rng.normal(size=(n, d))), rng.permutation(np.arange(n) % classes)


@dataclass(frozen=True)
class Cnn:
    """A small network with BatchNorm."""

    name: str = "cnn"
    weights: None = None

    def build(self, shape, classes):
        return networks.small_cnn(shape[0], classes).float()


def learner(architecture=None, epochs=100):
    settings = Training(optimizer="sgd", epochs=epochs, lr=0.5, batch_size=60, weight_decay=0.0)
    return Learner(architecture or Mlp(hidden=(16,)), settings, "cpu", progress=False, threads=1)


def fitted(model, x, y):
    model.fit(x, y, 0)
    return model


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)


@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities_of_the_linear_model(classes):
    x, y = rows(classes=classes)
    model = fitted(LinearModel(lam=1e-3, std=0.1), x, y)
    found, scores = model.probabilities(x), x.dense() @ model.weights
    if classes == 2:
        np.testing.assert_allclose(found[:, 1], expit(scores[:, 0]), rtol=1e-12)
    else:
        np.testing.assert_allclose(found, expit(scores) / expit(scores).sum(1, keepdims=True), rtol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-14)
    np.testing.assert_array_equal(model.classes_[found.argmax(axis=1)], model.predict(x))
    some = np.array([7, 3])
    np.testing.assert_allclose(model.probabilities(x, some), found[some], rtol=1e-12)
    assert model.probabilities(x, some[:0]).shape == (0, classes)


def test_probabilities_of_a_network():
    x, y = networks.blobs(50, 5, 3)
    model = fitted(NetworkModel(learner(epochs=3)), x, y + 4)
    found = model.probabilities(x)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-14)
    np.testing.assert_array_equal(model.classes_[found.argmax(axis=1)], model.predict(x))
    each = np.arange(50)
    np.testing.assert_allclose(-np.log(found[each, y]), model.losses(x, y + 4, each), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(model.probabilities(x, np.array([7, 3])), found[[7, 3]], rtol=1e-5)
    assert model.probabilities(x, each[:0]).shape == (0, 3)


@pytest.mark.parametrize("classes", [2, 3])
def test_mean_loss_of_the_linear_model(classes):
    x, y = rows(n=30, d=4, classes=classes)
    model, some = fitted(LinearModel(lam=1e-2, std=0.1), x, y), np.array([3, 8, 9])
    start, mean_loss = model.mean_loss(x, y, some)
    loss, gradient = mean_loss(start)
    assert loss == pytest.approx(model.losses(x, y, some).mean(), rel=1e-14)
    assert np.linalg.norm(gradient) == pytest.approx(model.gradient_norm(x, y, some), rel=1e-14)
    steps = 1e-6 * np.eye(len(start))
    slopes = [(mean_loss(start + step)[0] - mean_loss(start - step)[0]) / 2e-6 for step in steps]
    np.testing.assert_allclose(gradient, slopes, atol=1e-9)


def test_relearning_leaves_the_network_as_it_was():
    x, y = networks.pictures(24)
    model, some = fitted(NetworkModel(learner(Cnn(), epochs=2)), x, y), np.array([0, 5, 7])
    model.module.train()  # the mode is the owner's
    before, modes = model.model(), [part.training for part in model.module.modules()]
    start, mean_loss = model.mean_loss(x, y, some)
    loss, gradient = mean_loss(start)
    assert loss == pytest.approx(model.losses(x, y, some).mean(), rel=1e-6)
    assert float(gradient.norm()) == pytest.approx(model.gradient_norm(x, y, some), rel=1e-5)
    trained = sum(parameter.numel() for parameter in model.module.parameters())
    assert start.shape == gradient.shape == (trained,)
    steps = relearn_steps(mean_loss, start, 0.9 * loss, 0.05, 200)
    assert steps is not None
    assert steps > 0
    assert same(before, model.model())
    assert [part.training for part in model.module.modules()] == modes
    assert all(parameter.grad is None for parameter in model.module.parameters())
    assert mean_loss(start)[0] == loss, "statistics of BatchNorm did not move either"


def test_which_models_it_is_for():
    x, y = rows(classes=2)
    assert isinstance(fitted(LinearModel(), x, y), Probabilistic)
    network = fitted(NetworkModel(learner(epochs=1)), *networks.blobs(20))
    assert isinstance(network, Probabilistic)
    assert isinstance(Line(), Differentiable)
    assert not isinstance(Line(), Probabilistic)


# The metric


class Plain:
    """A plug-in that offers the least there is."""

    def predict(self, x):
        return x

    def model(self):
        return {"w": np.array([3.0])}


class Line(Plain):
    """A plug-in with losses, but without probabilities."""

    def losses(self, x, y, rows):
        return x[rows] + 0.0

    def gradient_norm(self, x, y, rows):
        return 1.0

    def retrained(self, x, y, rows):
        other = Line()
        other.model = lambda: {"w": np.array([2.0])}
        return other


def forgotten(model, train, test, requested, **how):
    """Fit, ask to forget ``requested``, and evaluate."""
    asked = np.isin(np.arange(len(train[1])), requested)
    fitted(model, *train)
    if not isinstance(model, (LinearModel, NetworkModel)):
        model.remove(list(requested))
        model = model.predictor
    return Forgetting(**how)(View(model, *train, *test, asked))


def test_what_a_model_without_probabilities_gets():
    x, y = np.arange(4), np.array([1, 1, 2, 2])
    asked = np.array([True, False, False, False])
    assert Forgetting()(View(Plain(), x, y, x, y, asked)) == dict.fromkeys(Forgetting.COLUMNS)
    expected = dict.fromkeys(Forgetting.COLUMNS) | {"retrain_weight_distance": 0.5}
    assert Forgetting()(View(Line(), x, y, x, y, asked)) == expected


def test_every_column_has_a_definition():
    assert {name.removeprefix("retrain_") for name in OWN} <= set(Forgetting.COLUMNS)
    for column in Forgetting.COLUMNS.values():
        assert column.arrow in ("↑", "↓") or "retrained model" in column.definition
        assert "\n" not in column.definition


@pytest.mark.parametrize("classes", [2, 3])
def test_retraining_is_its_own_reference(classes):
    train, test = rows(classes=classes), rows(classes=classes, seed=1)
    found = forgotten(method(Retrain, lam=1e-4, std=0.1), train, test, range(10, 22), relearn_lr=1.0)
    for name in OWN:
        assert found[name] is not None
        assert found[name] == found[f"retrain_{name}"]
    assert found["relearn_steps"] > 0
    assert [found[name] for name in APART] == [0.0] * 4
    assert (found["completeness"], found["retrain_weight_distance"]) == (1.0, 0.0)


@pytest.mark.parametrize("kind", ["two", "three", "network"])
def test_a_model_that_forgot_nothing_gives_its_members_away(kind):
    classes = 3 if kind == "three" else 2
    train, test = rows(60, 200, classes), rows(60, 200, classes, seed=1)
    if kind == "network":
        model = NetworkModel(learner())
        train, test = ((x.dense().astype(np.float32), y) for x, y in (train, test))
    else:
        model = LinearModel(lam=1e-4, std=0.0)
    found = forgotten(model, train, test, range(20), relearn_lr=1.0)
    assert found["membership_auc"] > 0.9 > 0.65 > found["retrain_membership_auc"]
    assert found["membership_logistic_auc"] > 0.9 > 0.65 > found["retrain_membership_logistic_auc"]
    assert found["relearn_steps"] == 0 < found["retrain_relearn_steps"]
    assert found["retrain_js_forget"] > found["retrain_js_test"] > 0
    assert found["retrain_kl_forget"] > found["retrain_kl_test"] > 0
    assert found["completeness"] < 0.6


def test_certified_removal_is_near_the_reference():
    train, test = rows(400, 10), rows(100, 10, seed=1)
    model = method(Newton, lam=1e-2, std=10.0)
    found = forgotten(model, train, test, [3, 9, 27, 81, 243, 17])
    assert not model.predictor.kept[3]
    for name in OWN:
        assert found[name] == pytest.approx(found[f"retrain_{name}"], abs=0.03)
    assert all(0 < found[name] < 1e-6 for name in APART)
    assert found["completeness"] == 1


def test_what_is_not_defined_is_none():
    train, test = rows(30, 4), rows(30, 4, seed=1)
    few = forgotten(LinearModel(lam=1e-3), train, test, [1, 2, 3, 4], relearn_lr=None)
    absent = [name for name in Forgetting.COLUMNS if few[name] is None]
    assert all("logistic" in name or "relearn" in name for name in absent)
    assert len(absent) == 6
    empty = (Rows.as_given(np.zeros((0, 4))), np.zeros(0, dtype=np.int64))
    found = forgotten(LinearModel(lam=1e-3), train, empty, range(8), relearn_lr=1.0)
    assert {name for name in found if found[name] is None} == {
        *(name for name in found if "membership" in name),
        *("retrain_js_test", "retrain_kl_test"),
    }
    model = fitted(LinearModel(lam=1e-3), *train)
    everything = Forgetting()(View(model, *train, *test, np.ones(30, dtype=bool)))
    assert {name for name in everything if everything[name] is not None} == set(OWN)
    nothing = Forgetting()(View(model, *train, *test, np.zeros(30, dtype=bool)))
    assert {name for name in nothing if nothing[name] is not None} <= {"retrain_weight_distance"}


def test_a_step_too_few_is_none():
    train, test = rows(), rows(seed=1)
    settings = {"relearn_lr": 1.0, "relearn_max_steps": 10_000}
    enough = forgotten(method(Retrain, lam=1e-3, std=0.0), train, test, range(5), **settings)["relearn_steps"]
    settings["relearn_max_steps"] = enough - 1
    assert (
        forgotten(method(Retrain, lam=1e-3, std=0.0), train, test, range(5), **settings)["relearn_steps"]
        is None
    )


def test_the_reference_is_trained_once_for_all_metrics(monkeypatch):
    train, test = rows(), rows(seed=1)
    model, trained = fitted(LinearModel(lam=1e-3), *train), []
    whole = LinearModel.retrained
    monkeypatch.setattr(LinearModel, "retrained", lambda *a: trained.append(len(a[3])) or whole(*a))
    view = View(model, *train, *test, np.arange(40) < 7)
    distances = [metric(view)["retrain_weight_distance"] for metric in (Retrained(), Forgetting())]
    assert distances[0] == distances[1] > 0
    assert sorted(trained) == [33, 40]


@pytest.mark.parametrize(
    "bad", [{"every": 0}, {"relearn_lr": 0}, {"relearn_lr": "x"}, {"relearn_max_steps": 0}, {"seed": -1}]
)
def test_bad_settings_are_named(bad):
    with pytest.raises(InvalidValue, match=next(iter(bad))):
        Forgetting(**bad)


def test_by_the_command(tmp_path):
    metrics = "metrics=[accuracy,retrained,forgetting]"
    common = (*cli.SMALL, metrics, "removal.count=2", "removal.batch_size=10")
    folder = cli.completed(*common, "metrics.forgetting.relearn_lr=0.5", folder=tmp_path / "run")
    first, last = cli.records(folder)
    assert all(first[name] is None and name in first for name in Forgetting.COLUMNS)
    assert all(last[name] is not None for name in Forgetting.COLUMNS)
    summary = cli.summary(folder)
    assert {name: summary[name] for name in Forgetting.COLUMNS} == {
        name: last[name] for name in Forgetting.COLUMNS
    }
    assert 0 <= summary["retrain_js_test"] < 1e-3
    bad = cli.expunge(*common, "metrics.forgetting.relearn_lr=-1", cwd=tmp_path)
    assert (bad.code, bad.err.count("\n")) == (2, 1)
    assert "metrics.forgetting.relearn_lr: got -1" in bad.err
