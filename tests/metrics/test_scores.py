"""AUC, F1 and log-loss against their definitions, pair by pair."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.metrics import View
from expunge.metrics.scores import Scores, auc, f1, mean_log_loss


def drawn(seed, n, classes):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    p = rng.integers(1, 5, size=(n, classes)).astype(float)  # with ties
    return y, p / p.sum(axis=1, keepdims=True), rng.integers(0, classes, n)


def area(own, scores):
    """How often one of the class is above one that is not, a tie for half."""
    pairs = [(a > b) + (a == b) / 2 for a in scores[own] for b in scores[~own]]
    return np.mean(pairs)


@given(st.integers(0, 2**32 - 1), st.integers(2, 25), st.integers(2, 4))
@settings(max_examples=40, deadline=None)
def test_they_are_their_definitions(seed, n, classes):
    y, p, predicted = drawn(seed, n, classes)
    known = np.arange(classes)
    chosen = range(classes) if classes > 2 else [1]
    areas = [area(y == k, p[:, k]) for k in chosen if 0 < (y == k).sum() < n]
    if areas:
        assert auc(y, p, known) == pytest.approx(np.mean(areas))
    told = [
        2 * ((y == k) & (predicted == k)).sum() / ((y == k).sum() + (predicted == k).sum())
        for k in (sorted({*y, *predicted}) if classes > 2 else [1])
        if ((y == k) | (predicted == k)).any()
    ]
    if told:
        assert f1(y, predicted, known) == pytest.approx(np.mean(told))
    assert mean_log_loss(y, p, known) == pytest.approx(np.mean(-np.log(p[np.arange(n), y])))


class _Fixed:
    """A model that says what it is told to."""

    def __init__(self, classes, probabilities):
        self.classes_, self._probabilities = np.array(classes), np.array(probabilities)

    def probabilities(self, x, rows=None):
        return self._probabilities if rows is None else self._probabilities[rows]

    def predict(self, x, rows=None):
        return self.classes_[self._probabilities.argmax(axis=1)]


def view(model, y_train, y_test):
    x = SimpleNamespace()
    y_train = np.array(y_train)
    return View(model, x, y_train, x, np.array(y_test), np.zeros(len(y_train), dtype=bool))


def test_rows_of_no_known_class_do_not_count():
    model = _Fixed([1, 4], [[0.2, 0.8], [0.9, 0.1], [0.5, 0.5]])
    found = Scores()(view(model, [1, 4], [4, 1, 9]))
    assert found["test_auc"] == found["test_f1"] == 1.0
    assert found["test_log_loss"] == pytest.approx(-(np.log(0.8) + np.log(0.9)) / 2)


def test_a_class_that_has_left_has_probability_0():
    model = _Fixed([0, 1], [[0.5, 0.5], [0.1, 0.9]])
    found = Scores()(view(model, [0, 1, 2], [2, 1]))
    assert found["test_log_loss"] == pytest.approx((-np.log(np.finfo(float).eps) - np.log(0.9)) / 2)


def test_one_that_is_not_defined_is_none_and_said_once(caplog):
    scores, one = Scores(), view(_Fixed([0, 1], [[0.9, 0.1], [0.8, 0.2]]), [0, 1], [0, 0])
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            found = scores(one)
    assert (found["test_auc"], found["test_f1"]) == (None, None)
    assert found["test_log_loss"] is not None
    said = [record.getMessage() for record in caplog.records]
    assert [line.partition(":")[0] for line in said] == ["test_auc is not defined", "test_f1 is not defined"]
