"""Weights of classes and of rows through the doors: estimator, its files, the service, the command line."""

import json
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, f1_score
from sklearn.preprocessing import normalize
from sklearn.utils.estimator_checks import check_class_weight_classifiers

import expunge
from expunge import CertifiedLogisticRegression, RemovalService
from expunge.audit.app import main as audit
from expunge.core.errors import DataError, InvalidValue, UserError
from expunge.linear.rows_away import RowsOutOfReach
from expunge.report.app import main as report
from expunge.verify.verdict import verify

LAM = 1e-2
OF_CLASSES = {"common": 1, "rare": 20, "seldom": 5}
ROWLESS = {"update": "rowless", "std": 0.05}


def data(classes=2, n=240, sparse=False):
    rng = np.random.default_rng(0)
    place = rng.choice(classes, n, p=[0.8, 0.2] if classes == 2 else [0.7, 0.2, 0.1])
    x = normalize(rng.normal(size=(n, 5)) + place[:, None])
    y = np.array(["common", "rare", "seldom"])[place]
    return sp.csr_array(x) if sparse else x, y, rng.uniform(0.05, 1, n)


def model_of(y, **settings):
    named = {name: OF_CLASSES[name] for name in np.unique(y)}
    return CertifiedLogisticRegression(lam=LAM, class_weight=named, random_state=0, tol=1e-11, **settings)


def inside(model):
    """The model that releases are drawn around, (K, d)."""
    return np.stack([column.w for column in model._engine_.columns])


def scikit_learns(x, y, sample_weight, stay):
    """Its own, by class weights of its own, one class against the rest; (K, d)."""
    labels = np.unique(y)
    full = np.array([OF_CLASSES[label] for label in y]) * sample_weight
    settings = {"C": 1 / (LAM * len(stay)), "fit_intercept": False, "tol": 1e-13, "max_iter": 10_000}
    found = [
        LogisticRegression(solver="newton-cholesky", **settings).fit(x[stay], y[stay] == label, full[stay])
        for label in (labels if len(labels) > 2 else labels[1:])
    ]
    return np.concatenate([one.coef_ for one in found])


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("how", [{"solver": "direct"}, {"solver": "iterative"}, ROWLESS, {"sparse": True}])
def test_the_model_is_scikit_learns_before_and_after(classes, how):
    how = dict(how)
    x, y, weights = data(classes, sparse=how.pop("sparse", False))
    model = model_of(y, **how).fit(x, y, weights)
    dense = x.toarray() if sp.issparse(x) else x
    np.testing.assert_allclose(inside(model), scikit_learns(dense, y, weights, np.arange(len(y))), atol=1e-8)
    model.remove(gone := [5, 17, 60])
    stay = np.setdiff1d(np.arange(len(y)), gone)
    off = np.linalg.norm(inside(model) - scikit_learns(dense, y, weights, stay))
    assert off <= model.certificate_.guarantee.sensitivity + 1e-10
    if "std" not in how:
        assert off <= 1e-8
    assert model.residual() <= model.certificate_.beta
    model._settle()  # as before it is written
    np.testing.assert_allclose(inside(model), scikit_learns(dense, y, weights, stay), atol=1e-8)


def test_two_classes_by_their_weights_alone_are_scikit_learns():
    x, y, _ = data()
    model = model_of(y).fit(x, y)
    settings = {"C": 1 / (LAM * len(y)), "fit_intercept": False, "tol": 1e-13, "max_iter": 10_000}
    named = {"common": 1, "rare": 20}
    theirs = LogisticRegression(class_weight=named, solver="newton-cholesky", **settings).fit(x, y)
    np.testing.assert_allclose(inside(model), theirs.coef_, atol=1e-8)
    assert model.get_params()["lam"] == LAM


def test_without_weights_and_with_ones_it_is_the_same_bit_for_bit():
    x, y, _ = data(3)
    ones = dict.fromkeys(np.unique(y).tolist(), 1)
    models = [
        CertifiedLogisticRegression(random_state=0).fit(x, y),
        CertifiedLogisticRegression(random_state=0, class_weight=ones).fit(x, y, np.ones(len(y))),
    ]
    for model in models:
        model.remove([3, 8])
    assert models[0].coef_.tobytes() == models[1].coef_.tobytes()
    assert models[0].certificate_ == models[1].certificate_


@pytest.mark.parametrize("how", [{}, ROWLESS], ids=["corrected", "rowless"])
def test_saved_and_loaded_with_the_weights_of_the_rows(tmp_path, how):
    x, y, weights = data(3)
    model = model_of(y, **how).fit(x, y, weights)
    model.remove([5])
    model.save(path := tmp_path / "model")
    weights_now = weights.copy()
    weights_now[5] = np.nan  # it has left, and may be anything
    loaded = CertifiedLogisticRegression.load(path, x, y, weights_now)
    short = CertifiedLogisticRegression.load(path, *(np.delete(one, 5, axis=0) for one in (x, y, weights)))
    assert loaded.get_params() == model.get_params()
    outcomes = [one.remove([9, 30]) for one in (model, loaded, short)]
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert inside(model).tobytes() == inside(loaded).tobytes() == inside(short).tobytes()
    with pytest.raises(DataError, match="sample_weight: got none, allowed: those of the rows in fit"):
        CertifiedLogisticRegression.load(path, x, y)
    wrong = weights.copy()
    wrong[30] *= 0.5
    with pytest.raises(DataError, match="row 30 is another"):
        CertifiedLogisticRegression.load(path, x, y, wrong)
    plain = CertifiedLogisticRegression(random_state=0).fit(x, y)
    plain.save(tmp_path / "plain")
    with pytest.raises(DataError, match="sample_weight: got some, allowed: none, as in fit"):
        CertifiedLogisticRegression.load(tmp_path / "plain", x, y, weights)


def test_labels_that_are_numbers_find_their_weights_again(tmp_path):
    x, y, _ = data()
    for labels, named in (
        (y == "rare", {False: 1, True: 9}),
        (np.where(y == "rare", 7, 3), {3: 1, np.int64(7): 9}),
    ):
        model = CertifiedLogisticRegression(lam=LAM, class_weight=named, random_state=0).fit(x, labels)
        model.save(tmp_path / "model")
        assert (
            CertifiedLogisticRegression.load(tmp_path / "model").predict(x).tolist()
            == model.predict(x).tolist()
        )
        loaded = CertifiedLogisticRegression.load(tmp_path / "model", x, labels)
        assert loaded.remove([1]) == model.remove([1])


def test_rows_out_of_reach_are_brought_with_their_weights(tmp_path):
    x, y, weights = data(3)
    model = model_of(y, update="rowless", std=2.0).fit(x, y, weights)
    model.save(path := tmp_path / "model")
    away = CertifiedLogisticRegression.load(path)
    with pytest.raises(DataError, match="sample_weight: got none"):
        away.remove([4, 9], x[[4, 9]], y[[4, 9]])
    with pytest.raises(DataError, match="or has another label or weight"):
        away.remove([4, 9], x[[4, 9]], y[[4, 9]], [0.5, 0.5])
    assert away.remove([4, 9], x[[4, 9]], y[[4, 9]], weights[[4, 9]]) == model.remove([4, 9])
    assert inside(away).tobytes() == inside(model).tobytes()
    with pytest.raises(InvalidValue, match="None without X and y"):
        model.remove([11], sample_weight=weights[[11]])
    with pytest.raises(InvalidValue, match="None without X and y"):
        CertifiedLogisticRegression.load(path, sample_weight=weights)
    corrected = model_of(y).fit(x, y, weights)
    corrected.save(path)
    with pytest.raises(RowsOutOfReach):
        CertifiedLogisticRegression.load(path).remove([4], x[[4]], y[[4]], weights[[4]])


def test_a_class_that_leaves_takes_its_weight_along(tmp_path):
    x, y, weights = data(3)
    model = model_of(y).fit(x, y, weights)
    gone = np.flatnonzero(y == "seldom")
    assert model.remove(gone.tolist()).outcome == "removed"
    model.save(path := tmp_path / "model")
    stay = np.flatnonzero(y != "seldom")
    loaded = CertifiedLogisticRegression.load(path, x[stay], y[stay], weights[stay])
    assert loaded.remove(stay[:2].tolist()) == model.remove(stay[:2].tolist())
    left = stay[2:]
    theirs = scikit_learns(x[left], y[left], weights[left], np.arange(len(left)))
    np.testing.assert_allclose(inside(model), theirs, atol=1e-7)


def test_a_pickle_holds_no_weight_of_a_row_that_left():
    x, y, weights = data()
    model = model_of(y).fit(x, y, weights)
    model.remove([3, 7])
    again = pickle.loads(pickle.dumps(model))  # noqa: S301 (made here)
    predictor = again._engine_.predictor
    for held in (predictor.sizes, predictor.own_sizes, again._fitted_.data.weights):
        np.testing.assert_array_equal(held[[3, 7]], 1.0)
    assert (np.abs(predictor.columns[0].problem.y[[3, 7]]) == 1).all()
    assert again.remove([11]) == model.remove([11])
    assert inside(again).tobytes() == inside(model).tobytes()


def test_a_service_serves_rows_with_weights(tmp_path):
    x, y, weights = data()
    model_of(y).fit(x, y, weights).save(path := tmp_path / "model")
    with RemovalService(path, x, y, sample_weight=weights) as service:
        assert service.remove("first", [3, 3, 8]).outcome == "removed"
        answer = service.remove("second", [3, 9], x[[3, 9]], y[[3, 9]], weights[[3, 9]])
        assert (answer.outcome, answer.rows, answer.gone) == ("removed", (9,), (3,))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"class_weight": "balanced"}, "class_weight: got 'balanced', allowed: constants"),
        ({"class_weight": {"rare": 2}}, "a weight for each class and no other: common, rare"),
        ({"class_weight": {"rare": 0, "common": 1}}, "a number above 0 for each class"),
        ({"sample_weight": [1.0]}, "sample_weight: got .*240 numbers, one a row"),
        ({"sample_weight": np.full(240, 2.0)}, "at most 1"),
        ({"sample_weight": np.zeros(240)}, "above 0 and at most 1"),
    ],
)
def test_what_is_no_weight_is_refused_in_one_line(settings, said):
    x, y, _ = data()
    weights = settings.pop("sample_weight", None)
    with pytest.raises(InvalidValue, match=said) as raised:
        CertifiedLogisticRegression(**settings).fit(x, y, weights)
    assert "\n" not in str(raised.value)


def test_with_an_intercept_scikit_learns_check_of_class_weights_holds():
    check_class_weight_classifiers("ours", CertifiedLogisticRegression(fit_intercept=True, lam=1e-3))


def test_what_it_is_for():
    """2% positives: all is called negative without weights."""
    rng = np.random.default_rng(0)
    y = (rng.random(4000) < 0.02).astype(int)
    x = rng.normal(size=(4000, 2)) + 1.2 * y[:, None]
    train, test = np.arange(3000), np.arange(3000, 4000)
    scores = []
    for weights in (None, {0: 1, 1: 20}):
        model = CertifiedLogisticRegression(
            lam=1e-3, fit_intercept=True, class_weight=weights, random_state=0
        )
        model.fit(x[train], y[train]).remove(list(range(50)))
        predicted = model.predict(x[test])
        scores.append((balanced_accuracy_score(y[test], predicted), f1_score(y[test], predicted)))
    assert scores[0] == (0.5, 0.0)
    assert scores[1][0] > 0.75
    assert scores[1][1] > 0.15


# -- the command line -------------------------------------------------------------------------------------


@pytest.fixture
def table(tmp_path):
    x, y, weights = data(3)
    lines = ["a,b,c,d,e,trust,kind"]
    for row, weight, label in zip(x.round(4), weights.round(3), y, strict=True):
        lines.append(",".join([*map(str, row.tolist()), str(weight), label]))
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    return [f"dataset.file={tmp_path / 'rows.csv'}", "dataset=table", "dataset.label=kind"]


WEIGHTED = ["dataset.weight=trust", "unlearner.class_weight={common: 1, rare: 20, seldom: 5}"]
RUN = ["removal.count=6", "removal.batch_size=2", "tracker=none"]


@pytest.mark.parametrize(
    "unlearner", ["newton_corrected", "newton_rowless", "newton", "newton_third_order", "retrain", "none"]
)
def test_a_run_is_verified_by_other_code(tmp_path, table, unlearner):
    run = expunge.run([*table, *WEIGHTED, *RUN, f"unlearner={unlearner}"], folder=tmp_path / "run")
    verdict = verify(run.folder)
    assert verdict.accepted, verdict.first
    config = run.folder / ".hydra" / "config.yaml"
    if unlearner != "none":
        assert json.loads((run.folder / "summary.json").read_text())["requests"] == 6
    config.write_text(config.read_text().replace("rare: 20", "rare: 19"))
    refused = verify(run.folder)
    assert not refused.accepted, "the weights of the classes are looked at"


def test_the_weights_of_the_rows_are_looked_at(tmp_path, table):
    run = expunge.run([*table, *WEIGHTED, *RUN], folder=tmp_path / "run")
    file = tmp_path / "rows.csv"
    text = file.read_text().split("\n")
    values = text[7].split(",")
    values[5] = "0.001" if values[5] != "0.001" else "0.002"
    file.write_text("\n".join([*text[:7], ",".join(values), *text[8:]]))
    verdict = verify(run.folder)
    assert not verdict.accepted
    assert any("training weights" in str(line) for line in verdict.lines)


def test_a_run_goes_on_with_its_weights(tmp_path, table):
    whole = expunge.run([*table, *WEIGHTED, *RUN], folder=tmp_path / "whole")
    rows = tmp_path / "rows.txt"
    asked = [
        " ".join(map(str, json.loads(line)["rows"])) for line in (whole.folder / "removals.jsonl").open()
    ]
    listed = [*table, *WEIGHTED, f"removal.rows={rows}", "tracker=none"]
    rows.write_text("\n".join(asked[:3]))
    expunge.run(listed, folder=tmp_path / "again")
    rows.write_text("\n".join(asked))
    again = expunge.run([*listed, "resume=true"], folder=tmp_path / "again")
    assert verify(again.folder).accepted
    records = [json.loads(line) for line in (again.folder / "removals.jsonl").open()]
    assert [record["outcome"] for record in records] == ["removed"] * 6


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["unlearner.class_weight=balanced"], "unlearner.class_weight: got 'balanced', allowed: constants"),
        (
            ["unlearner.class_weight={common: 1}"],
            "a weight for each class and no other: common, rare, seldom",
        ),
        (
            ["dataset.weight=a"],
            "rows.csv, line .*: column a holds .*, allowed: a weight above 0 and at most 1",
        ),
        (["dataset.weight=kind"], "dataset.weight: got 'kind', allowed: another column than"),
        (
            ["dataset.weight=trust", "model=mlp", "training=sgd", "unlearner=finetune"],
            "null but with model=log",
        ),
        (
            ["dataset.weight=trust", "unlearner=lcodec", "dataset.classes=[common,rare]"],
            "no class_weight, and no",
        ),
    ],
)
def test_the_command_line_refuses_what_is_no_weight(tmp_path, table, given, said):
    with pytest.raises(UserError, match=said):
        expunge.run([*table, *given, *RUN], folder=tmp_path / "run")


def test_a_run_with_weights_is_not_taken_for_one_without(tmp_path, table):
    x, y, _ = data(3)
    run = expunge.run([*table, *WEIGHTED, *RUN], folder=tmp_path / "run")
    with pytest.raises(UserError, match="class_weight"):
        CertifiedLogisticRegression.load(run.folder, x, y)
    run = expunge.run([*table, WEIGHTED[0], *RUN], folder=tmp_path / "other")
    with pytest.raises(UserError, match="its rows have weights"):
        CertifiedLogisticRegression.load(run.folder, x, y)


def test_an_audit_refuses_weights(tmp_path, table, capsys):
    run = expunge.run([*table, *WEIGHTED, *RUN], folder=tmp_path / "run")
    assert audit([str(run.folder), "--pairs", "40", "--out", str(tmp_path / "audit")]) == 2
    assert "weights of classes or rows" in capsys.readouterr().err


def test_a_sweep_over_weights_is_told_apart(tmp_path, table, capsys):
    values = [None, {"common": 1, "rare": 20, "seldom": 5}]
    both = {word.partition("=")[0]: word.partition("=")[2] for word in table}
    both |= {"removal.count": 3, "unlearner.class_weight": values}
    sweep = expunge.sweep(both, folder=tmp_path / "sweep")
    assert len(sweep) == 2
    assert report([str(sweep.folder), "--out", str(tmp_path / "report")]) == 0
    assert "class_weight" in capsys.readouterr().out
    assert all(verify(run.folder).accepted for run in sweep)
