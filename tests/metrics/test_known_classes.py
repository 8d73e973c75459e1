"""Re-identification: the people of queries and gallery are no classes, and count in no accuracy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from expunge.core.errors import DataError
from expunge.datasets.base import of_known_classes
from expunge.extractors.labelled import Labelled
from expunge.metrics import View
from expunge.metrics.accuracy import Accuracy
from expunge.metrics.retrained import Retrained
from tests import cli
from tests.people import load_market, market
from tests.stubs import Inert

Y_TRAIN, Y_TEST = np.array([2, 2, 7]), np.array([2, 7, 1, 0, -1, 1])


class Guesser(Inert):
    """Says one thing of the training rows and another of the test rows."""

    def __init__(self, train, test):
        self.says = [np.array(train), np.array(test)]

    def predict(self, x):
        return self.says[x]  # x is 0 for the training rows and 1 for the test rows

    def retrained(self, x, y, rows):
        return Guesser([2, 2, 7], [2, 7, 7, 7, 7, 7])


def seen(requested=(False, False, False), y_test=Y_TEST):
    return View(Guesser([2, 7, 7], [2, 2, 2, 2, 2, 2]), 0, Y_TRAIN, 1, y_test, np.array(requested))


def test_which_test_rows_count():
    assert of_known_classes(Y_TEST, Y_TRAIN).tolist() == [True, True, False, False, False, False]
    assert seen().known_test.tolist() == [0, 1]
    assert seen((True, True, False)).known_test.tolist() == [0, 1], "a removed class is known all the same"


def test_accuracies_are_those_of_known_classes():
    assert Accuracy()(seen((False, False, True))) == {
        "test_accuracy": 0.5,
        "forget_accuracy": 1.0,
        "retain_accuracy": 0.5,
    }
    found = Retrained()(seen())
    assert (found["retrain_test_accuracy"], found["retrain_disagreement"]) == (1.0, 0.5)
    nobody = seen(y_test=np.array([1, 1, 1, 1, 1, 1]))
    assert Accuracy()(nobody)["test_accuracy"] is None
    assert Retrained()(nobody)["retrain_test_accuracy"] is None


def test_a_run_counts_the_held_out_images(tmp_path):
    """Four training images, two held out ones, and six of query and gallery."""
    market(tmp_path)
    folder = tmp_path / "run"
    ended = cli.expunge(
        *("dataset=reid", "dataset.folder=Market", "dataset.image_size=null", f"data_dir={tmp_path}"),
        *("removal=identity", "removal.identity=0002", "unlearner=newton_corrected", "unlearner.lam=0.1"),
        *("unlearner.std=1e-3", "metrics=[accuracy,identity,linear_probe]", "figures=false", "threads=1"),
        f"hydra.run.dir={folder}",
        cwd=tmp_path,
    )
    assert (ended.code, ended.err) == (0, "")
    summary = cli.summary(folder)
    assert summary["n_test"] == 8
    assert summary["test_accuracy_before"] in (0, 0.5, 1)
    assert summary["test_accuracy_after"] in (0, 0.5), "the held-out image of person 2 is nobody's now"
    assert summary["identity_test_accuracy"] == 0
    assert summary["linear_probe_accuracy"] in (0, 0.5)


def test_a_head_of_the_people_trained_on(tmp_path):
    """An extractor is trained on them; its own accuracy is that on the held-out images."""
    data = Labelled.of(load_market(market(tmp_path)))
    assert (data.classes, data.y_train.tolist()) == (3, [0, 0, 1, 2])
    (images, classes), *rest = data.test(torch.device("cpu"))
    assert (classes.tolist(), len(images), rest) == ([0, 2], 2, [])
    assert len(data.x_test) == 8, "features are wanted of all"


def test_other_data_sets_may_not_have_unknown_labels(tmp_path):
    data = replace(load_market(market(tmp_path)), retrieval=None)
    with pytest.raises(DataError, match="test row 4 has label 0, which is none of its classes"):
        Labelled.of(data)


def test_metric_of_retrieval_without_a_gallery(tmp_path):
    ended = cli.expunge(
        *("dataset=digits", "unlearner=newton", "metrics=[accuracy,reid]", "hydra.run.dir=run"), cwd=tmp_path
    )
    assert ended.code == 2
    assert ended.err == (
        "expunge: metrics.reid: got 'dataset=digits', "
        "allowed: a re-identification data set (reid, reid_faces)\n"
    )
    assert not (tmp_path / "run").exists()
