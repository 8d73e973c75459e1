"""Runs on sparse rows from a file: trained, served, continued, and checked by the other code."""

import json

import numpy as np
import pytest
import scipy.sparse as sp

from expunge.core.errors import DataError, InvalidValue
from expunge.datasets.arrays import load
from expunge.verify.verdict import verify
from tests import cli

_RUN = ("dataset=arrays", "figures=false", "threads=1", "removal.count=4", "seed=3")


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """A folder with one sparse matrix in several files; and what is in them, x and y."""
    folder, rng = tmp_path_factory.mktemp("text"), np.random.default_rng(0)
    x = sp.random_array((260, 1200), density=0.006, rng=rng, format="csr")
    y = np.where(x @ rng.normal(size=1200) > 0, "good", "bad")
    sp.save_npz(folder / "x.npz", x)
    sp.save_npz(folder / "packed.npz", x.tocsc(), compressed=True)
    np.savez(folder / "y.npz", y=y)
    parts = {part: getattr(x, part) for part in ("data", "indices", "indptr", "shape")}
    np.savez(folder / "all.npz", **parts, y=y)
    twice = {"data": np.repeat(x.data / 2, 2), "indices": np.repeat(x.indices, 2), "indptr": 2 * x.indptr}
    both = {f"x_{part}": twice.get(part, of) for part, of in parts.items()}
    test = {f"x_test_{part}": getattr(x[:50], part) for part in ("data", "indices", "indptr", "shape")}
    np.savez(folder / "both.npz", **both, y=y, **test, y_test=y[:50])
    return folder, x, y


@pytest.mark.parametrize(
    ("files", "rows"),
    [
        ({"path": "x.npz", "y_path": "y.npz"}, 208),
        ({"path": "packed.npz", "y_path": "y.npz"}, 208),
        ({"path": "all.npz"}, 208),
        ({"path": "both.npz"}, 260),
        ({"path": "x.npz", "y_path": "y.npz", "test_path": "x.npz", "test_y_path": "y.npz"}, 260),
    ],
)
def test_a_sparse_matrix_is_read_in_parts(text, files, rows):
    folder, x, y = text
    found = load(folder, **files)
    assert sp.issparse(found.x_train)
    assert (found.x_train != x[:rows]).nnz == 0
    assert [found.class_names[label] for label in found.y_train] == y[:rows].tolist()
    assert found.digests()["training inputs"] == load(folder, **files).digests()["training inputs"]
    assert found.only(["good", "bad"]).first(9).x_train.shape == (9, 1200)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("indices", lambda x: x.indices + 5000, "data, indices, indptr, shape are no sparse matrix"),
        ("indptr", lambda x: x.indptr[::-1].copy(), "are no sparse matrix"),
        ("shape", lambda x: np.array([3, 4]), "are no sparse matrix"),
        ("shape", lambda x: np.array("no"), "are no sparse matrix"),
        ("format", lambda x: np.array(b"coo"), "format is 'coo', allowed: csr or csc"),
        ("data", lambda x: x.data.astype(complex), "x is of type complex128, allowed: real numbers"),
    ],
)
def test_parts_of_no_matrix_are_refused(text, tmp_path, name, value, said):
    _, x, y = text
    parts = {part: getattr(x, part) for part in ("data", "indices", "indptr", "shape")}
    np.savez(tmp_path / "bad.npz", **parts | {name: value(x)}, y=y)
    with pytest.raises(DataError, match=said):
        load(tmp_path, "bad.npz")


def test_labels_of_no_file(text):
    folder, _, _ = text
    with pytest.raises(DataError, match="needs an array named y, found: "):
        load(folder, "x.npz")
    with pytest.raises(InvalidValue, match=r"test_y_path: got 'y.npz', allowed: null without test_path"):
        load(folder, "x.npz", y_path="y.npz", test_y_path="y.npz")


@pytest.mark.parametrize(
    "how",
    [
        (),
        ("unlearner.noise=lattice",),
        ("unlearner=newton", "unlearner.certificate=third_order", "model.std=30"),
        ("unlearner=retrain",),
    ],
)
def test_the_other_code_accepts_a_run(text, tmp_path, how):
    folder, _, _ = text
    files = (f"dataset.path={folder / 'x.npz'}", f"dataset.y_path={folder / 'y.npz'}")
    if how in ((), ("unlearner=retrain",)):  # entries in halves
        files = (f"dataset.path={folder / 'both.npz'}",)
    ended = cli.expunge(*_RUN, *files, *how, f"hydra.run.dir={tmp_path / 'run'}", cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    verdict = verify(tmp_path / "run")
    assert verdict.first is None, verdict.first
    assert {line.name for line in verdict.lines} >= {"data", "strong convexity"}


def test_the_other_code_finds_a_row_that_was_changed(text, tmp_path):
    _, x, y = text
    path = tmp_path / "x.npz"
    parts = {part: np.array(getattr(x, part)) for part in ("data", "indices", "indptr", "shape")}
    np.savez(path, **parts, y=y)
    ended = cli.expunge(*_RUN, f"dataset.path={path}", f"hydra.run.dir={tmp_path / 'run'}", cwd=tmp_path)
    assert ended.code == 0, ended.err
    ledger = [json.loads(line) for line in (tmp_path / "run" / "removals.jsonl").read_text().splitlines()]
    assert all(record["residual_measured"] <= record["residual_bound"] for record in ledger)
    parts["data"][40] *= 1.5
    np.savez(path, **parts, y=y)
    assert verify(tmp_path / "run").first is not None


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (("dataset.offset=0.5",), "offset: got 0.5, allowed: 0 with sparse rows"),
        (("extractor.scaling=dataset",), "allowed: row with sparse rows"),
        (("unlearner=newton_rowless",), "allowed: corrected with sparse rows"),
        (("unlearner.solver=fast",), "unlearner.solver: got 'fast', allowed: one of auto, direct, iterative"),
    ],
)
def test_what_would_make_rows_dense_is_one_line(text, tmp_path, how, said):
    folder, _, _ = text
    ended = cli.expunge(*_RUN, f"dataset.path={folder / 'all.npz'}", *how, cwd=tmp_path)
    assert ended.code == 2
    assert said in ended.err
    assert len(ended.err.strip().splitlines()) == 1, ended.err
