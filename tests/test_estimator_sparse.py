"""The estimator on sparse rows: whatever container they come in, saved, loaded, erased."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp

from expunge import CertifiedLogisticRegression
from expunge.core.errors import DataError
from expunge.core.files import load_state
from expunge.linear.rows_away import RowsOutOfReach
from expunge.linear.sparse_rows import SparseRows

_SETTINGS = {"lam": 1e-3, "random_state": 0}


@pytest.fixture(scope="module")
def text():
    rng = np.random.default_rng(0)
    x = sp.random_array((300, 1500), density=0.005, rng=rng, format="csr")
    return x, np.where(x @ rng.normal(size=1500) > 0, "good", "bad")


def scattered(x, index=np.int64):
    """The same matrix with entries in halves, zeros among them, and nothing in order."""
    coo = x.tocoo()
    rows, columns = (np.concatenate([places, places, places]) for places in coo.coords)
    data = np.concatenate([coo.data / 2, 0 * coo.data, coo.data / 2])
    order = np.argsort(rows, kind="stable")[::1]
    starts = np.searchsorted(rows[order], np.arange(x.shape[0] + 1))
    made = (data[order], columns[order].astype(index), starts.astype(index))
    return sp.csr_matrix(made, shape=x.shape)


def test_every_container_gives_the_same_model(text):
    x, y = text
    ours = CertifiedLogisticRegression(**_SETTINGS).fit(x, y)
    assert isinstance(ours._engine_.predictor.x, SparseRows)
    ours.remove([3, 5])
    for given in (sp.csr_matrix(x), x.tocsc(), x.tocoo(), x.tolil(), scattered(x)):
        other = CertifiedLogisticRegression(**_SETTINGS).fit(given, y)
        other.remove([3, 5])
        np.testing.assert_array_equal(ours.coef_, other.coef_)
    dense = CertifiedLogisticRegression(**_SETTINGS).fit(x.toarray(), y)
    dense.remove([3, 5])
    far = sum(
        model.certificate_.sensitivity for model in (ours, dense)
    )  # from one minimiser; the noise is one
    assert np.linalg.norm(ours.coef_ - dense.coef_) <= far * (1 + 1e-6)
    np.testing.assert_allclose(ours.decision_function(x), ours.decision_function(x.toarray()), atol=1e-12)
    np.testing.assert_array_equal(ours.predict(x.tocsc()), dense.predict(x))
    assert ours.predict_proba(x[:7]).shape == (7, 2)


def test_a_saved_model_knows_its_rows_again(text, tmp_path):
    x, y = text
    path, gone = tmp_path / "model.safetensors", [3, 5, 299]
    model = CertifiedLogisticRegression(**_SETTINGS).fit(x, y)
    model.remove(gone)
    model.save(path)
    assert not any(array.ndim > 1 and min(array.shape) > 1000 for array in load_state(path).arrays.values())
    nothing, lost = x.tolil(), x.tocsr(copy=True)
    nothing[gone] = 0
    for row in gone:
        lost.data[lost.indptr[row] : lost.indptr[row + 1]] = np.nan
    stay = np.delete(np.arange(300), gone)
    givens = [
        (x, y),
        (scattered(x), y),
        (x.toarray(), y),
        (nothing.tocsr(), y),
        (lost, y),
        (x[stay], y[stay]),
    ]
    outcome, after = None, None
    for given, labels in givens:
        loaded = CertifiedLogisticRegression.load(path, given, labels)
        now = loaded.remove([7])
        assert outcome in (None, now)
        assert after is None or np.array_equal(after, loaded.coef_)
        outcome, after = now, loaded.coef_
    assert model.remove([7]) == outcome
    other = x.tocsr(copy=True)
    other.data[other.indptr[11]] += 1e-9
    with pytest.raises(DataError, match=r"are not the training data of this model: row 11 is another"):
        CertifiedLogisticRegression.load(path, other, y)
    away = CertifiedLogisticRegression.load(path)
    np.testing.assert_array_equal(away.predict(x), CertifiedLogisticRegression.load(path, x, y).predict(x))
    with pytest.raises(RowsOutOfReach):
        away.remove([9])


def test_a_model_of_dense_rows_knows_them_as_sparse_ones(text, tmp_path):
    x, y = text
    path = tmp_path / "model.safetensors"
    settings = _SETTINGS | {"update": "rowless"}
    CertifiedLogisticRegression(**settings).fit(x[:, :40].toarray(), y).save(path)
    assert CertifiedLogisticRegression.load(path, x[:, :40], y).remove([4]).outcome == "removed"
    away = CertifiedLogisticRegression.load(path)
    assert away.remove([4], x[[4], :40], y[[4]]).outcome == "removed"


def test_a_pickle_holds_nothing_of_rows_that_left(text):
    x, y = text
    marked = x.tocsr(copy=True)
    row = slice(marked.indptr[8], marked.indptr[9])
    marked.data[row] = np.pi / 4
    model = CertifiedLogisticRegression(**_SETTINGS).fit(marked, y)
    kept = pickle.dumps(model)
    model.remove([8])
    left = pickle.dumps(model)
    mark = np.float64(np.pi / 4).tobytes()
    assert (kept.count(mark), left.count(mark)) == (row.stop - row.start, 0)
    again = pickle.loads(left)  # noqa: S301
    assert again.remove([9]) == model.remove([9])
    np.testing.assert_array_equal(again.coef_, model.coef_)


def test_what_is_no_number_or_out_of_range_is_said(text):
    x, y = text
    model = CertifiedLogisticRegression(**_SETTINGS)
    bad = x.tocsr(copy=True)
    bad.data[5] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        model.fit(bad, y)
    bad = x.tocsr(copy=True)
    bad.indices[5] = 1500
    with pytest.raises(DataError, match=r"^X: a damaged sparse matrix of shape \(300, 1500\)"):
        model.fit(bad, y)
    model.fit(x, y)
    with pytest.raises(DataError, match=r"^X: a damaged sparse matrix"):
        model.predict(bad)
    with pytest.raises(ValueError, match="features"):
        model.predict(x[:, :7])


def test_rows_without_entries_and_features_without_rows(text):
    x, y = text
    some = sp.vstack([x, sp.csr_array((20, 1500))]).tocsr()
    labels = np.concatenate([y, np.repeat("bad", 20)])
    model = CertifiedLogisticRegression(**_SETTINGS).fit(some, labels)
    assert model.remove([310]).outcome == "removed"
    assert model.residual() <= model.certificate_.beta
    empty = np.flatnonzero(np.bincount(some.indices, minlength=1500) == 0)
    noise = np.abs(model.coef_[0, empty]).max() if len(empty) else 0.0
    assert noise < 8 * model.certificate_.guarantee.std


@pytest.mark.parametrize("ratio", [1.0, 0.3])
def test_many_classes(text, ratio):
    x, _ = text
    y = np.digitize(x.sum(axis=1), [0.5, 1.5, 3.0])
    model = CertifiedLogisticRegression(**_SETTINGS, subsample_ratio=ratio).fit(x, y)
    for rows in ([1], [2, 3], np.flatnonzero(y == 0)):
        assert model.remove(rows).outcome == "removed"
        assert model.residual() <= model.certificate_.beta
    assert model.classes_.tolist() == [1, 2, 3]


def test_rows_that_are_normalised_already(text):
    x, y = text
    unit = x / np.sqrt(x.multiply(x).sum(axis=1)).max()
    model = CertifiedLogisticRegression(**_SETTINGS, normalize=False).fit(unit.tocsr(), y)
    assert model.remove([1]).outcome == "removed"
    assert model.score(unit, y) > 0.6
