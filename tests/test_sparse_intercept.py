"""Where a constant, ids, groups and declared ranges meet sparse rows."""

import numpy as np
import pytest
import scipy.sparse as sp

from expunge import CertifiedLogisticRegression
from expunge.core.errors import InvalidValue
from expunge.datasets import arrays
from expunge.extractors.pixels import Pixels
from expunge.verify.verdict import verify
from tests import cli

N, D = 240, 30


def _table(seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    dense = (rng.random((N, D)) * (rng.random((N, D)) < 0.2)).astype(dtype)
    dense[5] = 0  # a row without entries
    y = (dense[:, 0] - dense[:, 1] + 0.2 * rng.standard_normal(N) > 0.3).astype(int)
    return dense, y


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("normalize", [True, False])
def test_sparse_rows_with_an_intercept_are_the_dense_ones(normalize, dtype):
    x, y = _table(dtype=dtype)
    x = x if normalize else x / 8
    settings = {"fit_intercept": True, "intercept_scaling": 2.0, "normalize": normalize, "random_state": 3}
    dense = CertifiedLogisticRegression(lam=1e-2, **settings).fit(x, y)
    sparse = CertifiedLogisticRegression(lam=1e-2, **settings).fit(sp.csr_array(x), y)
    for model in (dense, sparse):
        assert model.remove([4, 5, 17]).outcome == "removed"
    own = [model._engine_.predictor.weights for model in (dense, sparse)]
    np.testing.assert_allclose(own[1], own[0], atol=1e-7 * abs(own[0]).max())
    scores = [sparse.decision_function(of) for of in (x, sp.csr_array(x))]
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("solver", ["direct", "iterative"])
def test_every_solver_has_the_intercept(solver):
    x, y = _table()
    settings = {"fit_intercept": True, "random_state": 3, "lam": 1e-2}
    first = CertifiedLogisticRegression(**settings).fit(x, y)
    other = CertifiedLogisticRegression(solver=solver, **settings).fit(sp.csr_array(x), y)
    assert other.residual() < 1e-8
    wanted = first._engine_.predictor.weights
    np.testing.assert_allclose(other._engine_.predictor.weights, wanted, atol=1e-6 * abs(wanted).max())


def test_a_saved_sparse_model_with_an_intercept_goes_on(tmp_path):
    x, y = _table()
    model = CertifiedLogisticRegression(fit_intercept=True, random_state=3, lam=1e-2).fit(sp.csr_array(x), y)
    model.remove([1])
    model.save(tmp_path / "m.safetensors")
    loaded = CertifiedLogisticRegression.load(tmp_path / "m.safetensors", x, y)  # dense: the same numbers
    assert loaded.remove([2]).outcome == "removed"


@pytest.fixture
def stored(tmp_path):
    x, y = _table()
    m = sp.csr_array(x)
    parts = {"data": m.data, "indices": m.indices, "indptr": m.indptr, "shape": np.array(m.shape)}
    names = {"ids": np.array([f"u{i}" for i in range(N)]), "groups": np.arange(N) // 4}
    np.savez(tmp_path / "x.npz", y=y, **parts, **names)
    np.save(tmp_path / "y.npy", y)
    np.savez(tmp_path / "bare.npz", **parts)
    return tmp_path, x, y


def test_ids_and_groups_stay_with_drawn_sparse_rows(stored):
    folder, x, y = stored
    found = arrays.load(folder, "x.npz", test_seed=1)
    rows = [int(name[1:]) for name in found.ids]
    np.testing.assert_array_equal(found.x_train.toarray(), x[rows])
    np.testing.assert_array_equal(found.groups.astype(int), np.array(rows) // 4)
    np.testing.assert_array_equal(found.y_train, y[rows])


def test_labels_of_a_sparse_file_may_be_in_another(stored):
    folder, _, y = stored
    found = arrays.load(folder, "bare.npz", y_path="y.npy")
    np.testing.assert_array_equal(np.concatenate([found.y_train, found.y_test]), y)


def test_declared_ranges_scale_sparse_rows_and_do_not_shift_them(stored):
    folder, _, _ = stored
    data = arrays.load(folder, "x.npz")
    ranges = [[-1 - k, 1 + k] for k in range(D)]
    sparse, _ = Pixels(scaling="declared", ranges=ranges, constant=1.0).extract(data)
    whole = {"x_train": data.x_train.toarray(), "x_test": data.x_test.toarray()}
    dense, _ = Pixels(scaling="declared", ranges=ranges, constant=1.0).extract(
        type(data)(**{**vars(data), **whole})
    )
    np.testing.assert_allclose(sparse.dense(), dense.dense(), rtol=1e-12)
    with pytest.raises(InvalidValue, match="sparse"):
        Pixels(scaling="declared", ranges=[0, 1]).extract(data)
    with pytest.raises(InvalidValue, match="sparse"):
        Pixels(scaling="dp", ranges=[-1, 1], epsilon=1.0, delta=1e-5).extract(data)


@pytest.mark.parametrize(
    "settings",
    [[], ["training.solver=iterative"], ["extractor.scaling=declared", "extractor.ranges=[-2,2]"]],
)
def test_a_run_on_sparse_rows_with_an_intercept_is_verified(stored, tmp_path, settings):
    folder, _, _ = stored
    data = ["dataset=arrays", f"dataset.path={folder / 'x.npz'}", "dataset.test_seed=1", "removal.group=3"]
    own = [
        "model.intercept=true",
        "model.intercept_scaling=2",
        "model.lam=1e-2",
        "figures=false",
        "threads=1",
    ]
    ended = cli.expunge(*data, *own, *settings, f"hydra.run.dir={tmp_path / 'run'}", cwd=tmp_path)
    assert ended.code == 0, ended.err
    assert verify(tmp_path / "run").accepted
