"""One input, two doors: the estimator and ``dataset=arrays`` take and refuse the same, and learn the same."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from expunge import CertifiedLogisticRegression
from expunge.core.errors import DataError, UserError
from expunge.extractors.pixels import Pixels
from expunge.predictors.linear import LinearModel
from expunge.run.targets import build
from expunge.unlearners.newton import Newton
from tests import cli

LAM, SEED = 1e-2, 7
SCHEMES = {"release": (0.0, {"std": 0.5}), "gaussian": (0.5, {})}  # std of the model, and the method's own
X_TYPES = (
    *("f8", "f4", "f2", ">f8", ">f4", "g", "?", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", ">i2"),
    *("U5", "c16", "M8[D]", "m8[s]", "S4"),
)
Y_TYPES = (
    *("i8", "i1", "u1", "u2", "u8", ">i4", "f8", "f4", "f2", "g", "?"),
    *("U4", ">U2", "S4", "c8", "M8[D]", "m8[s]"),
)
SPOILT = ("", "", "", "", "nan", "inf", "half", "one class", "short", "NaT", "huge", "2^63", "2^63 + 1")


@st.composite
def tables(draw):
    """Features and labels of any type that a file can hold, some of them spoilt."""
    n, d, classes = draw(st.integers(2, 24)), draw(st.integers(1, 5)), draw(st.integers(2, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = np.round(rng.normal(size=(n, d)) * 20).clip(0 if draw(st.booleans()) else -99)
    x[rng.random(n) < draw(st.sampled_from([0.0, 0.4]))] = 0  # rows of norm zero
    kind = draw(st.sampled_from(X_TYPES))
    x = abs(x) if np.dtype(kind).kind == "u" else x
    x = (x.astype("i8") if kind[0] in "Mm" else x).astype(kind)
    numbers = rng.permutation(np.arange(n) % classes) - (1 if draw(st.booleans()) else 0)
    of = np.dtype(draw(st.sampled_from(Y_TYPES)))
    y = (abs(numbers) if of.kind in "u?" else numbers).astype(of)
    if draw(st.booleans()):
        x = np.asfortranarray(x)
    x, y = spoil(x, y, draw(st.sampled_from(SPOILT)))
    return x, y[:, None] if draw(st.booleans()) else y


def spoil(x, y, how):
    if how in ("nan", "inf") and x.dtype.kind == "f":
        x = x.copy()
        x[-1, 0] = float(how)
    elif how in ("nan", "inf") and y.dtype.kind == "f":
        y = np.where(y == y.max(), y.dtype.type(how), y)
    elif how == "huge" and y.dtype.kind == "f":
        y = np.where(y == y.max(), y.dtype.type(np.finfo(y.dtype).max), y)
    elif how == "half" and y.dtype.kind == "f":
        y = y / 2
    elif how == "one class":
        y = y[:1].repeat(len(y))
    elif how == "short":
        y = y[:-1]
    elif how == "NaT" and y.dtype.kind in "mM":
        y = y.copy()
        y[0] = "NaT"
    elif how.startswith("2^63") and y.dtype == np.uint64:
        y = y + np.uint64(2**63 + (1 if "+" in how else 0) - 1)
    return x, y


def by_the_estimator(x, y, perturbation):
    model = CertifiedLogisticRegression(lam=LAM, std=0.5, perturbation=perturbation, random_state=SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model.fit(x, y)
        except (ValueError, TypeError) as error:  # scikit-learn's own complaints are no UserError
            return None, str(error)
    whole = (bool, np.bool_, np.floating)
    return model.coef_, [str(int(c) if isinstance(c, whole) else c) for c in model.classes_]


def by_the_command(path, perturbation):
    std, own = SCHEMES[perturbation]
    own = {"perturbation": perturbation, "certificate": "measured", "update": "corrected", **own}
    settings = {"_target_": "expunge.datasets.arrays.load", "path": str(path)}
    try:
        dataset = build("dataset", settings, data_dir=path.parent)
        rows, _ = Pixels().extract(dataset)
        method = Newton(LinearModel(lam=LAM, std=std), **own)
        method.fit(rows, dataset.y_train, SEED)
    except UserError as error:
        return None, str(error)
    return method.predictor.weights.T, list(dataset.class_names.values())


def written(folder, x, y):
    """An ``.npz`` of both, tested on themselves; as safetensors where that has the types."""
    content = {"x": x, "y": y, "x_test": x, "y_test": y}
    np.savez(folder / "a.npz", **content)
    yield folder / "a.npz"
    plain = all(a.dtype.kind in "fiub" and a.dtype.itemsize <= 8 and a.dtype.isnative for a in (x, y))
    if plain:
        save_file({name: np.ascontiguousarray(a) for name, a in content.items()}, folder / "a.safetensors")
        yield folder / "a.safetensors"


ZERO = np.array([[0.0, 0.0], [1.0, 2.0], [0.0, 0.0], [3.0, -1.0]])


@given(tables(), st.sampled_from(list(SCHEMES)))
@example((ZERO, np.array(["b", "a", "a", "b"])), "release")
@example((ZERO, np.array(["b", "a", "a", "b"])), "gaussian")
@example((ZERO.astype("u2"), np.array([3.0, -2.0, 3.0, -2.0])), "release")
@example((ZERO.astype(">f4"), np.array([0, 2**64 - 1, 5, 5], np.uint64)), "release")
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=150,
    deadline=None,
)
def test_both_doors_give_the_same_answer(tmp_path, table, perturbation):
    x, y = table
    coefficients, named = by_the_estimator(x, y, perturbation)
    for path in written(tmp_path, x, y):
        weights, names = by_the_command(path, perturbation)
        assert (weights is None) == (coefficients is None), (named, names)
        assert "\n" not in names
        if weights is not None:
            np.testing.assert_array_equal(weights, coefficients)
            assert [name.strip() for name in names] == named


@pytest.mark.parametrize("kind", ["U5", "M8[D]", "m8[s]", "S3"])
def test_what_is_no_table_of_numbers_is_not_predicted_from_either(kind):
    x = np.arange(20).reshape(10, 2).astype("i8")
    model = CertifiedLogisticRegression(random_state=0).fit(x, np.arange(10) % 2)
    with pytest.raises(ValueError, match=r"X: got '.*', allowed: real numbers"):
        model.predict(x.astype(kind))


# -- a run goes on in the estimator --------------------------------------------------------------------------

RUN = ("dataset=arrays", "dataset.path=a.npz", "figures=false", "threads=1", "seed=7", "hydra.run.dir=run")


def ran(folder, x, y, *how):
    np.savez(folder / "a.npz", x=x, y=y, x_test=x, y_test=y)
    ended = cli.expunge(*RUN, f"unlearner.lam={LAM}", *how, cwd=folder)
    assert (ended.code, ended.err) == (0, "")
    return folder / "run"


def people():
    """Rows of three classes, of which one has rows 1 and 4 alone."""
    rng = np.random.default_rng(3)
    numbers = np.arange(90) % 3
    numbers[7::3] = 0
    x = (rng.normal(size=(90, 4)) + np.eye(3, 4)[numbers]).astype("f4")
    return x, np.array(["ann", "bo", "cy"])[numbers]


@pytest.mark.parametrize(
    ("how", "own"),
    [
        (("unlearner=newton_corrected", "model.intercept=true"), {"fit_intercept": True}),
        (("unlearner=newton_rowless",), {"update": "rowless"}),
    ],
)
def test_a_run_goes_on_in_the_estimator_as_in_one_that_was_there_from_the_start(tmp_path, how, own):
    x, y = people()
    folder = ran(
        tmp_path, x, y, "unlearner.std=0.5", "removal.rows=[[1,4],[7]]", *how
    )  # both rows of a class
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = CertifiedLogisticRegression(lam=LAM, std=0.5, random_state=SEED, **own).fit(x, y)
    for rows in ([1, 4], [7]):
        model.remove(rows)
    model.save(tmp_path / "own")  # as a run does at its end: what is kept is made of the rows that stay
    went_on = CertifiedLogisticRegression.load(folder, x, y)
    went_on.save(tmp_path / "from_run")
    alone = CertifiedLogisticRegression.load(tmp_path / "from_run")
    for other in (went_on, alone):
        np.testing.assert_array_equal(other.coef_, model.coef_)
        np.testing.assert_array_equal(other.predict(x), model.predict(x))
        np.testing.assert_array_equal(other.retained_, model.retained_)
        assert other.classes_.tolist() == model.classes_.tolist() == ["ann", "cy"]
        assert other.get_params() == model.get_params()
    assert went_on.remove([5, 8]) == model.remove([5, 8])
    np.testing.assert_array_equal(went_on.coef_, model.coef_)
    assert went_on.certificate_ == model.certificate_


def test_what_the_estimator_cannot_go_on_from_is_one_line(tmp_path):
    x, y = people()
    folder = ran(tmp_path, x, y, "unlearner=newton_corrected", "removal.count=0")
    others = [(x[::-1], y[::-1]), (x.astype("f8"), y), (x * 2, y), (x[:-1], y[:-1])]
    for wrong in others:
        with pytest.raises(DataError, match=r"run: X is not the training data of this run; allowed: "):
            CertifiedLogisticRegression.load(folder, *wrong)
    with pytest.raises(DataError, match=r"above|residual|gradient|class"):
        CertifiedLogisticRegression.load(folder, x, np.roll(y, 1))
    with pytest.raises(
        UserError, match=r"run: a run keeps no digests of its rows; allowed: load\(folder, X, y\)"
    ):
        CertifiedLogisticRegression.load(folder)
    assert CertifiedLogisticRegression.load(folder, x, y).retained_.all()
    content = (folder / "state.safetensors").read_bytes()
    (folder / "state.safetensors").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(UserError, match=r"state.safetensors: damaged"):
        CertifiedLogisticRegression.load(folder, x, y)
    (folder / "state.safetensors").unlink()
    with pytest.raises(
        UserError, match=r"run: has no state.safetensors, allowed: a finished run, with its state"
    ):
        CertifiedLogisticRegression.load(folder, x, y)
    with pytest.raises(UserError, match=r"config.yaml: missing from the run folder") as caught:
        CertifiedLogisticRegression.load(tmp_path, x, y)
    assert "\n" not in str(caught.value)
    config = folder / ".hydra" / "config.yaml"
    config.write_text(config.read_text().replace("scaling: row", "scaling: dataset"))
    with pytest.raises(UserError, match=r"config.yaml: damaged, it is not that of config.sha256"):
        CertifiedLogisticRegression.load(folder, x, y)
    for sums in (folder / ".hydra").glob("*.sha256"):
        sums.unlink()  # as those of earlier versions have none
    with pytest.raises(
        UserError, match=r"run: extractor.scaling is 'dataset', allowed for the estimator: 'row'"
    ):
        CertifiedLogisticRegression.load(folder, x, y)
