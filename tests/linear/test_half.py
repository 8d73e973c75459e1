"""Rows in float16 are used as they lie: the numbers of each pass are those of the same rows in float64."""

import numpy as np
import pytest

from expunge import CertifiedLogisticRegression
from expunge.core.errors import DataError
from expunge.linear.rows import Rows


def near(found, wide):
    """Sums are taken in another order: vector registers hold other numbers of entries."""
    np.testing.assert_allclose(found, wide, rtol=1e-10, atol=1e-10)


def test_every_float16_is_widened_exactly():
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    every = every[np.isfinite(every)].reshape(-1, 1)
    rows = Rows(every, np.ones(len(every)))
    assert rows.raw is every
    np.testing.assert_array_equal(rows.scores(np.ones(1)), every[:, 0].astype(np.float64))


def test_passes_over_float16_are_those_of_float64():
    rng = np.random.default_rng(0)
    half = rng.normal(size=(2100, 7)).astype(np.float16)
    half[3] = 0
    narrow, wide = Rows.normalised(half), Rows.normalised(half.astype(np.float64))
    assert narrow.raw is half
    y, w = np.where(rng.random(2100) < 0.5, 1.0, -1.0), rng.normal(size=7)
    near(narrow.gradient(y, w), wide.gradient(y, w))
    near(narrow.weighted_gram(), wide.weighted_gram())
    near(narrow.curved(np.ones(2100), w)[0], wide.curved(np.ones(2100), w)[0])


def test_a_model_of_a_float16_map_is_that_of_float64_and_copies_nothing(tmp_path):
    rng = np.random.default_rng(1)
    half = rng.normal(size=(300, 5)).astype(np.float16)
    y = (half[:, 0] > 0).astype(int)
    np.save(tmp_path / "x.npy", half)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    models = [
        CertifiedLogisticRegression(lam=1e-2, random_state=0).fit(x, y)
        for x in (mapped, half.astype(np.float64))
    ]
    assert np.shares_memory(models[0]._fitted_.data.rows.raw, mapped)
    for model in models:
        model.remove([4, 9])
    near(models[0].decision_function(half), models[1].decision_function(half))
    models[0].save(tmp_path / "m.safetensors")
    again = CertifiedLogisticRegression.load(tmp_path / "m.safetensors", mapped, y)
    near(again.decision_function(half), models[1].decision_function(half))


def test_infinity_in_float16_is_found():
    half = np.ones((4, 3), dtype=np.float16)
    half[2, 1] = np.inf
    with pytest.raises(DataError, match="row 2 holds NaN or infinity"):
        Rows.normalised(half)
