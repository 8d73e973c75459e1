"""The study ``codec_speed``: its data, its numbers, and its reduced experiment through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from expunge.codec.attributes import RATES, binary_attributes, markov_blanket_of, neighbours_of
from expunge.core.errors import DataError, InvalidValue
from expunge.datasets.celeba_attributes import read_celeba_attributes
from expunge.studies.codec_speed import CodecSpeed, jaccard
from expunge.studies.codec_speed_figure import draw
from tests import cli
from tests.charts.sound import sound

REDUCED = ("+experiment=cvpr2022/codec_speed_reduced", "threads=1")


# Attributes drawn from a network


@pytest.fixture(scope="module")
def drawn():
    return binary_attributes(20_000, 40, np.random.default_rng(0))


def test_attributes_are_binary_with_the_base_rates_of_faces(drawn):
    table, parents = drawn
    assert (table.shape, table.dtype, len(parents)) == ((20_000, 40), np.uint8, 40)
    assert set(np.unique(table)) == {0, 1}
    rates = table.mean(axis=0)
    slack = 5 * np.sqrt(0.25 / 20_000)
    assert RATES[0] - slack < rates.min() < 0.06
    assert 0.3 < rates.max() < RATES[1] + slack


def test_network_is_sparse_and_acyclic(drawn):
    _, parents = drawn
    assert all(above == sorted(set(above)) for above in parents)
    assert all(k < j for j, above in enumerate(parents) for k in above)
    assert {len(above) for above in parents} == {0, 1, 2, 3}


def test_planted_parents_are_dependent_and_strangers_are_not():
    """Chi-squared of each pair (one degree of freedom; 10.8 is its 99.9th percentile)."""
    planted, strangers = [], []
    for seed in range(5):
        table, parents = binary_attributes(20_000, 12, np.random.default_rng(seed))
        chi = len(table) * np.corrcoef(table.T.astype(float)) ** 2
        roots = [j for j, above in enumerate(parents) if not above]
        planted += [chi[j, k] for j, above in enumerate(parents) for k in above if len(above) == 1]
        strangers += [chi[j, k] for j in roots for k in roots if k < j]
    assert len(planted) > 5
    assert min(planted) > 10.8
    assert np.mean(np.array(planted) > 50) > 0.8
    assert len(strangers) > 5
    assert np.mean(np.array(strangers) > 10.8) < 0.1


def test_log_odds_are_logistic_in_the_parents():
    """One binary parent with weight w: the log odds ratio of the pair is w, whatever the base rates."""
    table, parents = binary_attributes(400_000, 8, np.random.default_rng(3))
    ratios = []
    for j, above in enumerate(parents):
        if len(above) == 1:
            pair = 2 * table[:, above[0]].astype(int) + table[:, j]
            n00, n01, n10, n11 = np.bincount(pair, minlength=4)
            ratios.append(abs(np.log(n11 * n00 / (n10 * n01))))
    assert ratios
    assert 1.4 < min(ratios) <= max(ratios) < 3.1


def test_seed_decides():
    def draw_with(seed):
        return binary_attributes(200, 9, np.random.default_rng(seed))

    assert np.array_equal(draw_with(1)[0], draw_with(1)[0])
    assert draw_with(1)[1] == draw_with(1)[1]
    assert not np.array_equal(draw_with(1)[0], draw_with(2)[0])


@pytest.mark.parametrize(("n", "p"), [(0, 3), (3, 0)])
def test_no_samples_or_no_attributes(n, p):
    with pytest.raises(ValueError, match="allowed: a whole number >= 1"):
        binary_attributes(n, p, np.random.default_rng(0))


def test_markov_blanket():
    #  0   1     4 -> 5
    #   \ / \
    #    2   3
    parents = [[], [], [0, 1], [1], [], [4]]
    assert [markov_blanket_of(parents, j) for j in range(6)] == [[1, 2], [0, 2, 3], [0, 1], [1], [5], [4]]
    assert [neighbours_of(parents, j) for j in range(6)] == [[2], [2, 3], [0, 1], [1], [5], [4]]


# The public text file

GOOD = """\
4
5_o_Clock_Shadow  Bald Smiling
000001.jpg -1  1  1
000002.jpg -1 -1  1
000003.jpg  1 -1 -1
000004.jpg -1 -1 -1
"""


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "list_attr_celeba.txt"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_file_is_read(tmp_path, ending):
    table, names = read_celeba_attributes(written(tmp_path, GOOD.replace("\n", ending)))
    assert names == ["5_o_Clock_Shadow", "Bald", "Smiling"]
    assert table.dtype == np.uint8
    assert table.tolist() == [[0, 1, 1], [0, 0, 1], [1, 0, 0], [0, 0, 0]]


def test_first_images_of_a_file(tmp_path):
    path = written(tmp_path, GOOD.replace("000004.jpg -1", "000004.jpg x"))
    table, _ = read_celeba_attributes(path, 3)
    assert table.tolist() == [[0, 1, 1], [0, 0, 1], [1, 0, 0]]


BAD = {
    "empty": ("", ":1: got ''", "the number of images"),
    "count": (GOOD.replace("4\n", "four\n", 1), ":1: got 'four'", "a whole number >= 1"),
    "zero": (GOOD.replace("4\n", "0\n", 1), ":1: got '0'", "a whole number >= 1"),
    "names": ("4\n\n", ":2: got ''", "distinct names"),
    "twice": (
        GOOD.replace("Bald", "Smiling"),
        ":2: got 'Smiling' twice",
        "distinct names",
    ),
    "narrow": (GOOD.replace("-1 -1  1", "-1  1"), ":4: got 2 values", "allowed: 3"),
    "wide": (GOOD.replace("-1 -1  1", "-1 -1 1 1"), ":4: got 4 values", "allowed: 3"),
    "value": (GOOD.replace(" 1 -1 -1", " 1 0 -1"), ":5: got '0'", "-1 or 1"),
    "short": (GOOD.replace("4\n", "5\n", 1), ":7: got the end of the file", "image 5 of 5"),
    "long": (GOOD.replace("4\n", "3\n", 1), ":6: got a line too many", "the 3 images"),
    "binary": (b"\xff\xfe\x00", ": not UTF-8", "the text of"),
}


@pytest.mark.parametrize("case", BAD)
def test_malformed_file_is_one_line(tmp_path, case):
    content, got, allowed = BAD[case]
    path = written(tmp_path, content)
    with pytest.raises(DataError) as caught:
        read_celeba_attributes(path)
    assert str(caught.value).startswith(f"{path}{got}")
    assert allowed in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_folder_and_images(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_celeba_attributes(tmp_path / "absent.txt")
    with pytest.raises(DataError, match="cannot be read"):
        read_celeba_attributes(tmp_path)
    with pytest.raises(DataError, match=":1: got 4 images, allowed: at least the 5 asked for"):
        read_celeba_attributes(written(tmp_path, GOOD), 5)


# The study


def test_cells_take_turns_between_the_methods():
    study = CodecSpeed(n=500, p=5, attributes=["a03", "a01"])
    assert [tuple(cell.values()) for cell in study.cells()] == [
        *(("a03", "codec"), ("a03", "lcodec"), ("a01", "codec"), ("a01", "lcodec"))
    ]
    assert [
        cell["attribute"] for cell in CodecSpeed(n=500, p=9, attributes=3, methods=["codec"]).cells()
    ] == [*("a00", "a04", "a08")]


def test_a_copy_among_the_others_is_found_first(tmp_path):
    """Of a file: b is a with no more than one value changed, c is a coin of its own."""
    rng = np.random.default_rng(0)
    a, c = rng.integers(0, 2, size=(2, 300))
    b = a.copy()
    b[7] ^= 1
    rows = [
        f"{k:06d}.jpg " + " ".join("1" if v else "-1" for v in row)
        for k, row in enumerate(zip(a, b, c, strict=True))
    ]
    path = written(tmp_path, "\n".join(["300", "a b c", *rows]))
    study = CodecSpeed(n=None, p=3, path=str(path), attributes=["a"], threads=1)
    for cell in study.cells():
        record = study.run_cell(cell, seed=0)
        assert record["selected"][0] == "b"
        assert record["scores"][0] > 0.9
        assert record["neighbours"] is record["blanket"] is None
        assert record["seconds"] > 0
        json.dumps(record, allow_nan=False)


@pytest.mark.parametrize(
    ("values", "name", "allowed"),
    [
        ({"n": 9}, "n", ">= 10"),
        ({"n": None}, "n", ">= 10"),
        ({"p": 1}, "p", ">= 2"),
        ({"methods": []}, "methods", "codec, lcodec"),
        ({"methods": ["codec", "codec"]}, "methods", "each once"),
        ({"methods": "codec"}, "methods", "codec, lcodec"),
        ({"attributes": 0}, "attributes", "a count from 1 to 5"),
        ({"attributes": 6}, "attributes", "a count from 1 to 5"),
        ({"attributes": True}, "attributes", "a list of names"),
        ({"attributes": ["a09"]}, "attributes", "a00, a01, a02, a03, a04"),
        ({"path": 3}, "path", "or null"),
        ({"n": 10, "p": 40}, "n", "more samples: a"),
    ],
)
def test_values_that_are_not_allowed(values, name, allowed):
    with pytest.raises(InvalidValue) as caught:
        CodecSpeed(**{"n": 200, "p": 5, **values})
    assert caught.value.name == name
    assert allowed in caught.value.allowed


RECORDS = [
    {"attribute": a, "method": m, "seconds": s, "selected": chosen, "neighbours": truth, "blanket": truth}
    for a, m, s, chosen, truth in (
        ("a00", "codec", 8.0, ["a01", "a02"], ["a01"]),
        ("a00", "lcodec", 1.0, ["a02"], ["a01"]),
        ("a01", "codec", 4.0, [], ["a00", "a02", "a03"]),
        ("a01", "lcodec", 3.0, [], ["a00", "a02", "a03"]),
        ("a02", "codec", 6.0, ["a01", "a03"], []),
        ("a02", "lcodec", 2.0, ["a01", "a03"], []),
    )
]


def test_summary_and_table_by_hand():
    study = CodecSpeed(n=200, p=4, attributes=3)
    summary = study.summary(RECORDS)
    assert summary["methods"]["codec"] == {
        **{"attributes": 3, "seconds_median": 6.0, "seconds_min": 4.0, "seconds_max": 8.0},
        **{"selected_mean": pytest.approx(4 / 3), "neighbours_found": 0.25, "selected_in_blanket": 0.25},
    }
    assert summary["methods"]["lcodec"]["neighbours_found"] == 0.0
    assert summary["seconds_ratio"] == 3.0
    assert summary["jaccard_mean"] == pytest.approx((0.5 + 1 + 1) / 3)
    first, second, both = study.table(RECORDS)
    assert (first["method"], first["median s"], first["published s (n = 20,000)"]) == (
        "codec",
        6.0,
        "1,100-2,170",
    )
    assert (second["method"], second["max s"], second["published s (n = 20,000)"]) == (
        "lcodec",
        3.0,
        "30-510",
    )
    assert (both["median s"], both["same selection"]) == (3.0, summary["jaccard_mean"])


def test_one_method_has_no_ratio():
    study = CodecSpeed(n=200, p=4, methods=["lcodec"])
    only = [
        record | {"neighbours": None, "blanket": None} for record in RECORDS if record["method"] == "lcodec"
    ]
    summary = study.summary(only)
    assert summary["seconds_ratio"] is summary["jaccard_mean"] is None
    assert summary["methods"]["lcodec"]["neighbours_found"] is None
    assert len(study.table(only)) == 1
    sound(draw(only, {"lcodec": (30, 510)}, 200).svg, "L-CODEC, ties broken by noise")


@pytest.mark.parametrize(
    ("a", "b", "overlap"), [("ab", "bc", 1 / 3), ("", "", 1.0), ("a", "", 0.0), ("ab", "ba", 1)]
)
def test_jaccard(a, b, overlap):
    assert jaccard(list(a), list(b)) == overlap


# Through the command line


@pytest.fixture(scope="module")
def reduced(tmp_path_factory):
    folder = tmp_path_factory.mktemp("codec_speed")
    ended = cli.expunge(*REDUCED, "hydra.run.dir=run", cwd=folder)
    assert (ended.code, ended.err) == (0, "")
    return folder / "run", ended.out


def test_reduced_experiment(reduced):
    folder, out = reduced
    records = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    assert [(r["attribute"], r["method"]) for r in records] == [
        (a, m) for a in ("a00", "a04", "a09") for m in ("codec", "lcodec")
    ]
    summary = cli.summary(folder)
    assert (summary["study"], summary["cells"]) == ("codec_speed", 6)
    found = [method["neighbours_found"] for method in summary["methods"].values()]
    assert all(0.4 < share <= 1 for share in found)
    assert 0 < summary["jaccard_mean"] <= 1
    assert all(len(r["selected"]) == len(r["scores"]) and all(s > 0 for s in r["scores"]) for r in records)
    assert all(set(r["neighbours"]) <= set(r["blanket"]) for r in records)
    assert "codec / lcodec" in out
    assert "1,100-2,170" in out
    pixels = imread(folder / "figures" / "codec_speed.png")[..., :3]
    assert pixels.shape[0] > 300
    assert pixels.std() > 0.05


def test_same_seed_same_selections_whatever_was_done_before(reduced, tmp_path):
    folder, _ = reduced
    lines = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    alone = cli.completed(*REDUCED, "study.attributes=[a09]", "figures=false", folder=tmp_path / "run")
    again = [json.loads(line) for line in (alone / "results.jsonl").read_text().splitlines()]
    assert [r["selected"] for r in again] == [r["selected"] for r in lines[-2:]]
    assert [r["scores"] for r in again] == [r["scores"] for r in lines[-2:]]


def test_reduced_experiment_on_the_papers_own_table(shared_data, tmp_path):
    """The table is looked for under ``data_dir``, and nothing is claimed to be true of it."""
    if not (shared_data / "celeba").is_dir():
        pytest.skip(f"needs CelebA's attributes, found no celeba in {shared_data}")
    told = ("+experiment=cvpr2022/codec_speed_celeba_reduced", f"data_dir={shared_data}", "threads=1")
    ended = cli.expunge(*told, "hydra.run.dir=run", cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    summary = cli.summary(tmp_path / "run")
    assert summary["cells"] == 6
    assert summary["methods"]["codec"]["selected_mean"] > 1
    assert summary["methods"]["codec"]["neighbours_found"] is None


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("study.p=1", "study.p: got 1, allowed: a whole number >= 2"),
        ("study.attributes=[a77]", "study.attributes: got ['a77'], allowed: a list of one or more of a00,"),
        ("study.path=absent.txt", "study.path: absent.txt: no such file, neither from "),
        ("unlearner.lam=3", "unlearner.lam: no such key, allowed: "),
    ],
)
def test_bad_keys(tmp_path, argument, said):
    ended = cli.expunge(*REDUCED, argument, "hydra.run.dir=run", cwd=tmp_path)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"expunge: {said}")
    assert ended.err.count("\n") == 1
    assert not (tmp_path / "run").exists()
