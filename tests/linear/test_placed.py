"""Where rows are changes last digits alone: what a model is charged, promises and saves is the same."""

import pickle
from unittest.mock import patch

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from expunge import CertifiedLogisticRegression, UserError
from expunge.linear import placed as places
from expunge.linear.device_rows import DeviceRows
from expunge.linear.placed import place_of, placed
from expunge.linear.rows import Rows
from expunge.linear.rows_away import RowsAway
from expunge.linear.sparse_rows import SparseRows

NO_GPU = not torch.cuda.is_available()


def on_torch(rows, device):
    return DeviceRows.of(rows, torch.device("cpu"))


@pytest.fixture
def device():
    """A device of torch that every machine has, in the place of a GPU."""
    with patch.object(places, "_on_gpu", on_torch):
        yield "cuda"


def blobs(classes=2, n=400, d=6, kind=np.float32):
    rng = np.random.default_rng(0)
    y = rng.integers(0, classes, n)
    return (rng.normal(size=(n, d)) + 2 * rng.normal(size=(classes, d))[y]).astype(kind), y


def test_rows_stay_where_they_are_unless_asked():
    rows, sparse = Rows.normalised(blobs()[0]), SparseRows.normalised(sp.csr_array(np.eye(3)))
    assert placed(rows, "cpu") is rows
    assert placed(rows, "auto") is rows  # too few
    assert placed(sparse, "auto") is sparse
    away = RowsAway(3, 2, 3)
    assert placed(away, "cuda") is away
    assert place_of(rows) is None


def test_what_cannot_be_is_said_in_a_line():
    rows = Rows.normalised(blobs()[0])
    with pytest.raises(UserError, match=r"device: got 'tpu', allowed: .*cuda"):
        placed(rows, "tpu")
    with pytest.raises(UserError, match="device: got 'cuda', allowed: auto or cpu with sparse rows"):
        placed(SparseRows.normalised(sp.csr_array(np.eye(3))), "cuda")
    with (
        patch.object(torch.cuda, "is_available", lambda: True),
        patch.object(torch.cuda, "mem_get_info", lambda: (2**20, 2**30)),
    ):
        with pytest.raises(UserError, match=r"auto or cpu: 400 rows of 6 take 1 GiB, and 1 MiB is free"):
            placed(rows, "cuda")
        with patch.object(places, "_WORTH_IT", 1):
            assert placed(rows, "auto") is rows


@pytest.mark.skipif(not NO_GPU, reason="there is a GPU here")
def test_without_a_gpu_cuda_is_refused_and_auto_is_memory():
    rows = Rows.normalised(blobs()[0])
    with pytest.raises(UserError, match="device: got 'cuda', allowed: auto or cpu: torch finds no GPU here"):
        placed(rows, "cuda")
    with patch.object(places, "_WORTH_IT", 1):
        assert placed(rows, "auto") is rows


@pytest.mark.parametrize("settings", [
    {}, {"update": "rowless"}, {"solver": "iterative"}, {"fit_intercept": True},
    {"perturbation": "gaussian", "std": 1.0, "update": "fresh", "certificate": "data_dependent"},
    {"subsample_ratio": 0.5, "solver": "iterative"}, {"subsample_ratio": 0.5},
])  # fmt: skip
@pytest.mark.parametrize("classes", [2, 4])
def test_a_model_is_that_of_rows_in_memory(device, tmp_path, settings, classes):
    if classes == 2 and "subsample_ratio" in settings:
        pytest.skip("two classes have no subsamples")
    X, y = blobs(classes)
    models = [
        CertifiedLogisticRegression(lam=1e-2, random_state=0, **settings, device=where).fit(X, y)
        for where in ("cpu", device)
    ]
    assert isinstance(models[1]._engine_.predictor.x, DeviceRows)
    for rows in ([3], list(range(10, 60)), [7, 8]):
        outcomes = [model.remove(rows) for model in models]
        assert outcomes[0].outcome == outcomes[1].outcome != "refused"
    for model in models:
        assert model.residual() <= model.certificate_.beta
    np.testing.assert_allclose(models[1].coef_, models[0].coef_, rtol=1e-5, atol=1e-6)
    plans = [model.certificate_.guarantee for model in models]
    assert plans[0] == plans[1]
    file = tmp_path / "model.safetensors"
    models[1].save(file)
    again = CertifiedLogisticRegression.load(file, X, y)
    assert isinstance(again._engine_.predictor.x, Rows)
    assert (again.coef_ == models[1].coef_).all()
    assert again.remove([100]).outcome != "refused"
    there = CertifiedLogisticRegression.load(file, X, y, device=device)
    assert isinstance(there._engine_.predictor.x, DeviceRows)
    assert there.remove([100]).outcome != "refused"
    np.testing.assert_allclose(there.coef_, again.coef_, rtol=1e-5, atol=1e-6)


def test_a_pickle_has_rows_in_memory_and_nothing_of_those_that_left(device):
    X, y = blobs()
    X[17] = 12345.0
    model = CertifiedLogisticRegression(lam=1e-2, random_state=0, device=device).fit(X, y)
    assert model.remove([17]).outcome == "removed"
    written = pickle.dumps(model)
    assert np.float32(12345.0).tobytes() not in written
    assert written.count(np.ascontiguousarray(X[20]).tobytes()) == 1
    again = pickle.loads(written)  # noqa: S301
    assert isinstance(again._engine_.predictor.x, Rows)
    assert again.remove([5]).outcome == "removed"
    assert again.residual() <= again.certificate_.beta


def test_bfloat16_is_kept_and_is_float32_in_memory():
    raw = torch.from_numpy(blobs()[0]).bfloat16()
    rows = DeviceRows.normalised(raw)
    assert rows.raw is raw
    same = Rows.normalised(raw.float().numpy())
    y, w = np.where(np.arange(400) % 2, 1.0, -1.0), np.arange(6.0)
    np.testing.assert_allclose(rows.gradient(y, w), same.gradient(y, w), rtol=1e-12, atol=1e-12)
    again = pickle.loads(pickle.dumps(rows))  # noqa: S301
    assert again.dtype == rows.dtype == np.float32
    assert (again.raw == same.raw).all()


def test_tensors_that_are_no_rows_are_refused():
    with pytest.raises(UserError, match="row 1 holds NaN or infinity"):
        DeviceRows.normalised(torch.tensor([[1.0, 2.0], [float("nan"), 1.0]]))
    with pytest.raises(UserError, match="row 0 has L2 norm above 1; normalise the rows"):
        DeviceRows.as_given(torch.tensor([[1.0, 2.0], [0.5, 0.5]]))
    with pytest.raises(UserError, match="features: got 'int64 of shape"):
        DeviceRows.normalised(torch.ones((2, 2), dtype=torch.int64))
    as_given = DeviceRows.as_given(torch.tensor([[0.6, 0.8], [0.5, 0.5]], dtype=torch.float64))
    assert as_given.factor.tolist() == [1.0, 1.0]
    assert DeviceRows.normalised(torch.zeros((2, 3))).factor.tolist() == [1.0, 1.0]


def test_a_release_copies_no_labels(device):
    X, y = blobs()
    model = CertifiedLogisticRegression(lam=1e-2, random_state=0, device=device).fit(X, y)
    held = model._engine_.predictor.x.held
    seen, copied = [], type(held).copied

    def counted(self, array):
        seen.append(np.size(array))
        return copied(self, array)

    with patch.object(type(held), "copied", counted):
        assert model.remove([3]).outcome == "removed"
    assert max(seen) < len(y)
