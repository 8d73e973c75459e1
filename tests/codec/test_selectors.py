"""The scikit-learn transformers: its own checks, known answers, and the equations behind their scores."""

from __future__ import annotations

import pickle
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from expunge.codec import CodecSelector, FociSelector, UndefinedCodecWarning, codec, foci
from tests.oracles import codec as oracle

BOTH = pytest.mark.parametrize("selector", [FociSelector, CodecSelector])


@parametrize_with_checks(
    [FociSelector(), FociSelector(max_features=2, stop=False, ties="noise"), CodecSelector(k=2, ties="first")]
)
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def two_of_ten():
    """y is a function of columns 3 and 7, and is not correlated with either."""
    x = np.random.default_rng(0).normal(size=(600, 10))
    return x, np.abs(x[:, 3]) + 0.7 * x[:, 7] ** 2


@pytest.fixture(scope="module")
def chain():
    """X -> Z -> Y: of columns (X, noise, Z) the last alone is needed."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=1500)
    z = x + 0.5 * rng.normal(size=1500)
    return np.column_stack([x, rng.normal(size=1500), z]), z + 0.5 * rng.normal(size=1500)


def test_both_find_the_two_columns_that_matter(two_of_ten):
    x, y = two_of_ten
    for selector in (FociSelector(), FociSelector(max_features=2, stop=False), CodecSelector(k=2)):
        assert selector.fit(x, y).get_support(indices=True).tolist() == [3, 7]
        assert sorted(selector.order_) == [3, 7]
        np.testing.assert_array_equal(selector.transform(x), x[:, [3, 7]])
        back = selector.inverse_transform(x[:, [3, 7]])
        np.testing.assert_array_equal(back[:, [3, 7]], x[:, [3, 7]])
        assert not np.delete(back, [3, 7], axis=1).any()


def test_of_a_chain_foci_takes_the_last_link_and_little_is_left(chain):
    x, y = chain
    assert FociSelector(max_features=1).fit(x, y).order_.tolist() == [2]
    alone = CodecSelector(k=2).fit(x, y)
    assert alone.order_.tolist() == [2, 0]  # the first link says much too, by itself
    given = FociSelector(max_features=3, stop=False).fit(x, y)
    assert given.scores_[0] < 0.1 < 0.3 < alone.scores_[0]  # ... and next to nothing more


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(4, 14), st.integers(1, 4), st.sampled_from(["random", "first"]))
def test_scores_are_those_of_the_equations(seed, n, p, ties):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 4, size=(n, p)).astype(float), rng.permutation(n) % 3
    place = oracle.circle(n, 5) if ties == "random" else None
    selector = CodecSelector(k=p, ties=ties, random_state=5).fit(x, y)
    exact = [np.nan if np.ptp(c) == 0 else float(oracle.statistic(y, c, None, place)) for c in x.T]
    np.testing.assert_array_equal(selector.scores_, exact)
    ranked = sorted((j for j in range(p) if not np.isnan(exact[j])), key=lambda j: (-exact[j], j))
    assert selector.order_.tolist() == ranked
    columns, scores = oracle.select(x, y, place)
    selector = FociSelector(ties=ties, random_state=5).fit(x, y)
    assert selector.order_.tolist() == columns
    assert selector.scores_[columns].tolist() == [float(score) for score in scores]
    assert np.isnan(np.delete(selector.scores_, columns)).all()


@pytest.mark.parametrize("ties", ["random", "first", "noise"])
def test_they_agree_with_the_functions(two_of_ten, ties):
    x, y = np.round(two_of_ten[0], 1), two_of_ten[1]
    found = foci(x, y, ties=ties, noise=1e-3, rng=9, max_features=4, stop=False)
    how = {"ties": ties, "noise": 1e-3, "random_state": 9, "threads": 1}
    selector = FociSelector(max_features=4, stop=False, **how).fit(x, y)
    assert selector.order_.tolist() == found.columns.tolist()
    np.testing.assert_array_equal(selector.scores_[selector.order_], found.scores)
    alone = CodecSelector(**how).fit(x, y)
    assert (alone.order_[0], alone.scores_.max()) == (found.columns[0], found.scores[0])
    if ties != "noise":
        assert alone.scores_.tolist() == [codec(y, c, ties=ties, rng=9) for c in x.T]


@BOTH
def test_data_frames_in_and_out(selector):
    frame, labels = load_iris(return_X_y=True, as_frame=True)
    named = selector(2).set_output(transform="pandas").fit(frame, labels)
    assert named.feature_names_in_.tolist() == list(frame)
    assert named.n_features_in_ == 4
    out = named.transform(frame)
    assert list(out) == named.get_feature_names_out().tolist() == list(frame.columns[named.get_support()])
    pd.testing.assert_frame_equal(out, frame[list(out)])
    with pytest.raises(ValueError, match="feature names"):
        named.transform(frame.rename(columns={"petal width (cm)": "width"}))


@BOTH
def test_labels_of_every_kind_are_the_same_classes(selector):
    x, codes = load_iris(return_X_y=True)
    expected = selector(2).fit(x, codes)
    words = np.array(["a", "b", "c"])[codes]
    kinds = [words, words.astype(object), list(words), pd.Series(words), pd.Series(words, dtype="category")]
    for labels in (*kinds, codes / 7, codes.astype(object)):
        found = selector(2).fit(x, labels)
        np.testing.assert_array_equal(found.scores_, expected.scores_)
        assert found.order_.tolist() == expected.order_.tolist()
    two = selector(1).fit(x, codes == 2)
    np.testing.assert_array_equal(two.scores_, selector(1).fit(x, np.where(codes == 2, "yes", "no")).scores_)


def test_in_a_pipeline_and_a_search(two_of_ten):
    x, y = two_of_ten
    squares = make_pipeline(FociSelector(threads=1), StandardScaler(), LinearRegression())
    search = GridSearchCV(squares, {"fociselector__max_features": [1, 2]}, cv=3).fit(np.abs(x), y)
    assert search.best_params_ == {"fociselector__max_features": 2}
    assert search.best_score_ > 0.8
    assert search.best_estimator_[0].order_.tolist() == FociSelector().fit(np.abs(x), y).order_.tolist()
    frame, labels = load_iris(return_X_y=True, as_frame=True)
    words = np.array(["setosa", "versicolor", "virginica"])[labels]
    model = make_pipeline(StandardScaler(), CodecSelector(threads=1), LogisticRegression())
    search = GridSearchCV(model, {"codecselector__k": [1, 2, 3]}, cv=3, error_score="raise").fit(frame, words)
    assert search.best_score_ > 0.9
    assert search.predict(frame[:1]).tolist() == ["setosa"]
    names = search.best_estimator_[:-1].get_feature_names_out()
    assert set(names) <= set(frame)


def test_in_a_column_transformer(two_of_ten):
    x, y = two_of_ten
    frame = pd.DataFrame(x, columns=list("abcdefghij"))
    parts = make_column_transformer((FociSelector(max_features=1), list("abcde")), ("passthrough", ["j"]))
    out = parts.set_output(transform="pandas").fit_transform(frame, y)
    assert list(out) == ["fociselector__d", "passthrough__j"]


@BOTH
def test_a_fitted_one_goes_to_other_processes_whole(selector, two_of_ten):
    fitted = selector().fit(*two_of_ten)
    again = pickle.loads(pickle.dumps(fitted))  # noqa: S301
    np.testing.assert_array_equal(again.transform(two_of_ten[0]), fitted.transform(two_of_ten[0]))


@BOTH
def test_what_nothing_can_be_chosen_for(selector):
    x = np.random.default_rng(3).normal(size=(20, 3))
    with pytest.warns(UndefinedCodecWarning, match="y is constant"):
        fitted = selector().fit(x, np.ones(20))
    assert fitted.order_.tolist() == []
    with pytest.warns(UserWarning, match="No features were selected"):
        assert fitted.transform(x).shape == (20, 0)
    x[:, [0, 2]] = 4.0  # constant columns are never kept
    assert selector(3).fit(x, x[:, 1]).get_support().tolist() == [False, True, False]


WRONG = [
    (FociSelector, "max_features", 0, "a whole number >= 1"),
    (FociSelector, "max_features", 1.5, "a whole number >= 1"),
    (FociSelector, "stop", "no", "true or false"),
    (CodecSelector, "k", None, "a whole number >= 1"),
    (CodecSelector, "k", True, "a whole number >= 1"),
    *((s, "ties", "last", "one of random, noise, first") for s in (FociSelector, CodecSelector)),
    *((s, "noise", 0.0, "a finite number > 0") for s in (FociSelector, CodecSelector)),
    *((s, "threads", 0, "a whole number >= 1") for s in (FociSelector, CodecSelector)),
    *((s, "random_state", -1, "None, a whole number >= 0") for s in (FociSelector, CodecSelector)),
]


@pytest.mark.parametrize(("selector", "name", "value", "allowed"), WRONG)
def test_what_a_parameter_may_be_is_said_in_one_line(selector, name, value, allowed):
    line = re.escape(f"{name}: got {value!r}, allowed: {allowed}")
    with pytest.raises(ValueError, match=line) as error:
        selector(**{name: value}).fit(np.eye(4), np.arange(4))
    assert "\n" not in str(error.value)


@BOTH
def test_what_data_may_be(selector):
    x = np.random.default_rng(4).normal(size=(5, 2))
    with pytest.raises(ValueError, match="y: got 'NoneType, str', allowed: numbers, or labels of one kind"):
        selector().fit(x, np.array(["a", None, "b", "a", "b"], dtype=object))
    with pytest.raises(ValueError, match=r"2 sample.*minimum of 3"):
        selector().fit(x[:2], [0, 1])
    with pytest.raises(NotFittedError):
        selector().get_support()


@BOTH
def test_what_random_state_may_be(selector, two_of_ten):
    x, y = np.round(two_of_ten[0]), two_of_ten[1]
    for make in (np.random.RandomState, np.random.default_rng, int):
        one, two = (selector(random_state=make(6)).fit(x, y) for _ in range(2))
        np.testing.assert_array_equal(one.scores_, two.scores_)
    assert selector(random_state=None).fit(x, y).order_[0] in (3, 7)
    assert clone(selector(random_state=6)).random_state == 6
