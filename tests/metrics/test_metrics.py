"""Metrics against cases worked by hand."""

from dataclasses import replace

import numpy as np
import pytest

from expunge.core.errors import InvalidValue
from expunge.metrics import View
from expunge.metrics.accuracy import Accuracy, accuracy
from expunge.metrics.residual import Residual
from expunge.metrics.retained import Retained
from expunge.metrics.retrained import Retrained, disagreement, weight_distance
from expunge.metrics.sample import Sample
from expunge.metrics.tow import Tow, tug_of_war


class Always:
    """Predicts what it is given."""

    def predict(self, x):
        return x

    def residual(self):
        return 0.25


class Line(Always):
    """Loss of a row: its input times ``w``; the reference has another ``w`` and predicts ones."""

    def __init__(self, w=2.0, one=False):
        self.w, self.one = w, one

    def predict(self, x):
        return np.ones_like(x) if self.one else x

    def model(self):
        return {"w": np.array([self.w]), "steps": np.array([7])}

    def losses(self, x, y, rows):
        return self.w * x[rows].astype(float)

    def gradient_norm(self, x, y, rows):
        return abs(float(np.mean(x[rows])))

    def retrained(self, x, y, rows):
        self.trained_on = rows.tolist()
        return Line(w=8.0, one=True)


def seen(requested, unlearner=None, rows=()):
    """Inputs 0, 1, 2, 3 with labels 1, 1, 2, 2; two test rows."""
    x, y = np.arange(4), np.array([1, 1, 2, 2])
    return View(unlearner or Line(), x, y, np.array([1, 2]), np.array([1, 1]), np.array(requested), rows)


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
    with pytest.raises(InvalidValue, match=r"every: got .*, or null"):
        Sample(every=every)


def test_every_may_be_none_where_it_is_costly():
    assert (Retrained().every, Sample(None).every, Retained(None).every) == (None, None, None)
    assert (Sample().every, Retained().every, Retrained(3).every) == (1, 20, 3)


def test_sample_has_both_ends_of_the_request():
    sample, model = Sample(), Line(w=2.0)
    sample.before(seen([False] * 4, model, rows=(1, 3)))
    model.w = 5.0
    assert sample(seen([False, True, False, True], model, rows=(1, 3))) == {
        "sample_loss_before": 4.0,
        "sample_loss_after": 10.0,
        "sample_gradient_before": 2.0,
        "sample_gradient_after": 2.0,
    }


def test_sample_does_not_take_an_earlier_request_for_this_one():
    sample = Sample()
    sample.before(seen([False] * 4, rows=(1,)))
    sample(seen([False, True, False, False], rows=(1,)))
    again = sample(seen([False, True, True, False], rows=(2,)))
    assert (again["sample_loss_before"], again["sample_loss_after"]) == (None, 4.0)


def test_retained_is_over_the_rows_never_requested():
    found = Retained()(seen([False, True, False, False]))
    assert found == {"retain_loss": 2 * 5 / 3, "retain_gradient_norm": 5 / 3}
    assert set(Retained()(seen([True] * 4)).values()) == {None}


def test_retrained_compares_with_a_model_of_the_retain_set():
    model = Line(w=2.0)
    found = Retrained()(seen([False, True, True, False], model))
    assert model.trained_on == [0, 3]
    assert found == {
        "retrain_weight_distance": 6 / 8,
        "retrain_disagreement": 0.5,  # of the test rows 1 and 2, the reference calls both 1
        "retrain_test_accuracy": 1.0,
        "retrain_forget_accuracy": 0.5,
        "retrain_retain_accuracy": 0.5,
        "retrain_retain_gradient_norm": 1.5,
    }
    assert Retrained()(seen([False] * 4))["retrain_forget_accuracy"] is None
    assert set(Retrained()(seen([True] * 4)).values()) == {None}


@pytest.mark.parametrize("metric", [Sample(), Retained(), Retrained()])
def test_without_losses_the_columns_are_none(metric):
    simple = seen([False, True, False, False], Always(), rows=(1,))
    if isinstance(metric, Sample):
        metric.before(simple)
    assert metric(simple) == dict.fromkeys(metric.COLUMNS)


def test_weight_distance_is_over_all_shared_floating_arrays():
    reference = {"a": np.array([3.0, 0.0]), "b": np.array([[4.0]], np.float32)}
    model = {"a": np.array([3.0, 1.0]), "b": np.array([[2.0]], np.float32)}
    assert weight_distance(model, reference) == pytest.approx(np.sqrt(5) / 5)
    assert weight_distance(reference, reference) == 0
    others = {"n": np.array([1]), "c": np.ones(3), "perturbation": np.ones(9)}
    changed = {"n": np.array([9]), "c": np.ones(4), "perturbation": np.zeros(9), "d": np.ones(2)}
    assert weight_distance(model | changed, reference | others) == pytest.approx(np.sqrt(5) / 5)
    assert weight_distance(changed, others) is None
    assert weight_distance({"a": np.ones(2)}, {"a": np.zeros(2)}) is None


def test_disagreement_is_the_share_that_differs():
    assert disagreement(np.array([1, 2, 3, 4]), np.array([1, 2, 4, 3])) == 0.5
    assert disagreement(np.array([]), np.array([])) is None


def test_tug_of_war_is_a_product_of_three_differences():
    assert tug_of_war([0.9, 0.8, 0.7], [0.5, 0.8, 0.9]) == pytest.approx(0.6 * 1 * 0.8)
    assert tug_of_war([0.3, 0.2, 0.1], [0.3, 0.2, 0.1]) == 1
    assert tug_of_war([0.3, None, 0.1], [0.3, 0.2, 0.1]) is None
    # the model predicts 0, 1, 2, 3 and 1, 2 of labels 1, 1, 2, 2 and 1, 1; the retrained one predicts ones
    assert Tow()(seen([True, False, False, False])) == {"tow": (1 - 1) * (1 - 1 / 3) * (1 - 1 / 2)}
    assert Tow()(seen([False, True, False, False]))["tow"] == pytest.approx(1 * 1 * (1 - 1 / 2))
    assert Tow()(seen([False, False, True, True]))["tow"] == pytest.approx(
        (1 - 1 / 2) * (1 - 1 / 2) * (1 / 2)
    )
    assert Tow().every is None


def test_tug_of_war_may_be_with_a_model_retrained_from_another_seed():
    class Seeded(Line):
        seed = 3

        def retrained(self, x, y, rows):
            return super().retrained(x, y, rows) if self.seed == 3 else self

    view = seen([False, True, False, False], Seeded())
    assert Tow(seed=4)(view) == {"tow": 1.0}, "with itself"
    assert Tow(seed=3)(view) == Tow()(view) != {"tow": 1.0}
    assert view.model.seed == 3
    with pytest.raises(InvalidValue, match=r"^seed: got 4, allowed: null for a model that has no seed"):
        Tow(seed=4)(seen([False, True, False, False]))


def test_tug_of_war_without_a_retrained_model_is_nothing_and_says_why(caplog):
    assert Tow()(seen([True] * 4)) == {"tow": None}
    assert caplog.messages == ["tow is not defined: there is no model for the rows that stay"]
    assert Tow()(seen([False] * 4)) == {"tow": None}  # no row was asked to be removed


# Other evaluations of the same model


def test_another_evaluation_draws_other_rows_and_seeds_and_the_first_is_as_ever():
    first = View(None, None, np.zeros(9), None, np.zeros(9), np.zeros(9, dtype=bool))
    rows = np.arange(100, 200)
    np.testing.assert_array_equal(first.some(rows, 10), rows[::10])
    assert first.seed(7) == 7
    others = [replace(first, again=again) for again in ((0, 0, 1), (0, 0, 2), (0, 1, 1), (1, 0, 1))]
    drawn = {tuple(one.some(rows, 10).tolist()) for one in others}
    assert len(drawn) == len({one.seed(7) for one in others}) == 4
    for one in others:
        chosen = one.some(rows, 10)
        np.testing.assert_array_equal(chosen, one.some(rows, 10))  # alike for each model it is asked of
        assert len(np.unique(chosen)) == 10
        assert np.isin(chosen, rows).all()
        np.testing.assert_array_equal(one.some(rows, 100), rows)
