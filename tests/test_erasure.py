"""What has been removed is gone: from files, from pickles, and from all that is computed later."""

from __future__ import annotations

import copy
import pickle
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from scipy.special import expit

from expunge import CertifiedLogisticRegression
from expunge.core.errors import DataError
from expunge.core.files import load_state, save_state
from expunge.linear.rows import Rows, weighted_gram
from expunge.predictors.linear import LinearModel
from expunge.record.model_file import MovedOn
from expunge.unlearners.newton import Newton
from expunge.unlearners.retrain import Retrain
from tests.problems import make

N, D = 70, 6
GONE = [3, 10, 11, 12, 13, 40, 69]  # four of them a quad of its own
LATER = [[20], [21, 22], [0]]
STAY = np.setdiff1d(np.arange(N), GONE)

AS_PUBLISHED = {"perturbation": "gaussian"}
RELEASE = {"perturbation": "release", "certificate": "measured", "update": "corrected"}
KINDS = {
    "release": {},
    "subsampled release": {"subsample_ratio": 0.4},
    "lattice": {"noise": "lattice", "std": None},
    "subsampled lattice": {"noise": "lattice", "subsample_ratio": 0.4},
    "rowless": {"update": "rowless", "std": 0.003},
    "subsampled rowless": {"update": "rowless", "subsample_ratio": 0.4},
    "corrected": AS_PUBLISHED,
    "fresh": {**AS_PUBLISHED, "update": "fresh", "certificate": "third_order"},
    "frozen": {
        **AS_PUBLISHED,
        **{"update": "frozen", "certificate": "data_dependent", "std": 100.0, "lam": 1.0},
    },
    "adding up": {
        **AS_PUBLISHED,
        **{"update": "corrected", "certificate": "worst_case", "std": 100.0, "lam": 1.0},
    },
    "pure": {"perturbation": "pure_eps", "delta": 0.0, "anchor": 2},
    "subsampled": {**AS_PUBLISHED, "subsample_ratio": 0.4, "update": "fresh", "std": 50.0},
}


def data(classes=2, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(N, D)).astype(dtype)
    return x, np.argsort(np.argsort(x[:, 0] + 0.3 * rng.normal(size=N))) * classes // N


def fitted(x, y, **params):
    """A model that has served ``GONE``, in several requests."""
    model = CertifiedLogisticRegression(**{"lam": 1e-2, "random_state": 0, "std": 3.0} | params).fit(x, y)
    for rows in (GONE[:1], GONE[1:5], GONE[5:]):
        assert model.remove(rows).outcome == "removed"
    return model


def kind_of(name):
    """Settings by name, and how many classes they are for."""
    return KINDS[name], 3 if name.startswith(("subsampled", "adding up")) else 2


def served(model, requests=LATER):
    """All that a model says of further requests, and has come to after each, but noise that has no seed."""
    found = []
    for rows in requests:
        outcome, out = model.remove(rows), model._engine_.predictor.out
        inside = out.kept("w").tobytes()
        is_out = None if model.noise == "lattice" else model.coef_.tobytes()
        found.append((outcome, inside, is_out, repr(model.certificate_)))
    return found


def with_one_release(one, other):
    """Let both have the same release out: what is out stays as it is, and its noise covers what it knows."""
    wanted, model = one._engine_.predictor.out.drawn, other._engine_.predictor
    if wanted is not None:
        if one.noise != "lattice":
            covered = 2 * one.certificate_.guarantee.sensitivity
            assert np.linalg.norm(wanted - model.out.drawn) <= covered
        model.put(model.columns, wanted)


def held(path):
    """What a file holds, apart from names of versions."""
    state = load_state(path)
    values = {key: value for key, value in state.values.items() if key != "version"}
    return {key: (a.dtype.str, a.shape, a.tobytes()) for key, a in state.arrays.items()}, values


GARBAGE = {
    "zeros": 0.0,
    "NaN": np.nan,
    "infinity": np.inf,
    "tiny": 1e-200,
    "huge": -1e300,
    "other numbers": 7.0,
}


# -- what lies where a departed row was -----------------------------------------------------------------


@given(
    seed=st.integers(0, 99),
    n=st.integers(5, 70),
    d=st.integers(1, 9),
    kind=st.sampled_from(["float64", "float32", "uint8"]),
    share=st.sampled_from([0.1, 0.5, 0.9]),
    subset=st.booleans(),
    garbage=st.sampled_from(list(GARBAGE.values())),
)
@settings(max_examples=60, deadline=None)
def test_no_sum_reads_a_row_that_has_left(seed, n, d, kind, share, subset, garbage):
    rng = np.random.default_rng(seed)
    problem = make(seed, n, d, kind=kind)
    if subset:
        problem = replace(problem, rows=problem.rows.only(rng.random(n) < 0.7))
    gone = rng.random(n) < share
    gone[0] = False
    left = problem.without(np.flatnonzero(gone))
    w, weights = rng.normal(size=d), rng.random(n)

    def sums(raw):
        of = replace(left, rows=replace(left.rows, raw=raw))
        times = of.rows.times(np.ones((d, 2)))
        dense = [of.rows.dense(which) for which in (slice(None), slice(1, 3), 1, np.array([4, 0]))]
        grams = weighted_gram(of.rows, weights), of.hessian(w, np.float32)
        return [
            of.gradient(w),
            of.loss(w),
            of.rows.scores(w),
            times,
            *dense,
            *grams,
            *of.curvature(w).along(w),
        ]

    raw = left.rows.raw.copy()
    with np.errstate(over="ignore"), warnings.catch_warnings():
        warnings.simplefilter("error")
        raw[gone] = 1 if kind == "uint8" else raw.dtype.type(garbage)
        for one, other in zip(sums(left.rows.raw), sums(raw), strict=True):
            assert np.asarray(one).tobytes() == np.asarray(other).tobytes()


@pytest.mark.parametrize("normalize", [True, False])
def test_rows_that_have_left_are_not_looked_at_when_rows_are_taken(normalize):
    raw = np.random.default_rng(0).normal(size=(9, 3)) / 9
    take = Rows.normalised if normalize else Rows.as_given
    used = np.ones(9, dtype=bool)
    used[[0, 4, 8]] = False
    wanted = take(raw).without([0, 4, 8])
    for garbage in GARBAGE.values():
        other = raw.copy()
        other[~used] = garbage
        found = take(other, used=used)
        assert found.raw is other
        assert found.scale.tobytes() == wanted.scale.tobytes()
    other[5] = np.nan
    with pytest.raises(DataError, match=r"^row 5 holds NaN or infinity$"):
        take(other, used=used)


@pytest.mark.parametrize("name", KINDS)
def test_the_live_model_goes_on_whatever_is_written_over_them(name):
    params, classes = kind_of(name)
    x, y = data(classes)
    wanted = served(fitted(x.copy(), y, **params))
    for garbage in GARBAGE.values():
        own = x.copy()
        model = fitted(own, y, **params)
        assert model._fitted_.data.rows.raw is own
        own[GONE] = garbage
        assert served(model) == wanted


# -- files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
def test_a_loaded_model_goes_on_as_the_live_one_without_them(name, tmp_path):
    params, classes = kind_of(name)
    x, y = data(classes)
    names = np.array(["a", "b", "c"], dtype=object)[y]
    model = fitted(x, names, **params)
    model.save(tmp_path / "m")
    for garbage in GARBAGE.values():
        other, said = x.copy(), names.copy()
        other[GONE], said[GONE] = garbage, None
        assert served(CertifiedLogisticRegression.load(tmp_path / "m", other, said)) == served(
            copy.copy(model)
        )
    absent = CertifiedLogisticRegression.load(tmp_path / "m", x[STAY], names[STAY])
    assert np.flatnonzero(~absent.retained_).tolist() == GONE
    for one in (absent, model):
        one.remove([20])
    with_one_release(absent, model)
    for one in (absent, model):
        one.save(tmp_path / f"{one is absent}")  # a second time, from a model that has never seen them
    assert held(tmp_path / "True") == held(tmp_path / "False")
    gone = [*GONE, 20]
    again = CertifiedLogisticRegression.load(
        tmp_path / "True", np.delete(x, gone, axis=0), np.delete(names, gone)
    )
    assert served(again, LATER[1:]) == served(model, LATER[1:])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", KINDS)
def test_a_file_is_that_of_a_model_which_had_other_rows_in_their_places(name, dtype, tmp_path):
    params, classes = kind_of(name)
    x, y = data(classes, dtype=dtype)
    other, labels = x.copy(), y.copy()
    other[GONE] = np.random.default_rng(9).normal(size=(len(GONE), D)) * 30
    labels[GONE] = (labels[GONE] + 1) % classes
    models = [fitted(x, y, **params), fitted(other, labels, **params)]
    with_one_release(*models)
    for k, model in enumerate(models):
        model.save(tmp_path / f"{k}")
    one, two = (held(tmp_path / f"{k}") for k in range(2))
    assert one == two
    assert served(models[0]) == served(models[1])  # and so does all that comes later
    for model in models:
        assert model.n_iter_ == one[1]["n_iter"]


def test_what_is_saved_twice_or_fresh_is_not_trained_again(tmp_path):
    x, y = data()
    model = CertifiedLogisticRegression(random_state=0).fit(x, y)
    columns = model._engine_.columns
    model.save(tmp_path / "m")
    assert model._engine_.columns is columns
    model.remove([1])
    model.save(tmp_path / "m")
    columns, first = model._engine_.columns, held(tmp_path / "m")
    model.save(tmp_path / "m")
    loaded = CertifiedLogisticRegression.load(tmp_path / "m", x, y)
    loaded.save(tmp_path / "m")
    assert model._engine_.columns is columns
    assert held(tmp_path / "m") == first


def test_settled_is_measured_certified_and_as_good_as_trained(tmp_path):
    for name in KINDS:
        params, classes = kind_of(name)
        x, y = data(classes)
        model = fitted(x, y, **params)
        before, was = model.coef_, model.certificate_
        model.save(tmp_path / name)
        certificate = model.certificate_
        assert model.residual() <= certificate.beta <= 1e-10
        if model.perturbation == "release":  # what is out stays out, and none is spent
            np.testing.assert_array_equal(model.coef_, before)
            assert (certificate.epsilon_spent, certificate.released) == (was.epsilon_spent, 4)
            continue
        assert certificate.epsilon_spent <= was.epsilon_spent
        assert (certificate.epoch, certificate.solve_error) == (was.epoch, 0.0)
        assert np.linalg.norm(model.coef_ - before) <= 2 * certificate.guarantee.budget / (1e-2 * 20)


def test_an_unsettled_state_goes_on_as_the_live_one():
    x, y = data(3)
    rows = Rows.normalised(x)
    method = Newton(LinearModel(lam=1e-2, std=3.0, subsample_ratio=0.4), update="corrected")
    method.fit(rows, y, 0)
    for step in ([3, 4, 5], "settle", [6], [7, 9], "settle", [20]):
        method.settle() if step == "settle" else method.remove(step)
        other = Newton(LinearModel(lam=1e-2, std=3.0, subsample_ratio=0.4), update="corrected")
        other.load_state(method.state(), rows, y)
        assert other.remove([30, 31]) == (clone := copy.deepcopy(method)).remove([30, 31])
        assert other.predictor.weights.tobytes() == clone.predictor.weights.tobytes()


# -- what a file gives away -------------------------------------------------------------------------------


def cosine(basis, x):
    """Of the largest part of each row of ``x`` that lies in the span of ``basis`` (d, k)."""
    if not basis.size or not np.abs(basis).max():
        return np.zeros(len(x))
    u, s, _ = np.linalg.svd(basis, full_matrices=False)
    u = u[:, s > 1e-13 * s[0]]
    return np.linalg.norm(x @ u, axis=1) / np.linalg.norm(x, axis=1)


def symmetric(lower):
    return np.tril(lower) + np.tril(lower, -1).T


def hidden(seed=4, n=120, d=40, m=3, classes=2):
    """Rows whose last features only the first ``m`` rows have: nothing of those shows in the others."""
    rng = np.random.default_rng(seed)
    x = np.hstack([rng.normal(size=(n, d - 8)), np.zeros((n, 8))])
    x[:m, :] = 0
    x[:m, -8:] = rng.normal(size=(m, 8))
    return x, np.arange(n) % classes, np.arange(m)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("update", ["release", "rowless", "corrected", "fresh", "frozen"])
@pytest.mark.parametrize("share", [1.0, 0.5])
def test_factors_in_a_file_do_not_give_the_rows_back(classes, update, share, tmp_path):
    if classes == 2 and share < 1:
        return
    x, y, gone = hidden(classes=classes)
    params = {"std": 5.0, "lam": 1e-2, "random_state": 0, "subsample_ratio": share}
    how = {"release": {}, "rowless": {"update": "rowless"}}
    params |= how.get(update, {**AS_PUBLISHED, "update": update})
    model = CertifiedLogisticRegression(**params).fit(x, y)
    for row in gone:
        model.remove([row])
    live = [column.state().arrays for column in model._engine_.columns]
    model.save(tmp_path / "m")
    state = load_state(tmp_path / "m")
    never = np.zeros((8, x.shape[1]))
    never[:, -8:] = np.random.default_rng(1).normal(size=(8, 8))
    seen = False
    for k in range(1 if classes == 2 else classes):
        p, v = (live[k][key] for key in ("inverse", "v"))
        if v.shape[1]:  # as it is while the model is live: the attack works
            seen |= cosine(np.linalg.solve(symmetric(p), v), x[gone]).max() > 1 - 1e-6
        p, v = (state.arrays[f"column{k}.{key}"] for key in ("inverse", "v"))
        assert v.shape == (x.shape[1], 0)
        assert state.arrays[f"column{k}.core"].shape == (0, 0)
        assert state.values["columns"][k]["drift"] == state.values["columns"][k]["shift"] == 0
        problem = model._engine_.columns[k].problem
        w, hessian = model._engine_.columns[k].w, np.linalg.inv(symmetric(p))
        excess = hessian - problem.hessian(w)
        rows = Rows.normalised(x).dense(gone)
        scores = rows @ w
        lost = np.einsum("i,ij,ik->jk", expit(scores) * expit(-scores), rows, rows)
        along = abs(np.vdot(excess, lost)) / np.vdot(lost, lost)
        assert along < (1e-4 if update != "fresh" else 0.1)  # of float32; of the Hessian of a step before
        block = hessian[-8:, -8:] / hessian[-1, -1]
        np.testing.assert_allclose(block, np.eye(8), atol=1e-6)  # lam n I: no row that stays is there
    assert seen


@pytest.mark.parametrize("name", KINDS)
def test_no_array_in_a_file_lies_closer_to_them_than_to_rows_that_were_never_there(name, tmp_path):
    params, classes = kind_of(name)
    x, y, gone = hidden(m=4, classes=classes)
    params = {"std": 5.0, "lam": 1e-2, "random_state": 0} | params
    if params.get("perturbation") == "pure_eps":
        params["std"] = 50.0
    model = CertifiedLogisticRegression(**params).fit(x, y)
    for rows in (gone[:1], gone[1:]):
        assert model.remove(rows).outcome == "removed"
    model.save(tmp_path / "m")
    arrays = load_state(tmp_path / "m").arrays
    rng = np.random.default_rng(2)
    never = np.zeros((40_000, x.shape[1]))
    never[:, -8:] = rng.normal(size=(40_000, 8))
    b = arrays["perturbation"].reshape(x.shape[1], -1)
    for key, array in arrays.items():
        if x.shape[1] not in array.shape or array.dtype != np.float64:
            continue
        table = array.reshape(x.shape[1], -1)
        if key.endswith("inverse"):
            table = table - np.diag(np.diag(table))
        if key == "weight":  # in these features it is -b / (lam n), and nothing else
            lam_n = [model.lam * column.problem.n for column in model._engine_.columns]
            np.testing.assert_allclose(table[-8:], -b[-8:] / lam_n, rtol=1e-9)
        # noise of the system is as close to them as to any others: to which of them is chance
        share = 1 if key == "drawn" else 0.995
        most, usual = cosine(table, x[gone]).max(), np.quantile(cosine(table, never), share)
        assert most <= max(usual, 1e-6), key


def test_a_guess_at_a_departed_row_is_not_confirmed(tmp_path):
    x, y = data()
    model = CertifiedLogisticRegression(random_state=0).fit(x, y)
    digests = model._fitted_.data.digests(np.arange(N))
    model.save(tmp_path / "m")
    content = (tmp_path / "m").read_bytes()
    assert all(digest.tobytes() in content for digest in digests)
    model.remove(GONE)
    model.save(tmp_path / "m")
    content = (tmp_path / "m").read_bytes()
    assert [row for row in range(N) if digests[row].tobytes() not in content] == GONE
    assert load_file(tmp_path / "m")["row_digests"].shape == (len(STAY), 16)


def test_what_a_kill_amid_saving_has_left_goes_with_the_next(tmp_path):
    x, y = data()
    left, other = tmp_path / f"m[1].{'a0' * 16}.part", tmp_path / f"m.{'a0' * 16}.part"
    left.touch()
    other.touch()
    fitted(x, y).save(tmp_path / "m[1]")
    assert not left.exists()
    assert other.exists()


# -- which data are accepted ------------------------------------------------------------------------------


def test_any_container_without_them(tmp_path):
    x, y = data()
    frame = pd.DataFrame(x, columns=list("abcdef"))
    model = fitted(frame, y)
    model.save(tmp_path / "m")
    table = x.astype(object)
    table[GONE] = "erased"
    table[3] = None
    other = frame.astype(object)
    other.loc[GONE] = "?"
    numbers = frame.astype("Float64")
    numbers.loc[GONE] = pd.NA
    lists = [[] if row in GONE else x[row].tolist() for row in range(N)]
    words = [None if row in GONE else int(y[row]) for row in range(N)]
    labels = [
        words,
        ["" if label is None else label for label in words],
        pd.Series(words, dtype="Int64", index=np.arange(N) + 5),
        np.array([np.nan if label is None else label for label in words]),
        np.array(words, dtype=object)[:, None],
        y[STAY],
        y[STAY].tolist(),
    ]
    tables = [table, other, numbers, lists, frame.drop(index=GONE), x[STAY].tolist(), np.asfortranarray(x)]
    wanted = served(copy.copy(model))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="A column-vector y was passed")
        for X, Y in zip(tables, labels, strict=True):
            assert served(CertifiedLogisticRegression.load(tmp_path / "m", X, Y)) == wanted
    with pytest.raises(DataError, match="column 1 of X is called 'z', that of the model 'b'"):
        CertifiedLogisticRegression.load(tmp_path / "m", frame.rename(columns={"b": "z"}), y)


def test_dates_and_texts_of_departed_rows_may_be_missing(tmp_path):
    x, y = data()
    for made, missing in (
        (np.array(["2020-01-01", "1999-12-31"], dtype="M8[D]")[y], np.datetime64("NaT")),
        (np.array(["no", "yes"])[y], ""),
        (y.astype(bool), True),
    ):
        model = fitted(x, made)
        model.save(tmp_path / "m")
        other = made.copy()
        other[GONE] = missing
        again = CertifiedLogisticRegression.load(tmp_path / "m", x, other)
        np.testing.assert_array_equal(again.classes_, model.classes_)
        assert served(again) == served(model)


@given(
    rows=st.sets(st.sampled_from(STAY.tolist()), min_size=1, max_size=4),
    absent=st.booleans(),
    what=st.sampled_from(["number", "NaN", "label"]),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_changed_row_that_stays_is_named(tmp_path, rows, absent, what):
    x, y = data()
    if not (path := tmp_path / "m").exists():
        fitted(x, y).save(path)
    for row in rows:
        if what == "label":
            y[row] = 1 - y[row]
        else:
            x[row, row % D] = np.nextafter(x[row, row % D], 9) if what == "number" else np.nan
    x[GONE] = np.nan
    if absent:
        x, y = x[STAY], y[STAY]
    more = rf" \(and {len(rows) - 1} more\)" if len(rows) > 1 else ""
    wrong = f"m: row {min(rows)} holds NaN or infinity{more}$"
    if what != "NaN":
        wrong = f"X .* and y are not the training data .*: row {min(rows)} is another{more}; allowed: [^\n]*$"
    with pytest.raises(DataError, match=wrong) as caught:
        CertifiedLogisticRegression.load(path, x, y)
    assert "\n" not in str(caught.value)


def test_other_tables_are_refused_in_one_line(tmp_path):
    x, y = data()
    fitted(x, y).save(tmp_path / "m")
    for X, Y, wrong in (
        (x[:-1], y[:-1], "X has 69 rows, allowed: 70, of which those removed may hold anything, or the 63"),
        (x[STAY][::-1], y[STAY], "row 0 is another"),
        (np.delete(x, STAY[:7], axis=0), y, "row 0 is another"),
        (x[:, :-1], y, "they have 5 features, allowed: 6"),
        (x, y[:9], "y has 9 rows"),
        (x, y + 1, "y has the labels 1, 2, the model's are 0, 1; allowed: those"),
    ):
        with pytest.raises(DataError, match=wrong) as caught:
            CertifiedLogisticRegression.load(tmp_path / "m", X, Y)
        assert "\n" not in str(caught.value)


def test_a_class_whose_rows_have_all_left_may_be_missing_from_the_labels(tmp_path):
    x, y = data(3)
    model = CertifiedLogisticRegression(random_state=0, std=20.0).fit(x, y)
    gone = np.flatnonzero(y == 1)
    model.remove(gone)
    model.save(tmp_path / "m")
    stay = np.flatnonzero(y != 1)
    for X, Y in ((x[stay], y[stay]), (x, np.where(y == 1, 0, y))):
        again = CertifiedLogisticRegression.load(tmp_path / "m", X, Y)
        request = [stay[:1].tolist(), stay[1:3].tolist()]
        assert served(again, request) == served(copy.copy(model), request)


# -- files of other trainings -----------------------------------------------------------------------------


def test_a_model_trained_anew_on_the_same_data_undoes_no_removal(tmp_path):
    x, y = data()
    fitted(x, y).save(tmp_path / "m")
    content = (tmp_path / "m").read_bytes()
    anew = CertifiedLogisticRegression(random_state=1).fit(x, y)
    anew.remove([5, 6])
    with pytest.raises(MovedOn, match=r"trained anew on the same data, still has 7 .* \(row 3\)"):
        anew.save(tmp_path / "m")
    assert (tmp_path / "m").read_bytes() == content
    anew.remove(GONE)
    x[GONE] = np.nan
    anew.save(tmp_path / "m")
    other = x.copy()
    other[GONE], other[50] = 0.0, 1.0
    CertifiedLogisticRegression().fit(other, y).save(tmp_path / "m")  # of other data: replaced
    CertifiedLogisticRegression().fit(x[STAY], y[STAY]).save(tmp_path / "m")


def test_files_that_know_all_rows_together_still_count(tmp_path):
    x, y = data()
    model = fitted(x, y)
    wanted = model._fitted_.data.fingerprint
    model.save(tmp_path / "m")
    state = load_state(tmp_path / "m")
    for key in ("row_digests", "erased_rows"):
        del state.arrays[key]
    state.values["fingerprint"] = wanted
    save_state(tmp_path / "m", state)
    anew = CertifiedLogisticRegression(random_state=1).fit(x, y)
    with pytest.raises(MovedOn, match="trained anew on the same data"):
        anew.save(tmp_path / "m")
    old = CertifiedLogisticRegression.load(tmp_path / "m", x, y)
    other = x.copy()
    other[GONE] = 0
    with pytest.raises(DataError, match="not the training data"):
        CertifiedLogisticRegression.load(tmp_path / "m", other, y)
    old.save(tmp_path / "m")  # which knows its rows one by one from now on
    assert served(CertifiedLogisticRegression.load(tmp_path / "m", other, y)) == served(old)
    assert "fingerprint" not in load_state(tmp_path / "m").values


# -- pickles and copies -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
def test_a_pickle_holds_nothing_of_them_and_goes_on(name):
    params, classes = kind_of(name)
    x, y = data(classes)
    other, labels = x.copy(), y.copy()
    other[GONE], labels[GONE] = 3.0, 0
    models = [fitted(x, y, **params), fitted(other, labels, **params)]
    with_one_release(*models)
    models[1]._fitted_ = replace(models[1]._fitted_, version=models[0]._fitted_.version)
    contents = [pickle.dumps(model) for model in models]
    assert contents[0] == contents[1]  # whatever they were: nothing depends on it
    assert all(value.tobytes() not in contents[0] for value in x[GONE].ravel())
    assert served(pickle.loads(contents[0])) == served(models[0])  # noqa: S301 (made above)
    np.testing.assert_array_equal(models[0]._fitted_.data.rows.raw, x)  # the live one's are the user's


def test_a_pickled_method_holds_nothing_of_them():
    pickle.dumps(Newton(LinearModel(std=3.0)))  # nothing has been trained yet
    x, y = data()
    rows = Rows.normalised(x)
    method = Newton(LinearModel(lam=1e-2, std=3.0), certificate="third_order")
    method.fit(rows, y, 0)
    assert "_kept_gram" in vars(rows)  # X^T X: less that of the others it is a departed row
    method.remove(GONE)
    again = pickle.loads(pickle.dumps(method))  # noqa: S301 (made here)
    assert not again.predictor.x.raw[GONE].any()
    assert not again.predictor.x.scale[GONE].any()
    assert "_kept_gram" not in vars(again.predictor.x)
    assert (again.columns[0].problem.y[GONE] == -1).all()
    assert again.columns[0].factor.v.shape[1] == 0
    assert again.remove([20]) == method.remove([20])


def test_a_model_that_is_pickled_without_its_method_leaves_what_that_keeps_behind():
    """Rows that have left can be solved for in it: cosine 1."""
    x, y = data()
    rows = Rows.normalised(x)
    for method in (Newton(LinearModel(std=3.0)), Newton(LinearModel(std=0.0), **RELEASE)):
        method.fit(rows, y, 0)
        for times in (1, 2):
            for column in pickle.loads(pickle.dumps(method.predictor)).columns:  # noqa: S301 (made here)
                assert hasattr(column, "factor") == (times == 1)
            method.remove([times])
        factor = method.columns[0].factor
        found = np.linalg.solve(symmetric(factor.inverse), factor.v)
        assert cosine(found, x[[1, 2]]).min() > 1 - 1e-6
        again = pickle.loads(pickle.dumps(method.predictor))  # noqa: S301 (made here)
        np.testing.assert_array_equal(again.predict(rows), method.predictor.predict(rows))
        method.settle()
        pickled = pickle.loads(pickle.dumps(method.predictor)).columns[0]  # noqa: S301 (made here)
        assert pickled.factor.inverse.tobytes() == method.columns[0].factor.inverse.tobytes()


@pytest.mark.parametrize("share", [1.0, 0.4])
def test_what_was_trained_again_holds_nothing_of_them_either(share):
    """Which subsamples a row was in tells its label, and so does the order in which sums were made."""
    contents, states = [], []
    for other in (False, True):
        x, y = data(3)
        if other:
            x[GONE], y[GONE] = 5.0, (y[GONE] + 1) % 3
        retrain = Retrain(LinearModel(lam=1e-2, std=1.0, subsample_ratio=share))
        retrain.fit(Rows.normalised(x), y, 0)
        retrain.remove(GONE)
        state = retrain.state()
        states.append(({key: a.tobytes() for key, a in state.arrays.items()}, state.values))
        contents.append(pickle.dumps(retrain))
        again = Retrain(LinearModel(lam=1e-2, std=1.0, subsample_ratio=share))
        again.load_state(state, Rows.normalised(x, used=retrain.predictor.kept), y)
        for method in (retrain, again, loaded := pickle.loads(contents[-1])):  # noqa: S301 (made here)
            method.remove([20])
        for one in (again, loaded):
            assert one.predictor.weights.tobytes() == retrain.predictor.weights.tobytes()
    assert states[0] == states[1]
    assert contents[0] == contents[1]


def test_copies_go_on_as_they_are(tmp_path):
    x, y = data()
    model = fitted(x, y)
    columns = model._engine_.columns
    for other in (copy.copy(model), copy.deepcopy(model)):
        assert model._engine_.columns is columns  # no training for a copy
        assert served(other) == served(fitted(x, y))
