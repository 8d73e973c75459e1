"""Unlearners of networks: what a request changes, what it must not, and what a stopped run goes on with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from expunge.core.errors import DataError, InvalidValue
from expunge.models import Mlp, Softmax
from expunge.predictors.network import NetworkModel
from expunge.scrub import Scrub
from expunge.training import Learner, Training
from expunge.unlearners.bad_teacher import BadTeacher
from expunge.unlearners.cfk import Cfk
from expunge.unlearners.delete import Delete
from expunge.unlearners.euk import Euk
from expunge.unlearners.finetune import Finetune
from expunge.unlearners.gradient_ascent import GradientAscent
from expunge.unlearners.hessian_free import HessianFree
from expunge.unlearners.l1_sparse import L1Sparse
from expunge.unlearners.lcodec import Lcodec
from expunge.unlearners.neggrad import Neggrad
from expunge.unlearners.noisy_finetune import NoisyFinetune
from expunge.unlearners.none import NoOp
from expunge.unlearners.random_labels import RandomLabels
from expunge.unlearners.retrain import Retrain
from expunge.unlearners.salun import Salun
from expunge.unlearners.scrub_kd import ScrubKd
from expunge.unlearners.sisa import Sisa
from expunge.unlearners.ssd import Ssd
from expunge.unlearners.unsir import Unsir
from tests import networks

TRAINING = Training(optimizer="sgd", epochs=2, lr=0.1, batch_size=16, weight_decay=0.01)


def learner(architecture=None, training=TRAINING, cache=None):
    return Learner(architecture or Mlp(hidden=(8,)), training, "cpu", cache, progress=False, threads=1)


def data(n=120, seed=0):
    return networks.blobs(n, 6, 3, seed=seed)


def scrubber(architecture=None, val_gap=None, **settings):
    settings = {"n_perturbations": 60, "curvature_rows": 50, **settings}
    return Lcodec(NetworkModel(learner(architecture)), val_gap=val_gap, **settings)


def _scrubbed(scrub, training=TRAINING):
    return Lcodec(NetworkModel(learner(training=training)), val_gap=None, **vars(scrub))


def published():
    return _scrubbed(Scrub.published(n_perturbations=60, noise_epsilon=None))


DESCENTS = (Finetune, L1Sparse, Cfk, Euk, Neggrad, ScrubKd, RandomLabels, Salun, BadTeacher, Delete, Unsir)


def tuned(kind):
    return kind(NetworkModel(learner()), lr=0.01, epochs=1, val_gap=None)


METHODS = {
    "lcodec": lambda: scrubber(),
    "lcodec_published": lambda: published(),
    "lcodec_noise": lambda: scrubber(noise_epsilon=100.0, curvature="ggn", selector="random"),
    "gradient_ascent": lambda: GradientAscent(NetworkModel(learner()), lr=0.01, steps=2, val_gap=None),
    **{kind.__name__.lower(): lambda kind=kind: tuned(kind) for kind in DESCENTS},
    "ssd": lambda: Ssd(NetworkModel(learner()), importance_rows=50, val_gap=None),
    "sisa": lambda: Sisa(NetworkModel(learner()), shards=2, slices=2),
    "hessian_free": lambda: HessianFree(NetworkModel(learner()), val_gap=None),
    "noisy_finetune": lambda: NoisyFinetune(NetworkModel(learner()), releases=9),
    "retrain": lambda: Retrain(NetworkModel(learner())),
    "none": lambda: NoOp(NetworkModel(learner())),
}


def fitted(method, seed=0, n=120):
    x, y = data(n)
    made = METHODS[method]() if isinstance(method, str) else method
    made.fit(x, y, seed)
    validate(made)
    return made


def validate(made):
    """What a run does for methods that guard their updates."""
    if hasattr(made, "validate_on"):
        made.validate_on(*data(60, seed=1))


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_serves_and_repeats_itself(method):
    runs = []
    for _ in range(2):
        unlearner = fitted(method)
        start = unlearner.predictor.model()
        outcomes = [unlearner.remove([3]), unlearner.remove([5, 9])]
        runs.append((outcomes, unlearner.predictor.model()))
    assert runs[0][0] == runs[1][0]
    assert same(runs[0][1], runs[1][1])
    expected = {"retrain": "retrained", "none": "refused"}.get(method, "removed")
    assert [outcome.outcome for outcome in runs[0][0]] == [expected] * 2
    assert same(start, runs[0][1]) == (method == "none")
    assert unlearner.predictor.predict(data()[0]).shape == (120,)
    assert unlearner.predictor.residual() is None


@pytest.mark.parametrize("method", METHODS)
def test_a_loaded_state_goes_on_where_it_stopped(method):
    unbroken = fitted(method)
    unbroken.remove([3])
    kept = unbroken.state()
    fresh = METHODS[method]()
    fresh.load_state(kept, *data())
    validate(fresh)
    assert fresh.predictor.seconds_fit == unbroken.predictor.seconds_fit
    assert unbroken.remove([7]) == fresh.remove([7])
    assert same(unbroken.predictor.model(), fresh.predictor.model())
    with pytest.raises(InvalidValue, match="rows: got 3") if method != "none" else _nothing():
        fresh.remove([3])
    changed = METHODS[method]()
    if method not in ("retrain", "sisa"):  # which start from the beginning, or a slice, anyway
        kept.arrays["module.1.bias"] = kept.arrays["module.1.bias"] + 1e-3
        changed.load_state(kept, *data())
        validate(changed)
        changed.remove([7])
        assert not same(unbroken.predictor.model(), changed.predictor.model())


def _nothing():
    from contextlib import nullcontext

    return nullcontext()


def test_retrain_is_training_without_the_rows():
    unlearner = fitted("retrain")
    unlearner.remove([3, 40])
    x, y = data()
    other = learner()
    stay = np.setdiff1d(np.arange(120), [3, 40])
    expected = other.train(unlearner.predictor.x, y, stay, 3, 0).module.state_dict()
    assert all(np.array_equal(unlearner.predictor.model()[name], value) for name, value in expected.items())
    same_rows = fitted("none").predictor.retrained(x, y, stay)
    assert same(same_rows.model(), unlearner.predictor.model())


def test_lcodec_touches_the_selected_units_alone():
    unlearner = fitted("lcodec")
    before = unlearner.predictor.model()
    outcome = unlearner.remove([3])
    after = unlearner.predictor.model()
    changed = sum(int((before[k] != after[k]).sum()) for k in before)
    touched = sum(int((before[k] != after[k]).reshape(len(before[k]), -1).any(axis=1).sum()) for k in before)
    assert 0 < changed <= outcome.figures["weights"] < sum(v.size for v in before.values())
    assert touched <= 2 * outcome.figures["units"]
    step = np.sqrt(sum(float(((after[k] - before[k]).astype(np.float64) ** 2).sum()) for k in before))
    assert step == pytest.approx(outcome.figures["step_norm"], rel=1e-3)


def test_identical_layers_have_their_own_record():
    unlearner = scrubber(Mlp(hidden=(8, 8, 8)))
    unlearner.fit(*data(), 0)
    names = {"3.weight", "5.weight"}
    assert names <= set(unlearner.predictor.history.gradient_change)
    for record in (unlearner.predictor.history.gradient_change, unlearner.predictor.history.weight_change):
        assert not torch.equal(record["3.weight"], record["5.weight"])


def test_what_harms_the_network_is_taken_back_and_the_rows_stay():
    unlearner = fitted(scrubber(selector="all", mode="ascent", lr=50.0, max_rise=None, val_gap=0.05))
    before = unlearner.predictor.model()
    outcome = unlearner.remove([3])
    assert outcome.outcome == "refused"
    assert "validation accuracy fell from" in outcome.reason
    assert outcome.figures["validation_accuracy"] < 0.9
    assert same(before, unlearner.predictor.model())
    assert unlearner.predictor.kept.all()
    unlearner.val_gap = None
    assert unlearner.remove([3]).outcome == "removed"  # it is still there to be removed
    assert not unlearner.predictor.kept[3]


def beyond(unlearner, part=None):
    """With a step that no setting can ask for."""
    object.__setattr__(getattr(unlearner, part) if part else unlearner, "lr", 1e39)
    return unlearner


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: beyond(scrubber(selector="all", mode="ascent", max_rise=None), "scrub"), "not finite"),
        (lambda: beyond(GradientAscent(NetworkModel(learner()), val_gap=None)), "not finite"),
        (lambda: Finetune(NetworkModel(learner()), lr=1e15, epochs=9, val_gap=None), "not finite"),
        (lambda: scrubber(selector="all", curvature="exact", l2=1e-9), "not positive definite"),
    ],
)
def test_what_diverges_is_refused_and_the_network_as_it_was(make, reason):
    unlearner = fitted(make())
    before = unlearner.predictor.model()
    outcome = unlearner.remove([3])
    assert outcome.outcome == "refused"
    assert reason in outcome.reason
    assert "\n" not in outcome.reason
    assert same(before, unlearner.predictor.model())
    assert unlearner.predictor.kept.all()


def test_an_empty_selection_is_refused():
    unlearner = fitted("lcodec")
    with torch.no_grad():
        for parameter in unlearner.predictor.module.parameters():
            parameter.zero_()
    before = unlearner.predictor.model()
    outcome = unlearner.remove([3])
    assert (outcome.outcome, outcome.reason[:15]) == ("refused", "empty selection")
    assert same(before, unlearner.predictor.model())


@dataclass(frozen=True)
class Unitless:
    """A network without a layer that has units."""

    name: str = "unitless"
    weights: str | None = None

    def build(self, shape, classes):
        class Scale(nn.Module):
            def __init__(self):
                super().__init__()
                self.weight = nn.Parameter(torch.ones(shape[0]))

            def forward(self, x):
                return (x * self.weight)[:, :classes]

        return Scale()


def test_a_network_without_units_is_named_at_once():
    with pytest.raises(InvalidValue, match="Conv2d or Linear"):
        fitted(scrubber(Unitless()))


def test_without_training_the_published_curvature_is_refused_at_once():
    untrained = Training(optimizer="sgd", epochs=0)
    with pytest.raises(InvalidValue, match=r"^curvature: got 'fd', allowed: exact, ggn or kfac"):
        fitted(_scrubbed(Scrub.published(), untrained))
    with pytest.raises(InvalidValue, match=r"^penalty: got None, allowed: a number >= 0"):
        fitted(_scrubbed(Scrub(n_perturbations=60), untrained))
    known = Scrub(n_perturbations=60, penalty=0.0)
    assert fitted(_scrubbed(known, untrained)).remove([1]).outcome == "removed"


@pytest.mark.parametrize("other", [Softmax(), Mlp(hidden=(9,)), Mlp(hidden=(8, 8))])
def test_a_checkpoint_of_another_architecture_is_refused(other):
    state = fitted("lcodec").state()
    with pytest.raises(DataError, match=r"^checkpoint of another architecture: .*\d\.(weight|bias)"):
        scrubber(other).load_state(state, *data())


def test_batch_norm_statistics_stay():
    from expunge.models import Torchvision

    unlearner = scrubber(Torchvision(name="resnet18", arch="resnet18"), n_perturbations=12, max_rise=None)
    x, y = networks.pictures(24, size=32)
    unlearner.fit(x, y, 0)
    before = unlearner.predictor.model()
    assert unlearner.remove([3]).outcome == "removed"
    after = unlearner.predictor.model()
    norms = [k for k in before if "running" in k or "num_batches" in k or ".bn" in k]
    assert len(norms) > 60
    assert all(np.array_equal(before[k], after[k]) for k in norms)


@pytest.mark.parametrize("method", METHODS)
def test_bad_requests_are_named_and_change_nothing(method):
    unlearner = fitted(method)
    before = unlearner.predictor.model()
    for rows in ([], [120], [-1], [2, 2], [0.5], list(range(120))):
        with pytest.raises(InvalidValue, match=r"^rows: got"):
            unlearner.remove(rows)
    assert same(before, unlearner.predictor.model())


def test_losses_and_gradient_norm_are_of_the_rows_asked_for():
    unlearner = fitted("none")
    x, y = data()
    logits = unlearner.predictor.module(torch.from_numpy(x).float())
    expected = nn.functional.cross_entropy(logits, torch.from_numpy(y), reduction="none")
    np.testing.assert_allclose(unlearner.predictor.losses(x, y, [4, 2]), expected[[4, 2]].detach(), rtol=1e-5)
    expected[[4, 2]].mean().backward()
    norm = torch.cat([p.grad.ravel() for p in unlearner.predictor.module.parameters()]).norm()
    assert unlearner.predictor.gradient_norm(x, y, [4, 2]) == pytest.approx(float(norm), rel=1e-5)


def test_validation_leaves_out_classes_that_were_never_trained_on():
    x, y = data()
    unlearner = METHODS["lcodec"]()
    unlearner.fit(x[y < 2], y[y < 2], 0)
    unlearner.validate_on(x, y)
    assert len(unlearner.validation_rows(np.array([0]))) == (y < 2).sum()
    found = unlearner.remove([0]).figures["validation_accuracy"]
    assert found == pytest.approx((unlearner.predictor.predict(x[y < 2]) == y[y < 2]).mean())
