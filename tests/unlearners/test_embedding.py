"""``refit=embedding``: areas and level against oracles, one step by hand, and what it does after a scrub."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from expunge.core.errors import InvalidValue
from expunge.metrics.verification import verification_auc
from expunge.models import Mlp, Softmax
from expunge.predictors.linear import LinearModel
from expunge.predictors.network import NetworkModel
from expunge.scrub import ScrubError
from expunge.training import Learner, Training
from expunge.unlearners.embedding import EmbeddingRefit, area, pair_auc, stranger_level
from expunge.unlearners.lcodec import Lcodec
from expunge.unlearners.tuning import Tuning
from tests import networks

TRAINING = Training("adam", 40, 1e-2, 0.9, 1e-4, 16, "cosine")
PERSON = 2


def data():
    """Six persons whose pictures differ by noise more than by anything: they are learned by heart."""
    return networks.blobs(120, 20, 6, spread=3.0)


def fitted(architecture=None, **settings):
    learner = Learner(architecture or Mlp(hidden=(32,)), TRAINING, "cpu", None, progress=False, threads=1)
    settings = {"val_gap": None, "n_perturbations": 60, **settings}
    unlearner = Lcodec(NetworkModel(learner), **settings)
    unlearner.fit(*data(), 0)
    return unlearner


def rows_of(person):
    return np.flatnonzero(data()[1] == person)


@pytest.mark.parametrize("seed", range(4))
def test_the_area_is_that_of_the_roc_curve_ties_included(seed):
    rng = np.random.default_rng(seed)
    larger, smaller = rng.integers(5, size=7) / 4, rng.integers(4, size=11) / 4
    expected = roc_auc_score(np.arange(18) < 7, np.concatenate([larger, smaller]))
    assert area(torch.from_numpy(larger), torch.from_numpy(smaller)) == pytest.approx(expected, abs=1e-15)


def test_pairs_of_one_person_against_pairs_with_others_are_those_of_the_metric():
    rng = np.random.default_rng(0)
    own, others, y = rng.normal(size=(5, 3)), rng.normal(size=(6, 3)), np.array([4, 4, 4, 4, 4])
    everybody = np.concatenate([own, others]), np.concatenate([y, np.full(6, 9)])
    expected = verification_auc(*everybody, persons=np.array([4]))
    found = pair_auc(torch.from_numpy(own), torch.from_numpy(others), y)
    assert found == pytest.approx(expected, abs=1e-12)
    assert pair_auc(torch.from_numpy(own), torch.from_numpy(others), np.arange(5)) is None  # no two of one


def test_the_level_is_that_of_the_centred_inputs_where_these_are_the_embedding():
    """A network of one layer embeds nothing: trained or not, its embedding is the picture."""
    model, own = fitted(Softmax()).predictor, rows_of(PERSON)
    others = np.flatnonzero(data()[1] != PERSON)
    x = data()[0].reshape(120, -1).astype(np.float64)
    x -= x[others].mean(axis=0)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    same = [unit[i] @ unit[j] for i in own for j in own if i < j]
    different = [unit[i] @ unit[r] for i in own for r in others]
    expected = np.mean([(s > d) + (s == d) / 2 for s in same for d in different])
    assert stranger_level(model, own, others) == pytest.approx(expected, abs=1e-3)  # of float32


def test_the_second_term_is_the_mean_over_all_pairs_drawn_and_none_at_the_level():
    unlearner, own = fitted(), rows_of(PERSON)
    model = unlearner.predictor
    tuning, refit = Tuning(model, own, TRAINING, 1), EmbeddingRefit()
    stay = tuning.take(tuning.retain[:8])
    rng, y = deepcopy(tuning.rng), model.codes[own]
    found = refit._excess(tuning, tuning.take(own).x, y, stay.x, 0.0)
    e = model.embeddings(data()[0])
    e = e / np.linalg.norm(e, axis=1, keepdims=True)
    pairs = [(i, j) for i in own for j in own if i < j]
    assert len(pairs) < 256
    k, r = rng.integers(len(own), size=256), rng.integers(8, size=256)
    terms = [
        np.log1p(np.exp(5 * (e[i] @ e[j] - e[own[a]] @ e[stay.rows[b]]))) / 5
        for i, j in pairs
        for a, b in zip(k, r, strict=True)
    ]
    assert float(found) == pytest.approx(np.mean(terms), rel=1e-4)
    assert refit._excess(tuning, tuning.take(own).x, y, stay.x, 1.0) is None
    assert refit._excess(tuning, tuning.take(own).x, np.arange(len(own)), stay.x, 0.0) is None


def test_what_the_embedding_knew_of_the_person_goes_and_the_rest_is_kept():
    x, y = data()
    own, rest = rows_of(PERSON), np.flatnonzero(y != PERSON)
    areas, accuracies, models = {}, {}, {}
    for refit in (None, "embedding"):
        unlearner = fitted(refit=refit, refit_epochs=20)
        outcome = unlearner.remove(own)
        model = unlearner.predictor
        areas[refit] = verification_auc(model.embeddings(x), y, persons=np.array([PERSON]))
        accuracies[refit] = np.mean(model.predict(x, rest) == y[rest])
        assert outcome.outcome == "removed"
        assert not np.any(model.predict(x, own) == PERSON)
        for said in (unlearner.COLUMNS, outcome.figures):
            assert ("stranger_auc" in said) == (refit is not None)
        models[refit] = model.model()
    retrained = NetworkModel(unlearner.predictor.learner)
    retrained.begin(x, y, 0)
    aim = verification_auc(retrained.reference(x, y, rest).embeddings(x), y, persons=np.array([PERSON]))
    assert abs(areas["embedding"] - aim) < 0.5 * (areas[None] - aim)
    assert accuracies["embedding"] >= 0.99 * accuracies[None]
    again = fitted(refit="embedding", refit_epochs=20)
    again.remove(own)
    assert all(np.array_equal(v, again.predictor.model()[k]) for k, v in models["embedding"].items())


def test_a_refit_that_harms_is_taken_back_with_its_scrub_bit_by_bit():
    x, y = data()
    unlearner = fitted(refit="embedding", refit_lr=100.0, val_gap=0.01)
    unlearner.validate_on(x, y)
    before = unlearner.predictor.model()
    outcome = unlearner.remove(rows_of(PERSON))
    assert outcome.outcome == "refused"
    assert all(np.array_equal(v, unlearner.predictor.model()[k]) for k, v in before.items())


def test_a_refit_that_fails_is_a_reason_and_changes_nothing(monkeypatch):
    unlearner = fitted(refit="embedding")
    before = unlearner.predictor.model()

    def fails(self, tuning):
        tuning.module[1].weight.data.zero_()
        raise ScrubError("so it is")

    monkeypatch.setattr(EmbeddingRefit, "_refit", fails)
    outcome = unlearner.remove(rows_of(PERSON))
    assert (outcome.outcome, outcome.reason) == ("refused", "so it is")
    assert all(np.array_equal(v, unlearner.predictor.model()[k]) for k, v in before.items())


def test_of_a_single_picture_there_is_no_pair_and_nothing_is_refitted():
    one = rows_of(PERSON)[:1]
    models = []
    for refit in (None, "embedding"):
        unlearner = fitted(refit=refit)
        assert "refitted_auc" not in unlearner.remove(one).figures
        models.append(unlearner.predictor.model())
    assert all(np.array_equal(v, models[1][k]) for k, v in models[0].items())


def test_the_estimated_work_counts_the_refit():
    plain, refitted = fitted(), fitted(refit="embedding", refit_epochs=10)
    own = rows_of(PERSON)
    more = refitted.share_of_retraining(own) - plain.share_of_retraining(own)
    assert more == pytest.approx(3 * 10 / 40)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"refit": "all"}, "refit: got 'all', allowed: "),
        ({"refit_epochs": 0}, "refit_epochs: got 0"),
        ({"refit_lr": 0.0}, "refit_lr: got 0.0"),
        ({"refit_weight": -1.0}, "refit_weight: got -1.0"),
    ],
)
def test_bad_values_are_said_in_a_line(settings, complaint):
    learner = Learner(Mlp(hidden=(4,)), TRAINING, "cpu", None, progress=False, threads=1)
    with pytest.raises(InvalidValue, match=complaint):
        Lcodec(NetworkModel(learner), **settings)


def test_the_linear_model_has_no_embedding_to_refit():
    with pytest.raises(InvalidValue, match="refit: got 'embedding', allowed: null for the linear model"):
        Lcodec(LinearModel(1e-3), refit="embedding")
