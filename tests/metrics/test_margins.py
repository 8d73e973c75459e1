"""Margins of single rows: known answers, and what a run keeps of them."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from expunge.core.errors import InvalidValue
from expunge.core.files import load_state
from expunge.evaluations.margins import SIDES, margins, phi
from expunge.metrics import View
from expunge.metrics.margins import Margins
from expunge.models import Mlp
from expunge.predictors.network import NetworkModel
from expunge.training import Learner, Training
from tests import cli, networks


def test_closed_forms():
    """An even row 0 of two classes; by hand of three; of what is sure the limit, and no number stays none."""
    assert phi(np.array([[0.5, 0.5], [0.2, 0.8]]), np.array([0, 1])) == pytest.approx([0, log(4)])
    assert phi(np.array([[0.2, 0.3, 0.5]]), np.array([2])) == pytest.approx([0])
    assert phi(np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([0, 1])).tolist() == [100, -100]
    assert np.isnan(phi(np.array([[np.nan, 0.5]]), np.array([0]))).all()
    assert phi(np.zeros((0, 3)), np.zeros(0, dtype=np.int64)).shape == (0,)


@given(seed=st.integers(0, 10**6), scale=st.floats(0.1, 60))
def test_they_are_the_margins_of_the_outputs(seed, scale):
    rng = np.random.default_rng(seed)
    z, y = scale * rng.normal(size=(4, 5)), rng.integers(0, 5, 4)
    aim = np.clip(margins(z, y), -100, 100)
    assert phi(softmax(z, axis=1), y) == pytest.approx(aim, rel=1e-9, abs=1e-9)


def view_of(requested):
    settings = Training(optimizer="sgd", epochs=5, lr=0.3, batch_size=16, weight_decay=0.0)
    model = NetworkModel(Learner(Mlp(hidden=(8,)), settings, "cpu", progress=False, threads=1))
    x, y = networks.blobs(60, 5, 3, seed=0)
    model.fit(x, y, 0)
    return View(model, x, y, x[:9], y[:9], requested)


def test_of_a_network():
    view = view_of(np.arange(60) < 12)
    metric = Margins(rows=10)
    found, kept = metric(view), metric.arrays()
    rows = {"forget": [0, 1, 2, 3, 4, 6, 7, 8, 9, 10], "test": list(range(9))}
    for side, chosen in rows.items():
        assert kept[f"{side}_rows"].tolist() == chosen
        own = phi(view.model.probabilities(view.x_train, np.array(chosen)), view.y_train[chosen])
        assert kept[side] == pytest.approx(own)
    assert len(kept["retain"]) == 10
    assert kept["retain_rows"].min() >= 12
    assert found == {f"margin_{side}": pytest.approx(kept[side].mean()) for side in SIDES}


def test_without_removed_rows_one_side_is_not_defined(caplog):
    metric = Margins()
    found = metric(view_of(np.zeros(60, dtype=bool)))
    assert found["margin_forget"] is None
    assert found["margin_retain"] is not None
    assert "margin_forget is not defined: no rows" in caplog.text
    with pytest.raises(InvalidValue, match=r"^rows: got 0"):
        Margins(rows=0)


def test_a_run_keeps_them(tmp_path):
    ended = cli.expunge(
        *("dataset=digits", "model=mlp", "model.hidden=[8]", "training.epochs=1", "unlearner=none"),
        *("removal=sample", "removal.count=7", "metrics=[margins]", "metrics.margins.rows=5", "threads=1"),
        *("figures=false", "hydra.run.dir=run"),
        cwd=tmp_path,
    )
    assert ended.code == 0, ended.err
    state = load_state(tmp_path / "run" / "margins.safetensors", signed=False)
    assert state.values["picture"] == "margins"
    asked = cli.records(tmp_path / "run")[0]["rows"]
    assert {*state.arrays["forget_rows"].tolist()} <= {*asked}
    assert cli.summary(tmp_path / "run")["margin_forget"] == pytest.approx(state.arrays["forget"].mean())
