"""Accuracies of the removed persons and of the rest: cases worked by hand, and a run."""

from __future__ import annotations

import numpy as np
import pytest

from expunge.core.errors import InvalidValue
from expunge.metrics import View
from expunge.metrics.identity import Identity, IdentityReference, kept, of_persons
from tests import cli
from tests.stubs import Inert


class Table:
    """Says what it was told to say of the training rows and of the test rows."""

    def __init__(self, train, test):
        self.says = [np.array(train), np.array(test)]
        self.passes = 0

    def predict(self, x):
        self.passes += 1
        return self.says[x]  # x is 0 for the training rows and 1 for the test rows


class Person(Table, Inert):
    """Right everywhere before any removal but for one row of the rest; the retrained model knows the rest."""

    def __init__(self, train, test):
        super().__init__(train, test)
        self.trained = []

    def retrained(self, x, y, rows):
        self.trained.append(rows.tolist())
        if len(rows) == len(y):
            return Person([1, 1, 1, 2, 2, 3], [1, 1, 2, 2, 3, 1, 1])
        return Person([1, 2, 2, 2, 2, 3], [2, 3, 2, 2, 2, 1, 1])


Y_TRAIN, Y_TEST = np.array([1, 1, 1, 2, 2, 3]), np.array([1, 1, 2, 2, 3, 3, 9])


def seen(model, requested):
    return View(model, 0, Y_TRAIN, 1, Y_TEST, np.isin(np.arange(6), requested))


def ours():
    """After the removal of row 0: of person 1 one of three training rows is right and no test row."""
    return Person([3, 1, 2, 2, 3, 3], [2, 2, 2, 1, 3, 1, 9])


def test_whose_rows_are_whose():
    requested = np.isin(np.arange(6), [0])
    train, test, rest_train, rest_test = of_persons(Y_TRAIN, Y_TEST, requested)
    np.testing.assert_array_equal(train, [1, 1, 1, 0, 0, 0])
    np.testing.assert_array_equal(test, [1, 1, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(rest_train, ~train)
    np.testing.assert_array_equal(rest_test, [0, 0, 1, 1, 1, 1, 0], "nobody was trained on person 9")


def test_identity_by_hand():
    model = ours()
    found = Identity()(seen(model, [0]))
    assert found == {
        "identity_train_accuracy": 1 / 3,
        "identity_test_accuracy": 0.0,
        "rest_train_accuracy": 2 / 3,
        "rest_test_accuracy": 2 / 4,
    }
    assert (model.passes, model.trained) == (2, [])
    two = Identity()(seen(model, [0, 3]))
    assert two["identity_train_accuracy"] == 2 / 5
    assert two["identity_test_accuracy"] == 1 / 4
    assert (two["rest_train_accuracy"], two["rest_test_accuracy"]) == (1.0, 0.5)


def test_what_is_not_defined_is_none():
    nobody = Identity()(seen(ours(), []))
    assert nobody["identity_train_accuracy"] is nobody["identity_test_accuracy"] is None
    assert nobody["rest_train_accuracy"] == 3 / 6
    everybody = Identity()(seen(ours(), range(6)))
    assert everybody["rest_train_accuracy"] is everybody["rest_test_accuracy"] is None
    view = View(Table([1, 2], [2]), 0, np.array([1, 2]), 1, np.array([2]), np.array([True, False]))
    assert Identity()(view)["identity_test_accuracy"] is None, "no test row of person 1"


def test_reference_by_hand():
    model = ours()
    view = seen(model, [0])
    found = IdentityReference()(view)
    # before any removal the rest was right in 3 of 3 training rows and 3 of 4 test rows
    assert found == {
        "rest_train_kept": pytest.approx(2 / 3),
        "rest_test_kept": pytest.approx(2 / 3),
        "retrain_identity_train_accuracy": 1 / 3,
        "retrain_identity_test_accuracy": 0.0,
        "retrain_rest_train_accuracy": 1.0,
        "retrain_rest_test_accuracy": 2 / 4,
        "retrain_rest_train_kept": 1.0,
        "retrain_rest_test_kept": pytest.approx(2 / 3),
    }
    assert sorted(model.trained) == [[0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5]]
    IdentityReference()(view)
    assert len(model.trained) == 2, "both models are the view's, for all metrics"


def test_reference_of_a_model_that_has_none():
    nothing = dict.fromkeys(IdentityReference.COLUMNS)
    assert IdentityReference()(seen(Table([1] * 6, [1] * 7), [0])) == nothing
    everybody = IdentityReference()(seen(ours(), range(6)))
    assert everybody == nothing, "nothing is left to train on, and nobody's accuracy to keep"


def test_kept_is_a_share():
    assert kept(0.45, 0.9) == 0.5
    assert kept(0.9, 0.6) == pytest.approx(1.5)
    assert kept(0.0, 0.5) == 0.0
    assert kept(0.5, 0.0) is kept(None, 0.5) is kept(0.5, None) is None


def test_columns_and_settings():
    assert not set(Identity.COLUMNS) & set(IdentityReference.COLUMNS)
    for column in (Identity.COLUMNS | IdentityReference.COLUMNS).values():
        assert column.arrow == "↑" or "retrained model" in column.definition
        assert "\n" not in column.definition
    for metric in (Identity, IdentityReference):
        with pytest.raises(InvalidValue, match="every: got 0, allowed: a whole number >= 1, or null"):
            metric(every=0)


def test_a_run_of_the_certified_model(tmp_path):
    """Ten digits, rows of one of them: the retrained model's columns come with the last request alone."""
    folder = tmp_path / "run"
    ended = cli.expunge(
        *("dataset=digits", "unlearner=newton", "unlearner.lam=1e-2", "removal=random", "removal.count=3"),
        *("metrics=[accuracy,identity,verification]", "figures=false", f"hydra.run.dir={folder}"),
        cwd=tmp_path,
    )
    assert (ended.code, ended.err) == (0, "")
    records, summary = cli.records(folder), cli.summary(folder)
    for record in records:
        assert all(0 <= record[name] <= 1 for name in Identity.COLUMNS)
    assert all(record[name] is None for record in records[:-1] for name in IdentityReference.COLUMNS)
    last = records[-1]
    assert last["rest_test_kept"] == pytest.approx(1, abs=0.05)
    assert last["retrain_rest_test_accuracy"] == pytest.approx(last["rest_test_accuracy"], abs=0.02)
    assert summary["rest_test_kept"] == last["rest_test_kept"]
    assert 0.5 < summary["verification_auc"] == summary["retrain_verification_auc"] < 1
