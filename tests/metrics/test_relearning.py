"""The anamnesis index and representations, of models with known answers; BatchNorm included."""

from __future__ import annotations

import numpy as np
import pytest

from expunge.core.errors import InvalidValue
from expunge.linear.rows import Rows
from expunge.metrics import View
from expunge.metrics.anamnesis import Anamnesis
from expunge.metrics.relearn import anamnesis_index
from expunge.metrics.representation import Representation
from expunge.metrics.verification import Verification
from expunge.models import Mlp
from expunge.predictors.linear import LinearModel
from expunge.predictors.network import NetworkModel
from expunge.training import Learner, Training
from tests import networks
from tests.metrics.test_forgetting import Cnn
from tests.oracles import evaluations as naive


@pytest.mark.parametrize(
    ("own", "aim", "ratio"), [(6, 3, 2.0), (0, 3, 0.0), (3, 0, None), (None, 3, None), (3, None, None)]
)
def test_the_index_is_a_ratio_or_not_defined(own, aim, ratio):
    assert anamnesis_index(own, aim) == ratio


def network(architecture=None, epochs=40):
    """A class out of three leaves, so that a retrained network gets its rows wrong."""
    settings = Training(optimizer="sgd", epochs=epochs, lr=0.1, batch_size=16, weight_decay=0.0)
    model = NetworkModel(
        Learner(architecture or Mlp(hidden=(16,)), settings, "cpu", progress=False, threads=1)
    )
    x, y = networks.pictures(18) if isinstance(architecture, Cnn) else networks.blobs(48, 5, 3)
    model.fit(x, y, 0)
    return View(model, x, y, x, y, y == 2)


def after(view, model):
    return View(model, view.x_train, view.y_train, view.x_test, view.y_test, view.requested)


@pytest.mark.parametrize("architecture", [None, Cnn()], ids=["mlp", "BatchNorm"])
def test_networks_that_remember_or_never_saw_the_rows(architecture):
    """Nothing done: no step. Retrained: the reference's own number. A stricter aim: more."""
    view = network(architecture)
    before = {name: value.copy() for name, value in view.model.model().items()}
    metric = Anamnesis(lr=0.03, alpha=0.5, max_steps=3000)
    nothing, retrained = metric(view), metric(after(view, view.reference))
    assert (nothing["ain"], nothing["ain_steps"]) == (0, 0)
    assert retrained["ain"] == 1
    assert retrained["ain_steps"] == nothing["retrain_ain_steps"] > 0
    stricter = Anamnesis(lr=0.03, alpha=0.05, max_steps=6000)(after(view, view.reference))
    assert stricter["ain_steps"] > retrained["ain_steps"]
    assert all(np.array_equal(value, before[name]) for name, value in view.model.model().items())


def test_steps_are_those_of_an_optimiser_of_torch():
    import torch

    view = network()
    forget, model = np.flatnonzero(view.requested), view.reference
    target = 1.5 * view.original.losses(view.x_train, view.y_train, forget).mean()
    module, (x, y) = model.module, next(iter(model.training(forget)))
    twin = type(module)(*[part for part in module])
    twin.load_state_dict(module.state_dict())
    optimizer, steps = torch.optim.SGD(twin.parameters(), 0.1), 0
    while (loss := torch.nn.functional.cross_entropy(twin(x), y)) > target:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps += 1
    view = network()
    assert abs(Anamnesis(lr=0.1, alpha=0.5, max_steps=3000)(view)["retrain_ain_steps"] - steps) <= 1


def test_what_has_no_index_says_why(caplog):
    view = network(epochs=2)
    few = Anamnesis(lr=1e-3, alpha=0.0, max_steps=2)(view)
    assert few["ain"] is None
    assert "does not get there in 2 steps" in caplog.text
    there = Anamnesis(alpha=100.0)(view)
    assert (there["ain"], there["retrain_ain_steps"]) == (None, 0)
    assert "the retrained model fits the removed rows as well without a step" in caplog.text
    nobody = View(view.model, *([view.x_train, view.y_train] * 2), np.zeros(48, dtype=bool))
    assert set(Anamnesis()(nobody).values()) == {None}
    for bad in ({"lr": 0}, {"alpha": -1}, {"max_steps": 0}):
        with pytest.raises(InvalidValue, match=next(iter(bad))):
            Anamnesis(**bad)


def test_of_the_linear_model_too():
    rng = np.random.default_rng(0)
    x, y = Rows.normalised(rng.normal(size=(40, 60))), rng.permutation(np.arange(40) % 2)
    model = LinearModel(lam=1e-4, std=0.0)
    model.fit(x, y, 0)
    found = Anamnesis(lr=1.0)(View(model, x, y, x, y, np.arange(40) < 8))
    assert found["ain"] == 0 < found["retrain_ain_steps"]


# -- representation -------------------------------------------------------------------------------------


def test_representations_are_compared_by_the_oracle():
    view = network()
    found = Representation()(view)
    for key, rows in (("forget", view.requested), ("retain", ~view.requested), ("test", view.y_test >= 0)):
        own, aim = (m.embeddings(view.x_train, np.flatnonzero(rows)) for m in (view.model, view.reference))
        own, aim = own - own.mean(axis=0), aim - aim.mean(axis=0)
        assert found[f"cka_{key}"] == pytest.approx(naive.cka(own, aim, naive.hsic), rel=1e-9)
        unbiased = naive.cka(own, aim, naive.hsic_unbiased)
        assert found[f"cka_unbiased_{key}"] == pytest.approx(unbiased, rel=1e-7)
    retrained = Representation()(after(view, view.reference))
    np.testing.assert_allclose(list(retrained.values()), 1, rtol=1e-12)
    assert found["cka_forget"] < 0.99


def test_of_many_rows_some_are_looked_at_and_of_none_nothing(caplog):
    view = network()
    assert Representation(max_rows=10)(view)["cka_test"] != Representation()(view)["cka_test"]
    nobody = View(view.model, *([view.x_train, view.y_train] * 2), np.zeros(48, dtype=bool))
    found = Representation()(nobody)
    assert found["cka_forget"] is None
    assert "cka is not defined on the removed rows: fewer than four" in caplog.text
    everybody = View(view.model, *([view.x_train, view.y_train] * 2), np.ones(48, dtype=bool))
    assert set(Representation()(everybody).values()) == {None}


def test_the_gap_of_verification_is_against_the_retrained_network():
    view = network()
    plain, gap = Verification()(view), Verification(gap=True)(view)
    assert gap.pop("verification_gap") == pytest.approx(
        plain["verification_auc_identity"] - plain["retrain_verification_auc_identity"]
    )
    assert gap == plain
    assert Verification(gap=True)(after(view, view.reference))["verification_gap"] == 0
    assert Verification(gap=True, retrained=False)(view)["verification_gap"] is None
