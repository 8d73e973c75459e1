"""The estimator without its rows: it says what the model says, and takes out nothing but what is in it."""

from __future__ import annotations

import copy
import pickle
import stat
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from expunge import CertifiedLogisticRegression
from expunge.core.errors import DataError, InvalidValue, UserError
from expunge.core.files import load_header, load_state, save_state
from expunge.linear.rows_away import RowsOutOfReach
from expunge.record.model_file import MovedOn

N, D = 400, 4
NAMES = np.array(["ann", "bo", "wilhelmina"])
pytestmark = pytest.mark.filterwarnings("ignore:noise of std")


def data(classes=3, n=N, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % classes
    x = rng.normal(size=(n, D)) + 2 * np.eye(classes, D)[codes]
    return x.astype(dtype), NAMES[codes]


def fitted(x, y, **how):
    settings_of = {"lam": 0.05, "std": 1.0, "update": "rowless", "random_state": 0} | how
    return CertifiedLogisticRegression(**settings_of).fit(x, y)


def pair(tmp_path, x, y, **how):
    """A model with its rows, and the same without."""
    model = fitted(x, y, **how)
    model.save(tmp_path / "m")
    return model, CertifiedLogisticRegression.load(tmp_path / "m")


def same(one, two):
    """Whether all that two models are and say is the same, bit for bit."""
    np.testing.assert_array_equal(one.coef_, two.coef_)
    assert one.certificate_ == two.certificate_
    assert one.claim_ == two.claim_
    np.testing.assert_array_equal(one.classes_, two.classes_)
    np.testing.assert_array_equal(one.retained_, two.retained_)
    for column, other in zip(one._engine_.columns, two._engine_.columns, strict=True):
        np.testing.assert_array_equal(column.w, other.w)
        np.testing.assert_array_equal(column.factor.inverse, other.factor.inverse)
        assert column.account == other.account


def held(model):
    """What a refusal must leave as it is."""
    arrays = [model.coef_, model.retained_, *(column.w for column in model._engine_.columns)]
    return [array.tobytes() for array in arrays], model.certificate_, model._engine_.served


# -- predicting ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"update": "corrected"},
        {"update": "corrected", "subsample_ratio": 0.5},
        {"perturbation": "gaussian", "update": "fresh", "certificate": "third_order", "std": 5.0},
        {"normalize": False},
        {"noise": "lattice", "random_state": None},
    ],
)
@pytest.mark.parametrize("classes", [2, 3])
def test_any_model_predicts_alone(how, classes, tmp_path):
    if classes == 2:
        how = how | {"subsample_ratio": 1.0}
    x, y = data(classes)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    model = fitted(x, y, **how)
    model.remove([3, 7])
    model.save(tmp_path / "m")
    away = CertifiedLogisticRegression.load(tmp_path / "m")
    same(model, away)
    for one, two in ((model, away), (model, pickle.loads(pickle.dumps(away)))):  # noqa: S301 (made here)
        np.testing.assert_array_equal(one.decision_function(x), two.decision_function(x))
        np.testing.assert_array_equal(one.predict(x), two.predict(x))
        np.testing.assert_array_equal(one.predict_proba(x), two.predict_proba(x))
    assert (away.n_features_in_, away.n_iter_) == (D, model.n_iter_)
    assert away.get_params() == CertifiedLogisticRegression.load(tmp_path / "m", x, y).get_params()
    with pytest.raises(ValueError, match="5 features"):
        away.predict(np.zeros((1, 5)))
    away.save(tmp_path / "again")  # nothing has left since: it is what it was
    state, again = (load_state(tmp_path / name) for name in ("m", "again"))
    assert {k: v for k, v in state.values.items() if k != "version"} == {
        k: v for k, v in again.values.items() if k != "version"
    }
    for name, array in state.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array)
    same(model, CertifiedLogisticRegression.load(tmp_path / "again", x, y))


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"update": "corrected"}, "update=corrected needs them"),
        ({"subsample_ratio": 0.5}, "a subsample_ratio below 1 needs all of them"),
    ],
)
def test_what_needs_rows_says_so(how, why, tmp_path):
    x, y = data()
    _, away = pair(tmp_path, x, y, **how)
    before = held(away)
    for brought in ((), (x[[3]], y[[3]])):
        with pytest.raises(RowsOutOfReach, match=why) as caught:
            away.remove([3], *brought)
        assert "\n" not in str(caught.value)
    with pytest.raises(RowsOutOfReach, match="out of reach"):
        away.residual()
    assert held(away) == before


def test_rows_and_labels_come_together(tmp_path):
    x, y = data()
    model, away = pair(tmp_path, x, y)
    for call in (
        lambda **given: CertifiedLogisticRegression.load(tmp_path / "m", **given),
        lambda **given: away.remove([3], **given),
        lambda **given: model.remove([3], **given),
    ):
        for given_one, missing in (({"X": x[[3]]}, "y"), ({"y": y[[3]]}, "X")):
            with pytest.raises(InvalidValue, match=f"^{missing}: got None, allowed: X and y, or neither"):
                call(**given_one)


# -- removing ------------------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.lists(st.integers(0, 119), min_size=1, max_size=5, unique=True), min_size=1, max_size=5),
    st.sampled_from([np.float32, np.float64]),
    st.sampled_from([list, np.array, pd.DataFrame, np.float64]),
    st.booleans(),
    st.sampled_from([2, 3]),
)
@example([[0, 10, 27], [67], [85], [0, 1, 2, 3, 4]], np.float32, list, True, 3)  # the last asks for a pass
def test_brought_rows_are_as_good_as_rows_in_reach(tmp_path, requests, dtype, container, normalize, classes):
    x, y = data(classes, 120, dtype)
    if not normalize:
        x /= 1.01 * np.linalg.norm(x, axis=1, keepdims=True).max()
    model, away = pair(tmp_path, x, y, normalize=normalize)
    gone = set()
    for rows in requests:
        rows = [row for row in rows if row not in gone]
        if not rows:
            continue
        gone |= {*rows}
        brought = x[rows].tolist() if container is list else container(x[rows])
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "X has feature names")
            theirs = model.remove(rows)
            try:
                mine = away.remove(rows, brought, y[rows])
            except RowsOutOfReach:  # with the rows in reach there was a pass over them
                assert theirs.figures["passes"] > 0
                return
        assert mine == theirs
        assert theirs.figures["passes"] == 0
        same(model, away)


def test_a_class_that_leaves_takes_its_column_along(tmp_path):
    x, y = data()
    model, away = pair(tmp_path, x, y)
    rows = np.flatnonzero(y == "bo").tolist()
    for part in (rows[:-1], rows[-1:]):
        try:
            mine = away.remove(part, x[part], y[part])
        except RowsOutOfReach:  # a third of all rows: a pass, and then it goes on
            away.save(tmp_path / "live", live=True)
            away = CertifiedLogisticRegression.load(tmp_path / "live", x, y)
            mine = away.remove(part, x[part], y[part])
        theirs = model.remove(part)
        assert (mine.outcome, mine.budget) == (theirs.outcome, theirs.budget) == ("removed", mine.budget)
    assert away.classes_.tolist() == model.classes_.tolist() == ["ann", "wilhelmina"]
    assert away.coef_.shape == (1, D)
    others = np.flatnonzero(y == "ann").tolist()
    refused = away.remove(others, x[others], y[others])
    assert (refused.outcome, "one class alone" in refused.reason) == ("refused", True)


def test_a_class_of_one_row_leaves_without_a_pass(tmp_path):
    x, y = data()
    y[y == "bo"] = "ann"
    y[5] = "bo"
    model, away = pair(tmp_path, x, y)
    assert away.remove([5], x[[5]], ["bo"]) == model.remove([5])
    same(model, away)
    assert away.classes_.tolist() == ["ann", "wilhelmina"]
    assert away.remove([6], x[[6]], y[[6]]) == model.remove([6])
    same(model, away)


@pytest.mark.parametrize("in_reach", [True, False])
def test_nothing_but_what_was_trained_on_is_taken_out(in_reach, tmp_path):
    x, y = data()
    x[8], y[8] = x[9], y[9]  # the same row twice: which of the two is brought is all one
    model, away = pair(tmp_path, x, y)
    served = model if in_reach else away
    served.remove([3], x[[3]], y[[3]])
    before = held(served)
    near = x[[4]].copy()
    near[0, 0] = np.nextafter(near[0, 0], 9)
    other = "ann" if y[4] != "ann" else "bo"
    wrong = [
        ([4], x[[5]], y[[4]]),
        ([4], near, y[[4]]),
        ([4], -x[[4]], y[[4]]),
        ([4], 2 * x[[4]], y[[4]]),  # the same once it is normalised, and not what was there
        ([4], x[[4]], [other]),
        ([4], x[[4]], ["nobody"]),
        ([4, 6], x[[6, 4]], y[[6, 4]]),
        ([4, 6], x[[4, 4]], y[[4, 4]]),
        ([1, 4, 6], x[[1, 4, 7]], y[[1, 4, 7]]),
    ]
    for rows, brought, labels in wrong:
        bad = 6 if len(rows) == 3 or (np.array_equal(brought, x[[4, 4]])) else 4
        with pytest.raises(DataError, match=f"X and y: what is brought as row {bad} is another") as caught:
            served.remove(rows, brought, labels)
        assert "\n" not in str(caught.value)
    for rows, allowed in (
        ([3], "not been removed"),
        ([4, 4], "each row once"),
        ([N], "rows from 0"),
        ([], "one or more"),
    ):
        ids = [row % N for row in rows]
        with pytest.raises(InvalidValue, match=allowed):
            served.remove(rows, x[ids], y[ids])
    with pytest.raises(InvalidValue, match=r"^X: got '2 rows', allowed: the 1 of the request"):
        served.remove([4], x[[4, 6]], y[[4, 6]])
    for x_of, y_of in (([4], [4, 6]), ([4, 6], [4])):
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            served.remove([4], x[x_of], y[y_of])
    for bad in (x[[4], :2], np.full((1, D), np.nan), x[4], "abcd"):
        with pytest.raises(ValueError, match=r".+"):
            served.remove([4], bad, y[[4]])
    assert held(served) == before
    assert served.remove([8], x[[9]], y[[9]]).outcome == "removed"


def test_names_of_features_are_checked(tmp_path):
    x, y = data()
    frame = pd.DataFrame(x, columns=list("abcd"))
    model, away = pair(tmp_path, frame, y)
    assert away.feature_names_in_.tolist() == list("abcd")
    np.testing.assert_array_equal(away.predict(frame), model.predict(frame))
    with pytest.raises(ValueError, match="feature names"):
        away.remove([3], frame.iloc[[3], ::-1], y[[3]])
    assert away.remove([3], frame.iloc[[3]], pd.Series(y[[3]])) == model.remove([3])
    same(model, away)
    assert away.feature_names_in_.tolist() == list("abcd")
    np.testing.assert_array_equal(away.predict(frame), model.predict(frame))


@pytest.mark.parametrize(
    "name", [lambda k: k * 3 - 1, lambda k: bool(k % 2), lambda k: np.datetime64("2020-01-01") + k, float]
)
def test_labels_of_any_kind(name, tmp_path):
    x, _ = data()
    y = np.array([name(k % 3) for k in range(N)])
    model, away = pair(tmp_path, x, y)
    assert away.classes_.dtype == model.classes_.dtype
    for rows in ([3], [4, 5, 6]):
        assert away.remove(rows, x[rows], y[rows]) == model.remove(rows)
    same(model, away)


# -- a pass, files -----------------------------------------------------------------------------------------


def test_when_a_pass_is_needed_nothing_changes_until_the_rows_are_there(tmp_path):
    x, y = data(2)
    model, away = pair(tmp_path, x, y, lam=0.05, std=0.1)
    heavy, gone = np.argsort(-np.abs(x[:, 0])), []
    for start in range(0, N, 2):
        rows = heavy[start : start + 2].tolist()
        before = held(away)
        try:
            away.remove(rows, x[rows], y[rows])
        except RowsOutOfReach:
            break
        model.remove(rows)
        same(model, away)
        gone += rows
    else:
        pytest.fail("never a pass")
    assert held(away) == before
    row = heavy[-1:].tolist()
    assert gone
    away.save(tmp_path / "live", live=True)
    again = CertifiedLogisticRegression.load(tmp_path / "live", x, y)
    assert again.remove(rows).outcome == "removed"
    assert again.certificate_.beta <= again.certificate_.budget
    assert again.residual() <= again.certificate_.beta * (1 + 1e-9)
    assert away.remove(row, x[row], y[row]).outcome == "removed"  # and this one serves what it can


def test_what_departed_rows_have_left_is_not_written_unasked(tmp_path):
    x, y = data()
    _, away = pair(tmp_path, x, y)
    content = (tmp_path / "m").read_bytes()
    away.remove([3, 8], x[[3, 8]], y[[3, 8]])
    for write in (lambda: away.save(tmp_path / "m"), lambda: pickle.dumps(away)):
        with pytest.raises(
            RowsOutOfReach, match=r"give back 2 removed rows.* save\(path, live=True\)"
        ) as caught:
            write()
        assert "\n" not in str(caught.value)
    assert (tmp_path / "m").read_bytes() == content
    for made in (copy.copy(away), copy.deepcopy(away)):  # which stay in memory
        same(made, away)
        made.remove([4], x[[4]], y[[4]])
        assert away.retained_[4]
    with pytest.raises(InvalidValue, match=r"^live: "):
        away.save(tmp_path / "m", live="yes")


def test_a_live_file_goes_on_and_is_settled_with_the_rows(tmp_path):
    x, y = data()
    model, away = pair(tmp_path, x, y)
    path, digests = tmp_path / "m", load_state(tmp_path / "m").arrays["row_digests"]
    gone = [3, 8]
    away.remove(gone, x[gone], y[gone])
    away.save(path, live=True)
    header = load_header(path)
    assert (header["live"], stat.S_IMODE(path.stat().st_mode)) == (2, 0o600)
    assert not any(digests[row].tobytes() in path.read_bytes() for row in gone)
    again = CertifiedLogisticRegression.load(path)
    same(again, away)
    with pytest.raises(RowsOutOfReach, match="2 removed rows"):
        again.save(path)
    for one in (away, again):
        assert one.remove([9], x[[9]], y[[9]]).outcome == "removed"
    same(again, away)
    again.save(path, live=True)
    with pytest.raises(MovedOn):  # another has written since
        away.save(path, live=True)
    assert load_header(path)["live"] == 3
    whole = CertifiedLogisticRegression.load(path, x, y)
    same(whole, again)
    whole.save(path)
    assert "live" not in load_header(path)
    model.remove([3, 8])
    model.remove([9])
    model.save(tmp_path / "other")
    settled, other = load_state(path), load_state(tmp_path / "other")
    for name, array in other.arrays.items():  # made of the rows that stay alone: whoever removed the others
        if name != "drawn":
            np.testing.assert_array_equal(settled.arrays[name], array)
    model.save(tmp_path / "live", live=True)  # rows are in reach: settled all the same
    assert "live" not in load_header(tmp_path / "live")
    last = CertifiedLogisticRegression.load(path)
    assert last.remove([10], x[[10]], y[[10]]).outcome == "removed"


def test_a_file_of_an_earlier_version_wants_its_rows(tmp_path):
    x, y = data()
    fitted(x, y, update="corrected").save(tmp_path / "m")
    state = load_state(tmp_path / "m")
    del state.values["feature_type"]
    save_state(tmp_path / "m", state)
    with pytest.raises(UserError, match="out of reach; allowed: a model loaded with X and y"):
        CertifiedLogisticRegression.load(tmp_path / "m")
    assert CertifiedLogisticRegression.load(tmp_path / "m", x, y).retained_.all()
