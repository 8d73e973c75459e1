"""Saving never fails late: what could not be saved is refused in ``fit``, and what is loaded is what was."""

from __future__ import annotations

import copy
import warnings
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from expunge import CertifiedLogisticRegression
from expunge.core.errors import DataError, InvalidValue
from expunge.core.files import load_header, load_state, save_state

N, D = 60, 4
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, D))
Y = (X[:, 0] + 0.3 * RNG.normal(size=N) > 0).astype(int)

numbers = st.sampled_from([np.float32, np.float64, np.float16, np.array, Decimal, Fraction, float])
wholes = st.sampled_from([np.int8, np.int64, np.uint16, np.array, int])
OF = {
    "lam": (st.sampled_from([0.5, 0.25, 0.125]), numbers),
    "epsilon": (st.sampled_from([0.5, 1.0]), numbers),
    "delta": (st.just(2.0**-10), numbers),
    "tol": (st.just(2.0**-20), numbers),
    "max_iter": (st.sampled_from([50, 100]), wholes),
    "random_state": (st.sampled_from([0, 7]), st.sampled_from([np.int8, np.int64, np.uint16, int])),
    "normalize": (st.just(True), st.sampled_from([np.bool_, bool])),
    "joint_training": (st.booleans(), st.sampled_from([np.bool_, bool])),
}
STD = {"std": (st.sampled_from([0.5, 1.0]), numbers)}
HELD = {"residual_held": (st.sampled_from([2.0**-10, 2.0**-6]), numbers)}
texts = st.sampled_from([np.str_, str])
RELEASE = {
    "releases": (st.sampled_from([9, 100]), wholes),
    "noise": (st.sampled_from(["lattice", "float"]), texts),
}
PUBLISHED = {
    "anchor": (st.sampled_from([0, 3]), wholes),
    "certificate": (st.sampled_from(["measured", "third_order"]), texts),
    "update": (st.sampled_from(["corrected", "fresh"]), texts),
}


def any_of(table):
    return {key: st.builds(lambda value, of: of(value), *both) for key, both in table.items()}


made = st.one_of(
    *[st.fixed_dictionaries({}, optional=any_of(OF | RELEASE | what)) for what in (STD, HELD)],
    st.fixed_dictionaries(
        {"perturbation": st.just("gaussian"), **any_of(STD)}, optional=any_of(OF | PUBLISHED)
    ),
)


@given(made)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
def test_settings_of_any_make_are_saved(tmp_path, params):
    model = CertifiedLogisticRegression(**{"random_state": 0} | params).fit(X, Y)
    assert all(model.get_params()[key] is value for key, value in params.items())  # as scikit-learn asks
    model.remove([3])
    model.save(tmp_path / "m")
    again = CertifiedLogisticRegression.load(tmp_path / "m", X, Y)
    for key, value in params.items():
        found = again.get_params()[key]
        assert found == (float(value) if isinstance(value, (Decimal, Fraction)) else value), key
        assert type(found) in (float, int, bool, str), key
    np.testing.assert_array_equal(again.coef_, model.coef_)
    assert again.remove([4]) == model.remove([4])
    if params.get("noise") != "lattice":  # which the system draws
        np.testing.assert_array_equal(again.coef_, model.coef_)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[("random_state", bad) for bad in (True, np.True_, -1, np.int64(-1), 1.5, "7", [1], object())],
        *[("lam", bad) for bad in (True, np.True_, "1", b"1", np.array([0.1]), None, Decimal("NaN"))],
        *[("anchor", bad) for bad in (True, 1.0, np.float64(2), np.array([1]), "1", Decimal(1))],
        *[("normalize", bad) for bad in (1, "yes", None, np.array([True]))],
        *[("joint_training", bad) for bad in (0, "no", None)],
        *[("std", bad) for bad in (True, "1", -1.0, Decimal("NaN"))],
        *[("residual_held", bad) for bad in (True, "1", 0.0, 1e-300)],
        *[("releases", bad) for bad in (True, 0, 1.0, None)],
        *[("noise", bad) for bad in ("exact", 1)],
        *[("perturbation", bad) for bad in (None, "none")],
        *[("update", bad) for bad in (None, 3, b"fresh", ["fresh"], np.array(["fresh"]))],
    ],
)
def test_what_cannot_be_saved_is_refused_in_fit_by_name(key, value):
    model = CertifiedLogisticRegression(random_state=0).fit(X, Y)
    before = model.coef_
    with pytest.raises(InvalidValue, match=f"^{key}: got .*, allowed: ") as caught:
        model.set_params(**{key: value}).fit(X, Y)
    assert "\n" not in str(caught.value)
    np.testing.assert_array_equal(model.coef_, before)


@pytest.mark.parametrize("make", [np.random.RandomState, np.random.default_rng, lambda seed: np.random])
def test_sources_of_random_numbers(make, tmp_path):
    model = CertifiedLogisticRegression(random_state=make(0)).fit(X, Y)
    model.save(tmp_path / "m")
    assert CertifiedLogisticRegression.load(tmp_path / "m", X, Y).random_state is None
    if make(0) is not np.random:
        np.testing.assert_array_equal(
            CertifiedLogisticRegression(random_state=make(0)).fit(X, Y).coef_, model.coef_
        )


def test_what_is_saved_is_what_was_fitted(tmp_path):
    model = CertifiedLogisticRegression(random_state=0).fit(X, Y)
    said = model.predict(X * 3)
    model.set_params(lam=5.0, normalize=False, update="fresh", anchor="whatever")
    np.testing.assert_array_equal(model.predict(X * 3), said)
    model.remove([2])
    model.save(tmp_path / "m")
    again = CertifiedLogisticRegression.load(tmp_path / "m", X, Y)
    assert again.get_params() == CertifiedLogisticRegression(random_state=0).get_params()
    assert again.remove([4]) == model.remove([4])


# Labels


LABELS = {
    **{kind: Y.astype(kind) for kind in ("i8", "i1", "u2", ">i4", "f8", "f4", "f2", "g", "?")},
    "big": Y.astype("u8") + np.uint64(2**64 - 2),
    "negative": Y * 2 - 5,
    "text": np.array(["no", "yes"])[Y],
    ">U": np.array(["no", "yes"]).astype(">U3")[Y],
    "objects": np.array(["no", "yes"], dtype=object)[Y],
    "strange text": np.array(["", 'a"\\é\n'])[Y],
    "dates": np.array(["2020-01-01", "1999-12-31"], dtype="M8[D]")[Y],
    "instants": np.array(["2020-01-01", "1999-12-31"], dtype="M8[ns]")[Y],
    "times": Y.astype("m8[s]"),
    "list": [("no", "yes")[label] for label in Y],
    "column": Y[:, None],
    "series": pd.Series(np.array(["no", "yes"])[Y], index=np.arange(N) + 7),
    "categories": pd.Categorical(np.array(["no", "yes"])[Y], categories=["yes", "no"]),
    "pandas text": pd.Series(np.array(["no", "yes"])[Y], dtype="string"),
    "pandas numbers": pd.Series(Y, dtype="Int64"),
    "pandas dates": pd.Series(np.array(["2020-01-01", "1999-12-31"], dtype="M8[ns]")[Y]),
    "three": np.array(["a", "b", "c"])[np.arange(N) % 3],
}
if hasattr(np.dtypes, "StringDType"):
    LABELS["numpy text"] = np.array(["no", "yes"])[Y].astype(np.dtypes.StringDType())


@pytest.mark.filterwarnings("ignore:A column-vector y was passed")
@pytest.mark.parametrize("name", LABELS)
def test_labels_come_back_in_the_type_they_had(name, tmp_path):
    y = LABELS[name]
    model = CertifiedLogisticRegression(random_state=0, lam=1e-2).fit(X, y)
    model.remove(np.array([1, 2], dtype=np.uint8))
    model.save(tmp_path / "m")
    again = CertifiedLogisticRegression.load(tmp_path / "m", X, y)
    assert again.classes_.dtype == model.classes_.dtype
    np.testing.assert_array_equal(again.classes_, model.classes_)
    assert list(map(type, again.classes_)) == list(map(type, model.classes_))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert again.predict(X).dtype == model.predict(X).dtype


@pytest.mark.parametrize(
    "y",
    [
        np.array([b"no", b"yes"])[Y],
        np.array([1, "yes"], dtype=object)[Y],
        np.array([None, "yes"], dtype=object)[Y],
        np.array([(0, 1), (1, 2)], dtype=[("a", "i4"), ("b", "i4")])[Y],
        np.where(Y, np.datetime64("NaT"), np.datetime64("2020-01-01")),
    ],
    ids=["bytes", "numbers and words", "None", "structures", "no date"],
)
def test_labels_that_could_not_be_saved_are_refused_in_fit(y):
    with pytest.raises(InvalidValue, match=r"^(y|labels): got .*, allowed: ") as caught:
        CertifiedLogisticRegression().fit(X, y)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("was", "now"),
    [
        (np.array(["no", "yes"])[Y], np.array(["nein", "oui"])[Y]),
        (Y, Y + 1),
        (Y, Y.astype(str)),
        (Y.astype(str), Y),
        (np.array(["a", "b", "c"])[np.arange(N) % 3], np.array(["a", "b", "d"])[np.arange(N) % 3]),
        (Y.astype("M8[D]"), Y.astype("M8[Y]")),
    ],
)
def test_renamed_labels_are_refused_on_load(was, now, tmp_path):
    CertifiedLogisticRegression().fit(X, was).save(tmp_path / "m")
    with pytest.raises(
        DataError, match=r"m: y has the labels .*, the model's are .*; allowed: those$"
    ) as caught:
        CertifiedLogisticRegression.load(tmp_path / "m", X, now)
    assert "\n" not in str(caught.value)


def test_the_same_data_in_another_container_are_the_same(tmp_path):
    x, words = X.astype(np.float32), np.array(["no", "yes"])[Y]
    model = CertifiedLogisticRegression(random_state=0).fit(x, words)
    model.remove([5])
    model.save(tmp_path / "m")
    said = model.predict(X)
    frame = pd.DataFrame(x, columns=list("abcd"))
    for other in (
        x.astype(float),
        x.tolist(),
        np.asfortranarray(x),
        x.astype(">f4"),
        frame,
        x.astype(object),
    ):
        again = CertifiedLogisticRegression.load(tmp_path / "m", other, list(words))
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # scikit-learn's, of names that X has and the model has not
            np.testing.assert_array_equal(again.predict(X), said)
        assert again.remove([6]) == copy.copy(model).remove([6])
    for other in (X, x[::-1], x[:, ::-1], x[:-1]):
        with pytest.raises(DataError, match=r"m: X \(float.. of shape .*\) and y are not the training data"):
            CertifiedLogisticRegression.load(tmp_path / "m", other, words[: len(other)])


def test_names_of_features_are_kept_and_compared(tmp_path):
    frame = pd.DataFrame(X, columns=list("abcd"))
    CertifiedLogisticRegression(random_state=0).fit(frame, Y).save(tmp_path / "m")
    for given_ in (X, frame):
        again = CertifiedLogisticRegression.load(tmp_path / "m", given_, Y)
        assert again.feature_names_in_.tolist() == list("abcd")
        with pytest.raises(ValueError, match="feature names"):
            again.predict(frame[list("dcba")])
    with pytest.raises(DataError, match="column 1 of X is called 'z', that of the model 'b'"):
        CertifiedLogisticRegression.load(tmp_path / "m", frame.rename(columns={"b": "z"}), Y)
    again.fit(X, Y)
    assert not hasattr(again, "feature_names_in_")


def test_a_file_of_an_earlier_version_is_loaded_and_goes_on(tmp_path):
    words = np.array(["no", "yes"])[Y]
    model = CertifiedLogisticRegression(random_state=0).fit(X, words)
    model.remove([5])
    model.save(tmp_path / "m")
    state = load_state(tmp_path / "m")
    for key in ("version", "labels", "feature_names"):
        del state.values[key]
    state.values["classes"] = ["no", "yes"]
    state.values["fingerprint"] = model._fitted_.data._old_fingerprint()
    save_state(tmp_path / "m", state)
    one, two = (CertifiedLogisticRegression.load(tmp_path / "m", X, words) for _ in range(2))
    assert one.classes_.tolist() == ["no", "yes"]
    assert not one.retained_[5]
    one.save(tmp_path / "m")
    assert load_header(tmp_path / "m")["version"]["requests"] == 1
    with pytest.raises(DataError, match="moved on"):
        two.save(tmp_path / "m")
    with pytest.raises(DataError, match="y has the labels"):
        CertifiedLogisticRegression.load(tmp_path / "m", X, np.array(["x", "z"])[Y])
