"""Attack success, accuracy by true labels and interclass confusion: closed forms, and of models."""

from __future__ import annotations

import numpy as np
import pytest

from expunge.datasets import digits
from expunge.datasets.corrupting import corrupted
from expunge.metrics.attack import Attack, attack_success
from expunge.metrics.base import View
from expunge.metrics.mislabelled import Mislabelled, interclass_confusion


def test_attack_success_is_a_share():
    assert attack_success(np.array([7, 7, 1, 7]), 7) == 0.75
    assert attack_success(np.array([], dtype=int), 7) is None


def test_interclass_confusion_counts_both_ways():
    truth = np.array([3, 3, 3, 8, 8, 5, 5])
    told = np.array([8, 3, 5, 3, 8, 3, 8])
    assert interclass_confusion(told, truth, (3, 8)) == 2 / 5  # a 3 as 8 and an 8 as 3; a 5 does not count
    assert interclass_confusion(told, truth, (8, 3)) == 2 / 5
    assert interclass_confusion(told, truth, (1, 2)) is None


class Says:
    """A model that has an answer for every training and test row."""

    def __init__(self, train, test, others=()):
        self.answers, self.others = {"train": train, "test": test}, others

    def predict(self, x):
        return self.answers[x]

    def retrained(self, x, y, rows):
        whole, without = self.others
        return whole if len(rows) == len(y) else without

    def model(self):
        return {}

    def losses(self, x, y, rows):
        return np.zeros(len(rows))

    def gradient_norm(self, x, y, rows):
        return 0.0


def view(model, data, requested):
    asked = np.zeros(len(data.y_train), dtype=bool)
    asked[requested] = True
    return View(model, "train", data.y_train, "test", data.y_test, asked, corruption=data.corruption)


def test_numbers_are_those_of_the_three_models():
    whole = digits.load(train_rows=200)
    data = corrupted(whole, {"target": 7, "count": 10}, {"source": 3, "target": 8, "count": 5})
    found, n = data.corruption, len(data.y_train)
    sevens = np.full(len(data.y_test), 7)
    half = np.where(np.arange(len(data.y_test)) < found.triggered[0] + len(found.triggered) // 2, 7, 1)
    untouched = Says(found.truth, np.concatenate([whole.y_test, whole.y_test[whole.y_test != 7]]))
    original = Says(data.y_train, sevens)
    model = Says(np.full(n, 3), half, (original, untouched))
    seen = view(model, data, found.poisoned)
    quotient = (len(found.triggered) // 2) / len(found.triggered)
    assert Attack()(seen) == {
        "attack_success": quotient,
        "retrain_attack_success": 0.0,
        "attack_success_before": 1.0,
    }
    assert Mislabelled()(seen) == {
        "true_accuracy": 1.0,  # they are 3s, whatever they were trained as
        "retrain_true_accuracy": 1.0,
        "interclass_confusion": 0.0,
        "retrain_interclass_confusion": 0.0,
    }
    wrong = Mislabelled()(view(Says(data.y_train, sevens, (original, untouched)), data, found.poisoned))
    assert wrong["true_accuracy"] == 0.0


def test_what_is_not_defined_is_none_with_a_reason(caplog):
    data = corrupted(digits.load(train_rows=50), mislabel={"count": 5})
    model = Says(data.y_train, data.y_test)
    seen = view(Says(data.y_train, data.y_test, (model, model)), data, [0])
    found = Mislabelled()(seen)
    assert (found["true_accuracy"], found["interclass_confusion"]) == (0.0, None)
    assert "interclass_confusion is not defined: dataset.mislabel names no source and target" in caplog.text
    assert set(Attack()(seen).values()) == {None}


@pytest.mark.parametrize("metric", [Attack, Mislabelled])
def test_every_number_is_declared(metric):
    data = corrupted(digits.load(train_rows=50), {"target": 7, "count": 2}, {"count": 2})
    model = Says(data.y_train, data.y_test)
    found = metric()(view(Says(data.y_train, data.y_test, (model, model)), data, [0]))
    assert found.keys() == metric.COLUMNS.keys()
