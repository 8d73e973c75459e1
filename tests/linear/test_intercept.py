"""The intercept is a column of the features: the same model, the same bounds, and rows of norm at most 1."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge import CertifiedLogisticRegression
from expunge.core.errors import InvalidValue
from expunge.extractors.scaling import scaled
from expunge.linear import intercept
from expunge.linear.rows import Rows
from expunge.verify.rows import Table


def table(n=300, d=4, seed=0, share=0.05):
    """Rows around zero, few of which are of the second class."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    return x, np.where(x[:, 0] + 0.3 * rng.normal(size=n) > np.quantile(x[:, 0], 1 - share), "rare", "usual")


def model(**how):
    return CertifiedLogisticRegression(random_state=0, lam=1e-3, **how)


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([np.uint8, np.float32, np.float64]),
    st.floats(1e-3, 1e3),
    st.sampled_from([0.0, 0.5, 127.5]),
)
@settings(max_examples=40, deadline=None)
def test_rows_are_the_equation_and_those_of_the_check(seed, kind, constant, offset):
    rng = np.random.default_rng(seed)
    raw = (rng.uniform(0, 255, size=(7, 3))).astype(kind)
    constant = intercept.checked(True, constant, ("intercept", "intercept_scaling"))
    rows, _ = scaled(raw, raw[:1], "row", "rows", offset, constant)
    assert (np.linalg.norm(rows.dense(), axis=1) <= 1 + 1e-12).all()
    wide = np.column_stack([raw.astype(np.float64) - offset, np.full(7, constant)])
    naive = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    np.testing.assert_allclose(rows.dense(), naive, rtol=0, atol=1e-5)  # c + offset in float32
    check = Table(raw, offset, constant=constant)
    np.testing.assert_allclose(check.doubles(np.arange(7)), rows.dense(), rtol=0, atol=4e-16)
    np.testing.assert_allclose(check.extended(np.arange(7)).astype(float), rows.dense(), rtol=0, atol=4e-16)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("classes", [2, 3])
def test_it_is_the_model_of_a_column_more(normalize, classes):
    x, y = table()
    y = y if classes == 2 else np.where(x[:, 1] > 0, y, "third")
    x = x if normalize else x / np.linalg.norm(x, axis=1).max()
    c, length = 2.0, 1.0 if normalize else np.sqrt(5)
    own = model(fit_intercept=True, intercept_scaling=c, normalize=normalize).fit(x, y)
    wide = np.column_stack([x, np.full(len(x), c)]) / length
    other = model(normalize=normalize).fit(wide, y)
    np.testing.assert_allclose(own.coef_ * length, other.coef_[:, :-1], rtol=1e-12)
    np.testing.assert_allclose(own.intercept_ * length, other.coef_[:, -1] * c, rtol=1e-12)
    for each in (own, other):
        each.remove([3, 4, 5])
    np.testing.assert_allclose(own.decision_function(x), other.decision_function(wide), rtol=1e-9, atol=1e-12)
    norms = np.sqrt((x**2).sum(1) + c**2)[:, None] if normalize else 1.0
    linear = (x @ own.coef_.T + own.intercept_) / norms
    np.testing.assert_allclose(own.decision_function(x).reshape(linear.shape), linear, rtol=1e-9, atol=1e-12)
    assert own.residual() <= own.certificate_.beta <= own.certificate_.budget
    assert (own.n_features_in_, own.intercept_.shape) == (4, (1 if classes == 2 else 3,))


def test_without_one_there_is_none():
    x, y = table(share=0.5)
    assert model().fit(x, y).intercept_.tolist() == [0.0]


def test_few_of_a_class_are_told_from_the_rest_and_a_hint_says_how():
    x, y = table(n=3000, share=0.02)
    with pytest.warns(UserWarning, match=r"98% of the training rows are of class usual.*fit_intercept=True"):
        assert model().fit(x, y).score(x, y) < 0.6
    assert model(fit_intercept=True).fit(x, y).score(x, y) > 0.97


@pytest.mark.filterwarnings("error")
def test_no_hint_where_it_would_not_help():
    x, y = table(share=0.5)
    model().fit(x, y)
    x, y = table(share=0.02)
    model(fit_intercept=True).fit(x, y)
    model().fit(x + 10, y)  # whose mean stands for a constant


@pytest.mark.parametrize("normalize", [True, False])
def test_it_is_saved_with_the_model(tmp_path, normalize):
    x, y = table(n=3000)
    x = (x if normalize else 0.99 * x / np.linalg.norm(x, axis=1).max()).astype(np.float32)
    how = {"fit_intercept": True, "intercept_scaling": 0.1, "normalize": normalize, "update": "rowless"}
    (first := model(**how).fit(x, y)).save(path := tmp_path / "model")
    with_rows = CertifiedLogisticRegression.load(path, x.astype(np.float64), y)
    alone = CertifiedLogisticRegression.load(path)
    for each in (with_rows, alone):
        np.testing.assert_array_equal(each.intercept_, first.intercept_)
        np.testing.assert_array_equal(each.predict(x), first.predict(x))
    assert with_rows.remove([7]).outcome == "removed"
    assert alone.remove([7], x[[7]].astype(np.float64), y[[7]]).outcome == "removed"


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [("fit_intercept", 1, "true or false"), ("intercept_scaling", 0, "a finite number > 0")],
)
def test_settings_that_are_none(key, value, allowed):
    x, y = table()
    with pytest.raises(InvalidValue, match=f"{key}: got {value}, allowed: {allowed}"):
        model(**{key: value}).fit(x, y)


def test_8_bit_rows_stay_as_they_are_without_one():
    raw = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert intercept.beside(raw, 0.0) is raw
    assert Rows.normalised(intercept.beside(raw, 1.0)).raw.dtype == np.float32


def test_sparse_rows_stay_sparse():
    dense = np.random.default_rng(0).binomial(1, 0.2, size=(6, 5)).astype(np.float32)
    for make in (sp.csr_array, sp.csr_matrix, sp.csc_array):
        for add in (intercept.beside, intercept.beside_unit):
            found = add(make(dense), 2.0)
            assert (found.format, found.dtype) == ("csr", add(dense, 2.0).dtype)
            np.testing.assert_array_equal(found.toarray(), add(dense, 2.0))
