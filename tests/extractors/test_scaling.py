"""Scaling of features against its equation, and what it does to the guarantee."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from expunge.certificate.composition import Upstream
from expunge.core.errors import DataError, InvalidValue
from expunge.datasets import Dataset
from expunge.datasets.digits_3v8 import load
from expunge.extractors.pixels import Pixels
from expunge.extractors.scaling import SCALINGS, cost, scaled, standardised
from expunge.linear.rows import Rows
from expunge.run.targets import build
from tests import cli

CONF = Path(__file__).resolve().parents[2] / "conf" / "extractor"


def features(n=50, m=7, d=5, seed=0, kind=np.float64):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n + m, d)) * rng.uniform(0.1, 50, d) + rng.normal(size=d) * 100
    return x[:n].astype(kind), x[n:].astype(kind)


def by_hand(train, test):
    """The equation in float64."""
    wide = train.astype(np.float64)
    mean, std = wide.mean(axis=0), wide.std(axis=0)
    return (wide - mean) / std, (test.astype(np.float64) - mean) / std


# The training set's mean and deviation


@given(
    st.integers(2, 40),
    st.integers(0, 5),
    st.integers(1, 6),
    st.sampled_from([np.float64, np.float32, np.int32, np.uint8]),
)
@settings(max_examples=50, deadline=None)
def test_standardised_is_the_equation(n, m, d, kind):
    train, test = features(n, m, d, seed=n, kind=np.float64)
    train, test = (np.clip(np.round(x), 0, 255) if kind is np.uint8 else x for x in (train, test))
    train, test = train.astype(kind), test.astype(kind)
    varying = train.std(axis=0) > 0
    found = standardised(train, test)
    expected = by_hand(train[:, varying], test[:, varying])
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours[:, varying], theirs, rtol=1e-4, atol=1e-5)
        assert not ours[:, ~varying].any()


def test_more_rows_than_a_block_holds():
    train, test = features(n=3000, m=1100)
    for ours, theirs in zip(standardised(train, test), by_hand(train, test), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_a_small_deviation_beside_a_large_mean_is_not_lost():
    train = 1e6 + np.random.default_rng(0).normal(size=(500, 3)) * 1e-3
    ours, _ = standardised(train, train[:1])
    np.testing.assert_allclose(ours.std(axis=0), 1, rtol=1e-5)
    np.testing.assert_allclose(ours.mean(axis=0), 0, atol=1e-5)


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.uint8])
def test_a_constant_feature_becomes_zero(kind):
    train, test = features(n=2100)
    train[:, 2] = 0.1 if kind is not np.uint8 else 7
    train, test = (np.clip(x, 0, 255).astype(kind) for x in (train, test))
    for x in standardised(train, test):
        assert not x[:, 2].any()


def test_a_feature_that_varies_by_rounding_alone_becomes_zero():
    train, test = features(kind=np.float32)
    train[:, 1] = np.where(np.arange(50) % 2, np.float32(3.7), np.nextafter(np.float32(3.7), np.float32(4)))
    assert not standardised(train, test)[0][:, 1].any()


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_are_named(scaling, bad):
    train, test = features(n=1500, m=30)
    train[1234, 0] = bad
    with pytest.raises(DataError, match=r"^dataset toy: training row 1234 holds NaN or infinity$"):
        scaled(train, test, scaling, "dataset toy")
    with pytest.raises(DataError, match=r"^dataset toy: test row 1234 holds NaN or infinity$"):
        scaled(test, train, scaling, "dataset toy")


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("size", [1e-310, 1e-200, 1e-161, 1e200, 1e305])
def test_tiny_and_huge_features_are_as_good_as_others(scaling, size):
    train, test = features(n=1500, m=30)
    usual = scaled(train, test, scaling, "dataset toy")
    for one, other in zip(usual, scaled(train * size, test * size, scaling, "dataset toy"), strict=True):
        np.testing.assert_allclose(other.dense(), one.dense(), rtol=1e-6, atol=1e-9)
        assert np.linalg.norm(other.dense(), axis=1) == pytest.approx(1, abs=1e-15)
    test[7, 0] = 1e200  # one row far from all others
    rows = scaled(train, test, scaling, "dataset toy")[1]
    np.testing.assert_allclose(abs(rows.dense()[7]), np.eye(test.shape[1])[0], atol=1e-30)


# Rows


def test_dataset_rows_have_norm_one():
    train, test = features()
    for rows, theirs in zip(scaled(train, test, "dataset", "toy"), by_hand(train, test), strict=True):
        expected = theirs / np.linalg.norm(theirs, axis=1, keepdims=True)
        np.testing.assert_allclose(rows.dense(), expected, rtol=1e-4, atol=1e-6)


def test_row_scaling_copies_nothing_and_looks_at_one_row_alone():
    train, test = features(kind=np.float32)
    rows, others = scaled(train, test, "row", "toy", offset=0.25)
    assert rows.raw is train
    assert others.raw is test
    few, _ = scaled(train[3:4], test, "row", "toy", offset=0.25)
    np.testing.assert_array_equal(few.dense()[0], rows.dense()[3])


def test_rows_of_zeros(caplog):
    train, test = features()
    train[4] = 0
    with caplog.at_level("INFO"):
        assert not scaled(train, test, "row", "toy")[0].dense()[4].any()
    assert [record.message for record in caplog.records] == [
        f"toy: training row: 1 of {len(train)} have norm zero, and stay as they are"
    ]
    train[:] = 1  # every row is the mean
    assert not scaled(train, test, "dataset", "toy")[0].dense().any()


def test_statistics_are_covered_by_no_guarantee():
    assert cost("row") == Upstream(0.0, 0.0, None)
    assert cost("dataset").not_covered == "features were scaled by statistics of the training set"


# Pixels


def test_pixels_are_as_they_were():
    dataset = load()
    for rows, x in zip(Pixels().extract(dataset), (dataset.x_train, dataset.x_test), strict=True):
        expected = Rows.normalised(x.reshape(len(x), -1), dataset.raw_offset)
        assert np.shares_memory(rows.raw, x)
        assert rows.offset == expected.offset
        np.testing.assert_array_equal(rows.scale, expected.scale)


def test_pixels_scaled_by_the_training_set():
    dataset = load()
    extractor = Pixels(scaling="dataset")
    train, test = extractor.extract(dataset)
    flat = [x.reshape(len(x), -1) for x in (dataset.x_train, dataset.x_test)]
    varying = flat[0].std(axis=0) > 0
    assert not varying.all()
    for rows, theirs in zip((train, test), by_hand(*(x[:, varying] for x in flat)), strict=True):
        expected = theirs / np.linalg.norm(theirs, axis=1, keepdims=True)
        assert rows.raw.dtype == np.float32
        np.testing.assert_allclose(rows.dense()[:, varying], expected, rtol=1e-4, atol=1e-6)
    assert extractor.upstream() == cost("dataset")
    assert (Pixels().upstream(), extractor.facts()) == (Upstream(), {})


def test_a_network_takes_images_as_they_are():
    assert Pixels(network=True).upstream() == Upstream()
    with pytest.raises(InvalidValue, match=r"^scaling: got 'dataset', allowed: row, declared or dp with a"):
        Pixels(network=True, scaling="dataset")


def test_flat_rows_need_no_images():
    x = np.arange(12.0).reshape(6, 2)
    dataset = Dataset("toy", x, np.arange(6) % 2, x, np.arange(6) % 2, {0: "a", 1: "b"})
    train, _ = Pixels(scaling="dataset").extract(dataset)
    np.testing.assert_allclose(train.dense(), np.sign(x - 5.5 + [0.5, -0.5]) / 2**0.5, atol=1e-7)


def test_the_configuration_and_its_errors(tmp_path):
    settings = OmegaConf.to_container(OmegaConf.load(CONF / "none.yaml"))
    assert build("extractor", settings, network=False).scaling == "row"
    ended = cli.expunge("extractor.scaling=column", cwd=tmp_path)
    assert ended.code == 2
    assert "extractor.scaling: got 'column', allowed: one of row, declared, dp, dataset" in ended.err


def test_torch_stays_out_of_it():
    program = "import sys, expunge.extractors.pixels; print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
