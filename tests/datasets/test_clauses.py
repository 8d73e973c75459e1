"""Texts with labels: what becomes of their words, and what is refused in one line."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.utils import murmurhash3_32

from expunge.core.errors import DataError, InvalidValue
from expunge.datasets import clauses
from expunge.datasets.words import read_back
from tests import cli

ROWS = [
    {"text": "The law of Delaware governs, and the law alone.", "label": "law", "split": "train"},
    {"text": "Ten dollars a month", "label": "pay", "split": "train"},
    {"text": "Law of England governs", "label": "law", "split": "test"},
    {"text": "The month's dollars: ten", "label": "pay", "split": "test"},
    {"text": "Courts of Ohio", "label": "law", "split": "train"},
    {"text": "Dollars, dollars", "label": "pay", "split": "train"},
    {"text": "whoever", "label": "other", "split": "train"},
    {"text": "nobody", "label": "other", "split": "test"},
]


def written(folder, rows=ROWS, kind="jsonl"):
    path = folder / f"clauses.{kind}"
    if kind == "jsonl":
        path.write_text("\n\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")
    elif kind == "parquet":
        pytest.importorskip("pyarrow")
        pd.DataFrame(rows).to_parquet(path)
    else:
        pd.DataFrame(rows).to_csv(path, index=False)
    return path


def loaded(folder, rows=ROWS, kind="jsonl", **how):
    return clauses.load(folder, str(written(folder, rows, kind)), **{"features": 64} | how)


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_rows_are_hashed_words_in_the_files_order(kind, tmp_path):
    data = loaded(tmp_path, kind=kind)
    assert data.class_names == {0: "law", 1: "other", 2: "pay"}
    assert data.y_train.tolist() == [0, 2, 0, 2, 1]
    assert data.y_test.tolist() == [0, 2, 1]
    assert data.ids.tolist() == ["0", "1", "4", "5", "6"]
    texts = [row["text"] for row in ROWS if row["split"] == "train"]
    counts = HashingVectorizer(n_features=64, norm=None).transform(texts).toarray()
    np.testing.assert_allclose(data.x_train.toarray(), np.sign(counts) * np.log1p(abs(counts)), rtol=1e-6)
    assert data.x_train.dtype == np.float32


def test_a_row_depends_on_no_other(tmp_path):
    whole, first = loaded(tmp_path), loaded(tmp_path, ROWS[:6])
    np.testing.assert_array_equal(whole.x_train.toarray()[:4], first.x_train.toarray())


def test_tokens_are_hashed_words_in_their_order(tmp_path):
    data = loaded(tmp_path, inputs="tokens", length=6)
    words = ["the", "law", "of", "delaware", "governs", "and"]  # words of two letters at least, the first six
    assert data.x_train[0].tolist() == [1 + murmurhash3_32(word, positive=True) % 64 for word in words]
    assert data.x_train[1, 3:].tolist() == [0, 0, 0]
    assert (data.x_train.shape, data.x_test.shape, data.holds) == ((5, 6), (3, 6), "tokens")
    first = loaded(tmp_path, ROWS[:6], inputs="tokens", length=6)
    np.testing.assert_array_equal(data.x_train[:4], first.x_train)


def test_letters_are_the_texts_themselves(tmp_path):
    rows = [{**row, "text": row["text"] + " §\0"} for row in ROWS]
    data = loaded(tmp_path, rows, inputs="letters")
    kept = [row["text"] + " § " for row in ROWS if row["split"] == "train"]
    assert data.holds == "letters"
    assert read_back(data.x_train) == [text.rstrip("\0") for text in kept]
    assert read_back(loaded(tmp_path, rows, inputs="letters", length=22).x_train)[1] == kept[1][:21]


@pytest.mark.parametrize(("text", "inputs"), [("law, the LAW", "tokens"), ("- a", "letters")])
def test_any_text_has_rows_of_its_kind(text, inputs, tmp_path):
    assert loaded(tmp_path, [{**ROWS[0], "text": text}, *ROWS[1:]], inputs=inputs).x_train.any(axis=1).all()


def test_a_share_is_held_out_where_no_rows_are_marked(tmp_path):
    rows = [{"text": row["text"], "label": row["label"]} for row in ROWS[:6]] * 3
    data = loaded(tmp_path, rows)
    assert (len(data.y_train), len(data.y_test)) == (14, 4)
    last = loaded(tmp_path, rows, test_seed=None)
    assert last.ids.tolist() == [str(row) for row in range(14)]
    assert len(loaded(tmp_path, split_by=None).y_test) == 2


def test_labels_are_chosen_by_size_or_by_name(tmp_path):
    assert set(loaded(tmp_path, largest=2).class_names.values()) == {"law", "pay"}
    assert set(loaded(tmp_path, classes=["other", "pay"]).class_names.values()) == {"other", "pay"}


def test_names_of_columns_and_a_list_of_one_label_will_do(tmp_path):
    rows = [{"provision": row["text"], "type": [row["label"]], "split": row["split"]} for row in ROWS]
    data = loaded(tmp_path, rows, text="provision", label="type")
    np.testing.assert_array_equal(data.x_train.toarray(), loaded(tmp_path).x_train.toarray())


@pytest.mark.parametrize(
    ("change", "how", "line"),
    [
        ({"text": "  "}, {}, "line 3: text is empty, allowed: a text"),
        ({"text": None}, {}, "line 3: text is empty, allowed: a text"),
        ({"text": "- ; a !"}, {}, "line 3: a text without words"),
        ({"label": ""}, {}, "line 3: label is empty"),
        ({"label": ["a", "b"]}, {}, "line 3: label is a list of 2, allowed: a text"),
        ({"label": "rare"}, {}, "the label rare has a single text, allowed: two or more"),
        ({}, {"text": "clause"}, "text: got 'clause', allowed: a column of"),
        ({}, {"label": "type"}, "label: got 'type', allowed: a column of"),
        ({}, {"classes": ["law", "tax"]}, "classes: got 'tax', allowed: labels of"),
        ({}, {"classes": ["law"]}, "labels must be of two or more classes"),
        ({}, {"classes": ["law", "pay"], "largest": 2}, "largest: got 2, allowed: null where classes"),
        ({}, {"largest": 1}, "largest: got 1"),
        ({}, {"features": 0}, "features: got 0"),
        ({}, {"inputs": "bytes"}, "inputs: got 'bytes', allowed: one of words, tokens, letters"),
        ({}, {"length": 9}, "length: got 9, allowed: null with inputs=words"),
        ({}, {"inputs": "tokens", "length": 0}, "length: got 0"),
        ({"text": "- ; a !"}, {"inputs": "tokens"}, "line 3: a text without words"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(change, how, line, tmp_path):
    rows = [*ROWS[:1], {**ROWS[1], **change}, *ROWS[2:]]
    with pytest.raises((DataError, InvalidValue)) as error:
        loaded(tmp_path, rows, **how)
    assert line in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "allowed: a column of"),
        (b'["text", "label"]\n', "line 1: no object"),
        (b'{"text": "a law", "label": "b"}\n{"text"', "line 2: no JSON in UTF-8"),
        (b'{"text": "a law", "label": "b"}\n\xff', "line 2: no JSON in UTF-8"),
        (b'{"text": "a law", "label": "b"}\n{"label": "b"}', "line 2: text is empty"),
    ],
)
def test_a_damaged_file_is_said_in_one_line(content, line, tmp_path):
    path = tmp_path / "clauses.jsonl"
    path.write_bytes(content)
    with pytest.raises((DataError, InvalidValue)) as error:
        clauses.load(tmp_path, str(path))
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_marks_that_leave_nothing_on_one_side_are_refused(tmp_path):
    with pytest.raises(DataError, match="leaves no test rows"):
        loaded(tmp_path, [{**row, "split": "train"} for row in ROWS])


def test_clauses_of_contracts_leave_one_by_one(shared_data, tmp_path):
    if not (shared_data / "cuad" / "clauses.jsonl").is_file():
        pytest.skip(f"needs clauses of contracts, found no cuad/clauses.jsonl in {shared_data}")
    how = ("dataset=clauses", "dataset.largest=8", f"data_dir={shared_data}", "model.intercept=true")
    asked = ("removal.class=Governing Law", "removal.batch_size=1", "removal.count=3", "unlearner.lam=1e-4")
    run = cli.completed(*how, *asked, "metrics=[accuracy,tow]", "threads=1", folder=tmp_path / "run")
    found = cli.summary(run)
    assert (found["n_train"], found["n_test"], found["removed"]) == (1968, 492, 3)
    assert found["test_accuracy_before"] > 0.94
    assert found["tow"] > 0.99


def test_a_network_reads_the_words_and_is_scrubbed(tmp_path):
    path = written(tmp_path, [{**row, "text": f"{row['text']} {k}"} for k in range(4) for row in ROWS[:6]])
    small = ("model.width=8", "model.dim=8", "training.epochs=1", "unlearner.n_perturbations=20")
    how = (f"dataset.file={path}", "dataset.features=64", "dataset.length=8", "removal.count=2", "threads=1")
    run = cli.completed(
        *("dataset=clauses", "model=text_transformer", "unlearner=lcodec", *small, *how),
        folder=tmp_path / "run",
    )
    found = cli.summary(run)
    assert (found["n_train"], found["removed"]) == (16, 2)


@pytest.mark.parametrize(
    "how",
    [
        ("dataset.inputs=tokens",),
        ("dataset.inputs=letters",),
        ("model=mlp", "unlearner=retrain", "dataset.inputs=letters"),
    ],
)
def test_rows_that_the_model_does_not_read_are_refused(how, tmp_path):
    ended = cli.expunge(
        "dataset=clauses", f"dataset.file={written(tmp_path)}", *how, "removal.count=1", cwd=tmp_path
    )
    assert ended.code == 2
    assert "dataset.inputs: got" in ended.err
    assert len(ended.err.strip().splitlines()) == 1
