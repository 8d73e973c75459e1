"""Zero retrain forgetting: closed forms, the oracle, and networks with known answers."""

from __future__ import annotations

from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.errors import InvalidValue
from expunge.metrics import View
from expunge.metrics.zrf import Zrf, zrf
from expunge.models import Mlp
from expunge.predictors.linear import LinearModel
from expunge.predictors.network import NetworkModel
from expunge.training import Learner, Training
from tests import cli, networks
from tests.oracles import evaluations as naive


def test_closed_forms():
    """Equal rows: 1. No class in common: a bit apart, so 0. A sure row against an even one: by hand."""
    sure, other, even = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]), np.array([[0.5, 0.5]])
    assert zrf(sure, sure) == 1
    assert zrf(sure, other) == 0
    js = (log2(4 / 3) + (log2(2 / 3) + log2(2)) / 2) / 2
    assert zrf(sure, even) == pytest.approx(1 - js, rel=1e-14)
    assert zrf(np.vstack([sure, sure]), np.vstack([sure, other])) == 0.5
    assert zrf(np.zeros((0, 2)), np.zeros((0, 2))) is None


@given(seed=st.integers(0, 10**6), n=st.integers(1, 6), k=st.integers(2, 5))
def test_it_is_the_naive_one(seed, n, k):
    rng = np.random.default_rng(seed)
    p, r = rng.dirichlet(np.full(k, 0.3), n), rng.dirichlet(np.full(k, 0.3), n)
    found = zrf(p, r)
    assert found == pytest.approx(naive.zrf(p.tolist(), r.tolist()), rel=1e-12, abs=1e-14)
    assert 0 <= found <= 1


def fitted(epochs):
    settings = Training(optimizer="sgd", epochs=epochs, lr=0.3, batch_size=16, weight_decay=0.0)
    model = NetworkModel(Learner(Mlp(hidden=(16,)), settings, "cpu", progress=False, threads=1))
    x, y = networks.blobs(60, 5, 3, seed=0)
    model.fit(x, y, 0)
    return View(model, x, y, x, y, np.arange(60) < 12)


def test_random_networks_are_of_the_kind_and_leave_all_as_it_was():
    view = fitted(2)
    model, rows = view.model, np.arange(5)
    before = {name: value.copy() for name, value in model.model().items()}
    first, again, second = (model.ignorant(k).probabilities(view.x_train, rows) for k in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, second)
    start = model.built().state_dict()
    assert all(not np.array_equal(value, start[name]) for name, value in model.ignorant(0).model().items())
    assert all(np.array_equal(value, before[name]) for name, value in model.model().items())


def test_of_networks_it_is_the_mean_over_random_ones_beside_the_retrained():
    view = fitted(40)
    found = Zrf(networks=3)(view)
    rows = np.arange(12)
    for name, model in (("zrf", view.model), ("retrain_zrf", view.reference)):
        own = model.probabilities(view.x_train, rows).tolist()
        each = [
            naive.zrf(own, view.model.ignorant(k).probabilities(view.x_train, rows).tolist())
            for k in range(3)
        ]
        assert found[name] == pytest.approx(np.mean(each), rel=1e-9)
    assert found["zrf"] < 0.9, "a trained network is sure where a random one is not"
    untrained = Zrf(networks=3)(fitted(0))
    assert untrained["zrf"] > 0.95
    assert untrained["zrf"] == untrained["retrain_zrf"]


def test_what_is_not_defined_is_none_and_says_why(caplog):
    view = fitted(1)
    nobody = View(view.model, view.x_train, view.y_train, view.x_test, view.y_test, np.zeros(60, dtype=bool))
    assert Zrf()(nobody) == {"zrf": None, "retrain_zrf": None}
    everybody = View(
        view.model, view.x_train, view.y_train, view.x_test, view.y_test, np.ones(60, dtype=bool)
    )
    found = Zrf()(everybody)
    assert found["retrain_zrf"] is None
    assert found["zrf"] is not None
    assert "retrain_zrf is not defined: there is no model for the rows that stay" in caplog.text
    linear = View(LinearModel(), *([view.x_train, view.y_train] * 2), view.requested)
    assert Zrf()(linear) == {"zrf": None, "retrain_zrf": None}
    assert "removed rows and a network are needed" in caplog.text
    with pytest.raises(InvalidValue, match="networks"):
        Zrf(networks=0)


def test_by_the_command(tmp_path):
    """Retraining is its own reference; what a linear model lacks is said."""
    digits = ("dataset=digits", "model=mlp", "removal=class", "removal.class=3", "training.epochs=10")
    found = cli.summary(
        cli.completed(*digits, "unlearner=retrain", "metrics=[zrf]", "figures=false", folder=tmp_path / "a")
    )
    assert 0 < found["zrf"] == found["retrain_zrf"] < 1
    linear = cli.completed(*cli.SMALL, "metrics=[zrf]", "removal.count=1", folder=tmp_path / "b")
    assert cli.summary(linear).get("zrf") is None
