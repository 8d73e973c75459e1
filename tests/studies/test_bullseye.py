"""The study ``bullseye``: its data, its numbers, and its reduced experiment through the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from matplotlib.image import imread
from sklearn.metrics import roc_auc_score

from expunge.codec.bullseye import BLANKET, bullseye
from expunge.core.errors import InvalidValue
from expunge.studies import cmiknn
from expunge.studies.blanket_scores import TRUTH, auc, auc_interval, scores_of
from expunge.studies.bullseye import Bullseye
from expunge.studies.bullseye_figure import draw
from tests import cli
from tests.charts.sound import sound

REDUCED = ("+experiment=cvpr2022/bullseye_reduced", "threads=1")

# The network


def radii(n, dim, rng, eps=0.075):
    x, y, groups = bullseye(n, dim, eps, rng)
    return *(np.linalg.norm(x[:, group], axis=1) for group in groups), y


@pytest.mark.parametrize("dim", [1, 3])
def test_radii_follow_the_equations(dim):
    r0, r1, r2, r3, r4, r5, y = radii(50_000, dim, rng=0)
    residuals = (r1 - r0, r2 - r0, r3 - r2, r4 - (r1 + r3) / 2, y - (r2 + r4) / 2, r5 - (r3 + y) / 2)
    for e in residuals:
        assert abs(e).max() <= 0.075 + 1e-12
        assert np.var(e) == pytest.approx(0.15**2 / 12, rel=0.03)
    assert abs(np.corrcoef(residuals) - np.eye(6)).max() < 0.025
    assert (((r0 > 0.25) & (r0 < 0.5)) | ((r0 > 0.75) & (r0 < 1))).all()
    assert (r0 > 0.6).mean() == pytest.approx(0.5, abs=0.015)


def test_directions_are_uniform():
    x, _, groups = bullseye(50_000, rng=1)
    units = np.hstack([x[:, g] / np.linalg.norm(x[:, g], axis=1, keepdims=True) for g in groups])
    assert abs(units.mean(axis=0)).max() < 5 / np.sqrt(3 * 50_000)
    assert abs(np.cov(units.T) - np.eye(18) / 3).max() < 0.012
    assert abs(np.sort(units[:, 4]) - np.linspace(-1, 1, 50_000)).max() < 0.03  # Archimedes: uniform heights


def test_shapes_seeds_and_truth():
    x, y, groups = bullseye(20, 3, rng=4)
    assert (x.shape, y.shape) == ((20, 18), (20,))
    assert np.hstack(groups).tolist() == list(range(18))
    assert np.array_equal(x, bullseye(20, 3, rng=np.random.default_rng(4))[0])
    assert not np.array_equal(x, bullseye(20, 3, rng=5)[0])
    assert np.flatnonzero(TRUTH).tolist() == list(BLANKET) == [2, 3, 4, 5]


@pytest.mark.parametrize(("changed", "said"), [({"n": 0}, "n"), ({"dim": 0}, "dim"), ({"eps": 0}, "eps")])
def test_bad_networks(changed, said):
    with pytest.raises(ValueError, match=f"^{said}: got .*, allowed: "):
        bullseye(**{"n": 9, **changed})


# The study


def test_auc_is_that_of_sklearn():
    rng = np.random.default_rng(0)
    for scores in (rng.standard_normal((7, 6)), rng.integers(0, 4, size=(5, 6)).astype(float)):
        assert auc(scores) == pytest.approx(roc_auc_score(np.tile(TRUTH, len(scores)), scores.ravel()))
    assert auc(np.where(TRUTH, 1.0, 0.0)[None]) == 1
    assert auc(np.zeros((2, 6))) == 0.5


def test_interval_covers_and_shrinks():
    rng = np.random.default_rng(1)
    few, many = (rng.standard_normal((count, 6)) + 0.5 * TRUTH for count in (10, 200))
    for scores in (few, many):
        low, high = auc_interval(scores)
        assert low < auc(scores) < high
    assert np.ptp(auc_interval(many)) < np.ptp(auc_interval(few)) / 2
    assert auc_interval(few[:1]) == pytest.approx([auc(few[:1])] * 2)


def test_bootstrap_by_hand():
    """The weights stand for copies of replicates: the same as drawing them and pooling."""
    scores = np.random.default_rng(2).standard_normal((4, 6))
    chosen = np.random.default_rng(0).multinomial(4, np.full(4, 0.25), size=2000)
    drawn = [auc(np.repeat(scores, times, axis=0)) for times in chosen]
    assert auc_interval(scores) == pytest.approx(np.quantile(drawn, (0.025, 0.975)))


def test_scores():
    record = {"full": [0.9, None, 0.1, 0.2, 0.3, 0.4], "grow_shrink": [[2, 4], [2], []]}
    assert scores_of(record, "full").tolist() == [-0.9, -1, -0.1, -0.2, -0.3, -0.4]
    assert scores_of(record, "grow_shrink").tolist() == [0, 0, 2, 0, 1, 0]


RECORDS = [
    {
        "method": method,
        "full": p_values,
        "levels": [0.5, 0.95],
        "grow_shrink": [[1, 2, 4], found],
        "tests": [
            {"variable": 2, "given": [], "seconds": 10 * s},
            {"variable": 2, "given": [4], "seconds": 30 * s},
            {"variable": 2, "given": [0, 1, 3, 4, 5], "seconds": s},
        ],
    }
    for method, s, p_values, found in (
        ("codec", 1.0, [0.5, 0.04, 0.01, 0.05, 0.6, 0.02], [2, 4]),
        ("lcodec", 2.0, [0.5, 0.6, 0.01, 0.02, 0.03, 0.04], [0, 2]),
        ("codec", 3.0, [0.5, 0.6, 0.01, 0.02, 0.03, 0.04], [2]),
    )
]


def test_summary_and_table_by_hand():
    study = Bullseye(n=100, methods=["codec", "lcodec"], replicates=2, levels=[0.5])
    rows = study.summary(RECORDS)["rows"]
    assert [(r["method"], r["reading"], r["replicates"]) for r in rows] == [
        *(("codec", "full", 2), ("codec", "grow_shrink", 2)),
        *(("lcodec", "full", 1), ("lcodec", "grow_shrink", 1)),
    ]
    assert [r["seconds_median"] for r in rows] == [2, 30, 2, 40]
    assert [r["true_positive_rate"] for r in rows] == [7 / 8, 3 / 8, 1, 1 / 4]
    assert [r["false_positive_rate"] for r in rows] == [1 / 4, 0, 0, 1 / 2]
    assert rows[2]["auc"] == 1
    first = study.table(RECORDS)[0]
    assert (first["method"], first["right found at 95%"], first["median s a test"]) == (
        "codec, full",
        7 / 8,
        2,
    )
    words = ("CODEC, ties broken at random", "L-CODEC, ties broken by noise", "Time of a test")
    sound(draw(RECORDS, study.readings, 100).svg, *words)


def test_cells_take_turns_and_tests_are_made_once():
    study = Bullseye(n=60, dim=1, methods=["lcodec", "codec"], replicates=2, permutations=19, levels=[0.3])
    cells = study.cells()
    assert [tuple(cell.values()) for cell in cells] == [
        (0, "lcodec"),
        (0, "codec"),
        (1, "lcodec"),
        (1, "codec"),
    ]
    record = study.run_cell(cells[2], seed=0)
    json.dumps(record, allow_nan=False)
    asked = [(test["variable"], tuple(test["given"])) for test in record["tests"]]
    assert len(set(asked)) == len(asked)
    assert record["levels"] == [0.3, 0.95]
    again = Bullseye(n=60, dim=1, methods=["lcodec"], replicates=2, permutations=19, levels=[0.3])
    for test in record["tests"]:
        assert test["seconds"] > 0
    assert again.run_cell(cells[2], seed=0)["grow_shrink"] == record["grow_shrink"]
    assert again.run_cell(cells[2], seed=0)["full"] == record["full"]


@pytest.mark.parametrize(
    ("values", "name", "allowed"),
    [
        ({"n": 9}, "n", ">= 10"),
        ({"dim": 2}, "dim", "one of 1, 3"),
        ({"eps": 0}, "eps", "a finite number > 0"),
        ({"replicates": 0}, "replicates", ">= 1"),
        ({"methods": []}, "methods", "codec, lcodec, cmiknn"),
        ({"readings": ["all"]}, "readings", "full, grow_shrink"),
        ({"levels": []}, "levels", "strictly between"),
        ({"levels": [0.5, 1.0]}, "levels", "strictly between"),
        ({"levels": [0.99]}, "permutations", ">= 99"),
        ({"confidence": 2}, "confidence", "strictly between"),
        ({"permutations": 10}, "permutations", ">= 19"),
        ({"neighbours": 100}, "neighbours", "below n = 100"),
        ({"knn": 0}, "knn", ">= 1"),
    ],
)
def test_values_that_are_not_allowed(values, name, allowed):
    with pytest.raises(InvalidValue) as caught:
        Bullseye(**{"n": 100, "methods": ["codec"], "levels": [0.9], "permutations": 49, **values})
    assert caught.value.name == name
    assert allowed in caught.value.allowed


# The optional package


def test_without_the_package_one_line_names_the_extra(monkeypatch):
    monkeypatch.setattr(cmiknn, "available", lambda: False)
    with pytest.raises(
        InvalidValue, match=r"^methods: got 'cmiknn', .*pip install 'expunge\[cmi\]'"
    ) as caught:
        Bullseye(methods=["codec", "cmiknn"])
    assert "\n" not in str(caught.value)
    Bullseye(methods=["codec", "lcodec"])


def test_cmiknn():
    pytest.importorskip("tigramite")
    rng = np.random.default_rng(0)
    x, z, e = rng.standard_normal((3, 150))

    def p_value(y, x):
        options = {"permutations": 19, "neighbours": 5, "knn": 5, "threads": 1}
        return cmiknn.cmiknn_test(y, z[:, None], x, rng=np.random.default_rng(1), **options)[1]

    assert p_value(z + 0.3 * e, None) == 0.05
    assert p_value(e, None) > 0.05
    assert p_value(x + z + 0.1 * e, x[:, None]) == 0.05
    assert p_value(x + e, x[:, None]) > 0.05
    study = Bullseye(n=40, dim=1, methods=["cmiknn"], permutations=9, confidence=0.8, levels=[0.5], threads=1)
    json.dumps(study.run_cell(study.cells()[0], seed=0), allow_nan=False)


# Through the command line


@pytest.fixture(scope="module")
def reduced(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bullseye")
    ended = cli.expunge(*REDUCED, "hydra.run.dir=run", cwd=folder)
    assert (ended.code, ended.err) == (0, "")
    return folder / "run", ended.out


def test_reduced_experiment(reduced):
    folder, out = reduced
    records = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    assert [(r["replicate"], r["method"]) for r in records] == [
        (r, m) for r in range(3) for m in ("codec", "lcodec")
    ]
    summary = cli.summary(folder)
    assert (summary["study"], summary["cells"], len(summary["rows"])) == ("bullseye", 6, 4)
    assert all(r["auc_interval"][0] <= r["auc"] <= r["auc_interval"][1] for r in summary["rows"])
    # Given nothing every variable tells of the target; so at 95% the search finds at least one of them.
    assert all(record["grow_shrink"][-1] for record in records)
    assert "codec, grow_shrink" in out
    pixels = imread(folder / "figures" / "bullseye.png")[..., :3]
    assert pixels.shape[0] > 300
    assert pixels.std() > 0.05


def test_same_seed_same_tests_whatever_was_done_before(reduced, tmp_path):
    folder, _ = reduced
    lines = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    alone = cli.completed(*REDUCED, "study.methods=[lcodec]", "figures=false", folder=tmp_path / "run")
    again = [json.loads(line) for line in (alone / "results.jsonl").read_text().splitlines()]
    mine = [r for r in lines if r["method"] == "lcodec"]
    for key in ("full", "grow_shrink"):
        assert [r[key] for r in again] == [r[key] for r in mine]


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("study.dim=2", "study.dim: got 2, allowed: one of 1, 3"),
        ("study.levels=[2]", "study.levels: got 2, allowed: a number strictly between 0 and 1"),
        ("study.methods=[cmi]", "study.methods: got ['cmi'], allowed: a list of one or more of codec,"),
    ],
)
def test_bad_keys(tmp_path, argument, said):
    ended = cli.expunge(*REDUCED, argument, "hydra.run.dir=run", cwd=tmp_path)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"expunge: {said}")
    assert ended.err.count("\n") == 1
    assert not (tmp_path / "run").exists()
