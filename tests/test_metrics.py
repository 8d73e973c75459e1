"""Metrics against cases worked by hand."""

import numpy as np
import pytest

from expunge.errors import InvalidValue
from expunge.metrics import View
from expunge.metrics.accuracy import Accuracy, accuracy
from expunge.metrics.residual import Residual


class Always:
    """Predicts what it is given."""

    def predict(self, x):
        return x

    def residual(self):
        return 0.25


def view(requested):
    y_train, y_test = np.array([1, 1, -1, -1]), np.array([1, -1])
    return View(Always(), np.array([1, -1, -1, -1]), y_train, np.array([1, 1]), y_test, np.array(requested))


def test_accuracy_is_the_share_of_right_predictions():
    assert accuracy(np.array([1, 2, 3, 3]), np.array([1, 2, 3, 4])) == 0.75
    assert accuracy(np.array([]), np.array([])) is None


def test_accuracy_splits_forget_and_retain_sets():
    found = Accuracy()(view([False, True, True, False]))
    assert found == {"test_accuracy": 0.5, "forget_accuracy": 0.5, "retain_accuracy": 1.0}
    assert Accuracy()(view([False] * 4))["forget_accuracy"] is None


def test_residual_is_the_unlearners_own():
    assert Residual()(view([False] * 4)) == {"residual_measured": 0.25}


@pytest.mark.parametrize("every", [0, -1, 1.5, "2", True])
def test_every_is_a_whole_number(every):
    with pytest.raises(InvalidValue, match="every"):
        Accuracy(every=every)
