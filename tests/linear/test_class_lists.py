"""A class whose last row is removed goes: the model is then that of a fresh fit on the rows that stay."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge import CertifiedLogisticRegression
from expunge.core.files import State
from expunge.linear.classes import ClassList
from expunge.linear.removal import UPDATES
from expunge.linear.rows import Rows
from expunge.predictors import NothingLeft
from expunge.unlearners.lcodec import Lcodec
from expunge.unlearners.newton import Newton
from expunge.unlearners.retrain import Retrain
from tests.oracles import logistic as oracle
from tests.problems import method

ALONE = "rows of one class alone would be left: there is no model for one class"


def table(seed, sizes, d=4):
    """Rows near a direction of their class, in a random order; class k has ``sizes[k]`` rows."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    x = rng.normal(size=(len(y), d)) + 2 * rng.normal(size=(len(sizes), d))[y]
    return x / np.linalg.norm(x, axis=1, keepdims=True), y


def names_of(y, kind):
    if kind == "text":
        return np.array([f"{'x' * (k % 3)}person {k}" for k in range(12)])[y]
    return {"whole": y * 3 - 4, "object": np.array([f"p{k}" for k in y], dtype=object)}.get(kind, y)


def fitted(x, y, kind=Newton, seed=0, **how):
    model = method(kind, **({"lam": 1e-2, "std": 1e-3} | how))
    model.fit(Rows.normalised(x), y, seed)
    return model


def of(y, *labels):
    return np.flatnonzero(np.isin(y, labels)).tolist()


# -- what is left is a fresh fit ----------------------------------------------------------------------------


def test_a_class_whose_rows_have_all_left_is_not_predicted_any_more():
    """As issue 18 found it: all rows of 'c' removed, and 14 of 60 rows were still predicted 'c'."""
    x, y = table(0, [20, 20, 20])
    names = np.array(list("abc"))[y]
    model = CertifiedLogisticRegression(lam=1e-2, std=1e-6, random_state=0).fit(x, names)
    assert (model.predict(x) == "c").any()
    assert model.remove(of(names, "c")).outcome == "removed"
    assert model.classes_.tolist() == ["a", "b"]
    assert set(model.predict(x)) == {"a", "b"}
    assert (model.coef_.shape, model.decision_function(x).shape) == ((1, 4), (60,))
    assert model.predict_proba(x).shape == (60, 2)
    outcome = model.remove(of(names, "b"))
    assert outcome.outcome == "refused"
    assert outcome.reason.startswith(ALONE)
    assert model.classes_.tolist() == ["a", "b"]
    assert model.retained_.sum() == 40


@given(
    seed=st.integers(0, 2**32 - 1),
    sizes=st.lists(st.integers(1, 9), min_size=2, max_size=10).filter(lambda sizes: sum(sizes) > 5),
    kind=st.sampled_from(["text", "whole", "object"]),
    scheme=st.sampled_from([*UPDATES, "release", "lattice"]),
    data=st.data(),
)
@settings(max_examples=40, deadline=None)
def test_any_removals_leave_the_model_of_a_fresh_fit(seed, sizes, kind, scheme, data):
    """Classes, shapes, weights within what the residuals and both b, or the noise, allow, and predictions."""
    x, numbers = table(seed, sizes)
    y = names_of(numbers, kind)
    how = {"lam": 1e-2, "certificate": "measured", "random_state": 1}
    if scheme in UPDATES:
        how |= {"perturbation": "gaussian", "std": 1e-6, "update": scheme}
    elif scheme == "lattice":
        how["noise"] = "lattice"
    model = CertifiedLogisticRegression(**how).fit(x, y)
    kept = np.ones(len(y), dtype=bool)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(data.draw(st.integers(1, 6))):
            rows = _request(data, np.flatnonzero(kept), y)
            if not rows:
                break
            outcome, left = model.remove(rows), kept.copy()
            left[rows] = False
            alone = len(np.unique(y[left])) < 2
            assert (outcome.outcome == "refused") == alone, outcome
            kept = kept if alone else left
            if data.draw(st.booleans()):
                model.save(Path(folder) / str(number))
                again = CertifiedLogisticRegression.load(Path(folder) / str(number), x, y)
                assert again.classes_.tolist() == model.classes_.tolist()
                assert again.classes_.dtype == model.classes_.dtype
                np.testing.assert_array_equal(again.coef_, model.coef_)
                model = again
            _same_as_fresh(model, x, y, kept, how)


def _request(data, there, y):
    """Some rows, or all rows of some classes; never all rows."""
    if data.draw(st.booleans()):
        classes = data.draw(st.lists(st.sampled_from(np.unique(y[there]).tolist()), min_size=1, unique=True))
        rows = there[np.isin(y[there], classes)].tolist()
    else:
        rows = data.draw(st.lists(st.sampled_from(there.tolist()), min_size=1, max_size=12, unique=True))
    return rows if len(rows) < len(there) else []


def _same_as_fresh(model, x, y, kept, how):
    fresh = CertifiedLogisticRegression(**how).fit(x[kept], y[kept])
    assert model.classes_.tolist() == fresh.classes_.tolist()
    assert model.coef_.shape == fresh.coef_.shape
    for name in ("decision_function", "predict_proba"):
        assert getattr(model, name)(x).shape == getattr(fresh, name)(x).shape
    apart = 1e-9
    for one in (model, fresh):
        out = one._engine_.predictor.out
        apart += (np.linalg.norm(out.kept("b")) + one.residual()) / (how["lam"] * kept.sum())
        apart += np.linalg.norm(out.weights - out.kept("w"))
    assert np.linalg.norm(model.coef_ - fresh.coef_) <= apart
    scores = fresh.decision_function(x)
    scores = np.stack([-scores / 2, scores / 2], axis=1) if scores.ndim == 1 else scores
    clear = np.diff(np.sort(scores, axis=1)[:, -2:])[:, 0] > 2 * apart
    np.testing.assert_array_equal(model.predict(x)[clear], fresh.predict(x)[clear])


@pytest.mark.parametrize("share", [1.0, 0.4])
@pytest.mark.parametrize("gone", [(3,), (1, 4), (0, 1, 2, 3, 5, 6, 7, 9)])
@pytest.mark.parametrize("kind", [Newton, Retrain])
def test_what_stays_is_the_minimum_over_its_own_rows(kind, gone, share):
    """Several classes at once, ten to two among it, with the same b and the same subsamples."""
    x, y = table(1, [6] * 10)
    how = {"update": "corrected", "certificate": "measured"} if kind is Newton else {}
    model = fitted(x, y, kind, std=0.1, subsample_ratio=share, **how)
    before = model.predictor.model()["perturbation"]
    used = [column.problem.rows.scale != 0 for column in model.predictor.columns]
    assert model.remove(of(y, *gone)).outcome in ("removed", "retrained")
    left = np.setdiff1d(np.arange(10), gone)
    assert model.predictor.classes_.tolist() == left.tolist()
    positive = left[1:] if len(left) == 2 else left
    assert len(model.predictor.columns) == len(positive)
    for label, column in zip(positive, model.predictor.columns, strict=True):
        rows = used[label] & ~np.isin(y, gone)
        np.testing.assert_array_equal(column.problem.rows.scale != 0, rows)
        np.testing.assert_array_equal(column.problem.b, before[:, label])
        signs = np.where(y[rows] == label, 1.0, -1.0)
        aim = oracle.minimise(x[rows], signs, 1e-2, before[:, label])
        far = np.linalg.norm(oracle.gradient(x[rows], signs, 1e-2, before[:, label], column.w))
        assert np.linalg.norm(column.w - aim) <= far / (1e-2 * rows.sum()) + 1e-7


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("certificate", ["worst_case", "data_dependent", "third_order", "measured"])
def test_the_other_columns_are_served_as_if_the_class_were_still_there(certificate, update):
    x, y = table(2, [9, 9, 9, 3])
    model = fitted(x, y, update=update, certificate=certificate, std=1.0, lam=0.1)
    model.guarantee = replace(model.guarantee, std=1e200)
    index = np.array(of(y, 3))

    def removed(column):
        target = model.correct_to * model.guarantee.budget / np.sqrt(model.predictor.width)
        return column.removed(column.problem.without(index), index, update, target)

    expected = [removed(column) for column in model.columns[:3]]
    bound = model.account.beta
    assert model.remove(index).outcome == "removed"
    for column, other in zip(model.columns, expected, strict=True):
        np.testing.assert_array_equal(column.w, other.w)
        assert column.account == other.account
    assert model.account.beta == pytest.approx(
        np.linalg.norm([column.account.beta for column in expected]), rel=1e-12
    )
    assert certificate == "measured" or update == "corrected" or model.account.beta > bound
    index = np.array(of(y, 0))
    larger = removed(model.columns[2])
    assert model.remove(index).outcome == "removed"
    (column,) = model.columns
    np.testing.assert_array_equal(column.w, larger.w)
    assert model.account.beta == larger.account.beta
    assert model.predictor.classes_.tolist() == [1, 2]
    signs = np.where(y == 2, 1.0, -1.0)
    np.testing.assert_array_equal(column.problem.y, signs, "+1 for the larger of the two")


@pytest.mark.parametrize("share", [1.0, 0.4])
@pytest.mark.parametrize("noise", ["float", "lattice"])
def test_releases_without_the_class_have_fewer_columns_and_the_noise_of_all_others(noise, share):
    """Nothing is planned again: what was public beforehand, and the count of releases, stay as they are."""
    x, y = table(11, [9, 9, 9, 9])
    how = {"perturbation": "release", "certificate": "measured", "update": "corrected", "noise": noise}
    model = fitted(x, y, std=0.0, subsample_ratio=share, **how)
    guarantee, released = model.guarantee, 1
    for gone, width in ((3, 3), (0, 1)):
        assert model.remove(of(y, gone)).outcome == "removed"
        released += 1
        out, account = model.predictor.out, model.account
        assert out.drawn.shape == out.weights.shape == (4, width)
        assert (model.guarantee, account.released) == (guarantee, released)
        counts = [column.problem.n for column in model.columns]
        largest = guarantee.sensitivity * 1e-2 * np.linalg.norm(counts) / np.sqrt(width)
        assert account.budget == pytest.approx(largest, rel=1e-12)
        assert account.beta <= account.budget
        assert np.abs(out.drawn - out.kept("w")).max() <= 7 * guarantee.std
        if noise == "lattice":
            assert not np.any(out.drawn % guarantee.grid)
    before = model.predictor.out
    assert model.remove(of(y, 1)).outcome == "refused"
    assert (model.predictor.out, model.account.released) == (before, released)


@pytest.mark.parametrize("perturbation", ["gaussian", "pure_eps"])
def test_a_b_that_is_drawn_again_is_drawn_for_the_classes_of_the_fit(perturbation):
    x, y = table(3, [8, 8, 8, 8])
    how = {"perturbation": perturbation, "delta": 0.0 if perturbation == "pure_eps" else 1e-4, "std": 0.1}
    model = fitted(x, y, certificate="worst_case", update="fresh", lam=1e-3, seed=5, **how)
    guarantee = model.guarantee
    for gone, left in (([1], [0, 2, 3]), ([2], [0, 3])):
        outcome = model.remove(of(y, *gone))
        assert outcome.outcome == "retrained"
        assert (outcome.budget, model.guarantee) == (guarantee.budget, guarantee)
        drawn = guarantee.draw(model.predictor.noise(model.account.epoch)).reshape(4, 4)
        places = left if len(left) > 2 else left[1:]
        b = model.predictor.model()["perturbation"].reshape(4, -1).T
        np.testing.assert_array_equal(b, drawn[places])
        assert model.predictor.residual() <= outcome.residual_bound <= outcome.budget


# -- one class alone -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [[10, 10], [5, 5, 5], [3] * 10])
@pytest.mark.parametrize("kind", [Newton, Retrain])
def test_a_request_that_would_leave_one_class_is_refused_and_changes_nothing(kind, sizes):
    x, y = table(4, sizes)
    model = fitted(x, y, kind)
    before = model.state()
    outcome = model.remove(np.flatnonzero(y != 1).tolist())
    assert (outcome.outcome, outcome.residual_measured) == ("refused", None)
    assert outcome.reason.startswith(ALONE)
    after = model.state()
    assert all(np.array_equal(array, before.arrays[key]) for key, array in after.arrays.items())
    assert model.predictor.kept.all()
    with pytest.raises(NothingLeft):
        model.predictor.retrained(Rows.normalised(x), y, np.flatnonzero(y == 1))
    assert model.remove(of(y, 0)[1:]).outcome != "refused", "all of its rows but one may go"


def test_a_scrub_of_the_linear_model_refuses_it_as_well():
    x, y = table(5, [20, 6])
    model = fitted(x, y, Lcodec, n_perturbations=30, val_gap=None)
    w = model.predictor.w
    outcome = model.remove(of(y, 1))
    assert outcome.outcome == "refused"
    assert outcome.reason.startswith(ALONE)
    assert model.predictor.w is w
    assert model.remove(of(y, 1)[1:]).outcome == "removed"
    assert model.predictor.classes_.tolist() == [0, 1]


def test_a_list_of_two_has_the_column_of_the_larger_label():
    first = ClassList.of(np.array([-3, 5, 8, 9]))
    assert (first.width, first.columns.tolist(), first.positive.tolist()) == (4, [0, 1, 2, 3], [-3, 5, 8, 9])
    first = first.counted(np.array([9, 5, -3, 8, 8]))
    three = first.without_rows(np.array([5, 8]))
    assert (three.labels.tolist(), three.columns.tolist()) == ([-3, 8, 9], [0, 2, 3])
    two = three.without_rows(np.array([9, 7]))
    assert (two.width, two.columns.tolist(), two.positive.tolist()) == (1, [2], [8])
    assert (two.rows.tolist(), two.places.tolist(), two.first) == ([1, 1], [0, 2], 4)
    binary = ClassList.of(np.array([4, 6]))
    assert (binary.columns.tolist(), binary.positive.tolist()) == ([0], [6])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(-2, 4), min_size=1, max_size=30), st.randoms())
def test_rows_are_counted_as_they_leave(labels, random):
    labels = np.array(labels)
    there = np.unique(labels)
    known = ClassList.of(there).counted(labels)
    order = list(range(len(labels)))
    random.shuffle(order)
    while order:
        cut = random.randint(1, len(order))
        leaving, order = order[:cut], order[cut:]
        known = known.without_rows(np.append(labels[leaving], 7))  # 7 is the label of nothing
        left, counts = np.unique(labels[order], return_counts=True)
        assert (known.labels.tolist(), known.rows.tolist()) == (left.tolist(), counts.tolist())
        assert known.places.tolist() == np.flatnonzero(np.isin(there, left)).tolist()


# -- files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [1.0, 0.4])
@pytest.mark.parametrize("update", UPDATES)
def test_a_loaded_state_goes_on_without_the_classes_that_left(update, share):
    x, y = table(6, [6] * 5)
    y = y * 10 + 7
    how = {"update": update, "certificate": "third_order", "std": 10.0, "subsample_ratio": share}
    one, two = fitted(x, y, **how), method(Newton, lam=1e-2, **how)
    for gone in ([17], [47, 7]):
        *rows, last = (row for row in of(y, *gone) if one.predictor.kept[row])
        one.remove(rows)
        one.remove([last])
        state = one.state()
        assert not {*gone} & {*state.values["classes"]}
        labels = np.where(one.predictor.kept, y, -1)  # those of rows that have left are not looked at
        two.load_state(State(dict(state.arrays), dict(state.values)), Rows.normalised(x), labels)
        assert two.predictor.classes_.tolist() == one.predictor.classes_.tolist()
        for column, other in zip(one.columns, two.columns, strict=True):
            np.testing.assert_array_equal(column.problem.rows.scale, other.problem.rows.scale)
        row = [int(np.flatnonzero(one.predictor.kept)[0])]
        assert one.remove(row) == two.remove(row)
        for name, array in one.predictor.model().items():
            np.testing.assert_array_equal(array, two.predictor.model()[name])


def test_a_saved_file_does_not_name_the_classes_that_left(tmp_path):
    x, y = table(7, [6, 6, 6, 6])
    names = np.array(["anna", "bo", "wilhelmina", "zoe"])[y]
    model = CertifiedLogisticRegression(std=0.1, subsample_ratio=0.5, random_state=0).fit(x, names)
    model.remove(of(names, "wilhelmina", "zoe"))
    model.save(tmp_path / "m")
    content = (tmp_path / "m").read_bytes()
    assert b"anna" in content
    for gone in (b"wilhelmina", b"zoe", b"U10"):
        assert gone not in content
    again = CertifiedLogisticRegression.load(tmp_path / "m", x, names)
    assert again.classes_.tolist() == ["anna", "bo"]
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    again.save(tmp_path / "m")
    row = of(names, "bo")[:1]
    assert again.remove(row) == model.remove(row)
    np.testing.assert_array_equal(again.coef_, model.coef_)


def test_a_file_of_before_classes_left_loads_without_their_columns():
    """What earlier versions wrote after all rows of a class: all columns, and nothing of places."""
    x, y = table(8, [6, 6, 6, 6])
    model = fitted(x, y, std=1.0)
    model.remove(of(y, 1))
    state = model.state()
    for k, place in ((2, 3), (1, 2)):  # the column of the class that left stands at its old place
        for name in ("inverse", "v", "core", "gradient"):
            state.arrays[f"column{place}.{name}"] = state.arrays[f"column{k}.{name}"]
    for name in ("weight", "perturbation"):
        state.arrays[name] = np.insert(state.arrays[name], 1, 0.5, axis=1)
    state.values["columns"].insert(1, state.values["columns"][1])
    state.values["classes"] = [0, 1, 2, 3]
    for key in ("class_places", "classes_of_fit", "class_rows", "column_rows"):
        del state.values[key]
    again = method(Newton, lam=1e-2, std=1.0)
    again.load_state(state, Rows.normalised(x), y)
    assert again.predictor.classes_.tolist() == [0, 2, 3]
    for column, own in zip(again.columns, model.columns, strict=True):
        np.testing.assert_array_equal(column.w, own.w)
        np.testing.assert_array_equal(column.factor.inverse, own.factor.inverse)


# -- what the model says -------------------------------------------------------------------------------------


def test_losses_of_rows_whose_class_has_left():
    """Wrong ones for every class that is left, and log 2 for their own, whose weights are zero."""
    x, y = table(9, [8, 8, 8, 8])
    model = fitted(x, y, std=0.1)
    rows, own = Rows.normalised(x), np.arange(len(y))
    for gone in (2, 0):
        model.remove(of(y, gone))
        w, classes = model.predictor.weights, model.predictor.classes_.tolist()
        full = np.zeros((4, 4))
        for label in classes if len(classes) > 2 else classes[1:]:
            full[:, label] = w[:, (classes if len(classes) > 2 else classes[1:]).index(label)]
        if len(classes) == 2:
            full[:, classes[0]] = -w[:, 0]
        scores = rows.dense() @ full
        expected = np.empty(len(y))
        for i, label in enumerate(y.tolist()):
            if label in classes:
                looked = classes if len(classes) > 2 else classes[1:]
                expected[i] = sum(
                    np.logaddexp(0, -scores[i, k] if k == label else scores[i, k]) for k in looked
                )
            else:
                expected[i] = np.log(2) + sum(np.logaddexp(0, scores[i, k]) for k in classes)
        np.testing.assert_allclose(model.predictor.losses(rows, y, own), expected, rtol=1e-12)
        flat, mean = model.predictor.mean_loss(rows, y, own)
        loss, gradient = mean(flat)
        assert loss == pytest.approx(expected.mean(), rel=1e-12)
        steps = 1e-6 * np.eye(len(flat))
        numeric = [(mean(flat + step)[0] - mean(flat - step)[0]) / 2e-6 for step in steps]
        np.testing.assert_allclose(gradient, numeric, atol=1e-8)
        assert model.predictor.gradient_norm(rows, y, own) == pytest.approx(np.linalg.norm(gradient))


def test_who_predicts_meanwhile_sees_one_model():
    """Scores, probabilities and names are of one release, however many classes it has."""
    x, y = table(10, [4] * 10)
    names = np.array([f"class {k}" for k in range(10)])[y]
    model = CertifiedLogisticRegression(std=0.1, random_state=0).fit(x, names)
    wrong, done = [], []

    def look():
        while not done:
            try:
                assert set(model.predict(x)) <= set(np.unique(names))
                assert np.allclose(model.predict_proba(x).sum(axis=1), 1)
            except Exception as error:  # in a thread nobody else sees it
                wrong.append(error)
                return

    reader = Thread(target=look)
    reader.start()
    for label in range(8):
        model.remove(of(names, f"class {label}"))
    done.append(True)
    reader.join()
    assert wrong == []
    assert model.classes_.tolist() == ["class 8", "class 9"]
