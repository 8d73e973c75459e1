"""MIA-efficacy: cases worked by hand, an oracle row by row, and the two ends of a comparison."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.svm import SVC

from expunge.metrics import View
from expunge.metrics.mia_efficacy import MiaEfficacy, mia_efficacy
from tests import cli


def test_one_row_on_each_side_is_told_apart_in_the_middle():
    """By symmetry the machine of a member at 1 and another row at 0 changes its mind at 1/2."""
    one, zero = np.array([1.0]), np.array([0.0])
    assert mia_efficacy(one, zero, np.array([0.51, 0.9, 1.0])) == 0
    assert mia_efficacy(one, zero, np.array([0.49, 0.1, 0.0])) == 1
    assert mia_efficacy(one, zero, np.array([0.9, 0.8, 0.1, 0.7])) == 0.25


@pytest.mark.parametrize("empty", range(3))
def test_of_no_row_nothing_is_said(empty):
    sides = [np.array([0.3, 0.9])] * 3
    sides[empty] = np.zeros(0)
    assert mia_efficacy(*sides) is None


class Told:
    """A model whose probabilities are given, one row at a time."""

    classes_ = np.array([2, 5])

    def __init__(self, train, test):
        self.told = {"train": train, "test": test}

    def probabilities(self, x, rows=None):
        p = self.told[x][rows]
        return np.stack([p, 1 - p], axis=1)

    def retrained(self, x, y, rows):
        return Told(self.told["train"] ** 2, self.told["test"])

    def _unasked(self, *args):
        raise AssertionError

    def predict(self, x):
        return self.classes_[(self.told[x] < 0.5).astype(int)]

    model = losses = gradient_norm = mean_loss = _unasked


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 40), st.integers(1, 40), st.integers(0, 999))
def test_it_is_the_share_that_a_machine_takes_for_strangers(n, tests, seed):
    rng = np.random.default_rng(seed)
    gone = rng.permutation(np.arange(n) < rng.integers(1, n))
    train, test = rng.uniform(size=n), rng.uniform(size=tests)
    y, y_test = np.array([2, 5])[rng.integers(0, 2, n)], np.array([2, 5])[rng.integers(0, 2, tests)]
    y[:2] = 2, 5
    found = MiaEfficacy()(View(Told(train, test), "train", y, "test", y_test, gone))
    for key, p in (("mia_efficacy", train), ("retrain_mia_efficacy", train**2)):
        mine = [p[i] if y[i] == 2 else 1 - p[i] for i in range(n)]
        theirs = [test[i] if y_test[i] == 2 else 1 - test[i] for i in range(tests)]
        stay, count = [m for m, out in zip(mine, gone, strict=True) if not out], min(n - gone.sum(), tests)
        members = [stay[i * len(stay) // count] for i in range(count)]
        others = [theirs[i * tests // count] for i in range(count)]
        machine = SVC(C=3, gamma=1.0).fit([[p] for p in members + others], [1] * count + [0] * count)
        said = [int(machine.predict([[m]])[0]) for m, out in zip(mine, gone, strict=True) if out]
        assert found[key] == pytest.approx(1 - sum(said) / len(said))
    right = [
        [np.mean((p[on] >= 0.5) == (labels[on] == 2)) for p, labels, on in sides]
        for sides in (
            ((own, y, ~gone), (test, y_test, np.ones(tests, dtype=bool))) for own in (train, train**2)
        )
    ]
    gaps = [found["mia_efficacy"] - found["retrain_mia_efficacy"], *np.subtract(*right)]
    assert found["tow_mia"] == pytest.approx(np.prod([1 - abs(gap) for gap in gaps]))


def test_of_no_model_there_is_a_reason(caplog):
    view = View(SimpleNamespace(), "train", np.array([2, 5]), "test", np.array([2]), np.array([True, False]))
    assert MiaEfficacy()(view) == dict.fromkeys(("mia_efficacy", "retrain_mia_efficacy", "tow_mia"))
    assert "mia_efficacy is not defined: a model" in caplog.text


def test_doing_nothing_leaves_members_and_retraining_strangers(tmp_path):
    """A network that knows its rows by heart: a class that is out of it is strange to it."""
    found = {}
    for method in ("none", "retrain"):
        settings = ["dataset=digits", "model=mlp", f"unlearner={method}", "removal=class", "removal.class=3"]
        own = ["training.epochs=30", "training.weight_decay=0", "metrics=[mia_efficacy]", "figures=false"]
        found[method] = cli.summary(cli.completed(*settings, *own, folder=tmp_path / method))
    assert found["retrain"]["mia_efficacy"] == found["retrain"]["retrain_mia_efficacy"]
    assert found["none"]["retrain_mia_efficacy"] == found["retrain"]["mia_efficacy"]
    assert found["none"]["mia_efficacy"] < 0.2
    assert found["retrain"]["mia_efficacy"] > 0.95
    assert found["none"]["tow_mia"] < 0.25
    assert found["retrain"]["tow_mia"] == 1
