"""Noisy fine-tuning: a step by hand, where it begins, what it counts, what it keeps, and what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from expunge.audit import auditing
from expunge.audit.problems import of_rows
from expunge.audit.worlds import Effort
from expunge.certificate.iteration import IterationGuarantee
from expunge.core.errors import BrokenInvariant, DataError, InvalidValue
from expunge.core.seeds import stream
from expunge.models import Mlp, Softmax
from expunge.predictors.network import NetworkModel
from expunge.record.folders.findings import BELOW, REFUTED
from expunge.record.written import write_summary
from expunge.training import Learner, Training
from expunge.unlearners.noisy_finetune import NoisyFinetune
from expunge.verify.verdict import verify
from tests import networks
from tests.cli import expunge

HOW = {"steps": 3, "lr": 0.05, "weight_decay": 0.5, "radius": 0.2, "clip": 0.3, "batch_size": 16}


def learner(architecture=None):
    how = Training(optimizer="sgd", epochs=2, lr=0.1, batch_size=16, weight_decay=0.01)
    return Learner(architecture or Mlp(hidden=(8,)), how, "cpu", None, progress=False, threads=1)


def data(n=60):
    return networks.blobs(n, 6, 3)


def noisy(architecture=None, **settings):
    return NoisyFinetune(NetworkModel(learner(architecture)), **{**HOW, **settings})


def fitted(seed=0, n=60, **settings):
    made = noisy(**settings)
    made.fit(*data(n), seed)
    return made


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)


# -- the steps ------------------------------------------------------------------------------------------


def by_hand(made, rows, number, n=60):
    """The noisy steps from the network as it is, softmax regression, with gradients from the formula."""
    x, y = (np.asarray(part) for part in data(n))
    plan, stay = made.guarantee, np.setdiff1d(np.arange(n), rows)
    orders, noise = stream(0, "scrub", 2, number), stream(0, "release", number)
    w = np.concatenate(
        [part.detach().double().numpy().ravel() for part in made.predictor.module.parameters()]
    )
    w = w * min(1, plan.radius / np.linalg.norm(w))
    order = orders.permutation(stay)
    for step in range(plan.steps):
        batch = order[16 * step : 16 * (step + 1)]
        weight, bias = w[:18].reshape(3, 6), w[18:]
        scores = x[batch] @ weight.T + bias
        p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        p[np.arange(len(batch)), y[batch]] -= 1
        gradient = np.concatenate([(p.T @ x[batch]).ravel(), p.sum(axis=0)]) / len(batch)
        gradient *= min(1, plan.clip / np.linalg.norm(gradient))
        w = w - plan.lr * (gradient + plan.decay * w) + plan.std * noise.normal(size=21)
    return w


def test_the_steps_are_those_of_the_equation():
    made = fitted(architecture=Softmax(), repair_epochs=0, releases=3)
    for number, rows in enumerate(([3], [5, 9]), start=1):
        expected = by_hand(made, [3, *(rows if number == 2 else ())], number)
        assert made.remove(rows).outcome == "removed"
        np.testing.assert_allclose(made.flat(), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("factor", [1.0, 1e3])
def test_where_it_began_is_a_point_of_the_ball(factor):
    """Two networks whose directions agree are one after the projection, and so is all that follows."""
    one, other = fitted(), fitted()
    with torch.no_grad():
        for parameter in other.predictor.module.parameters():
            parameter.mul_(factor * 2)
    assert np.linalg.norm(one.guarantee.start(one.flat())) == pytest.approx(0.2, rel=1e-9)
    one.remove([3])
    other.remove([3])
    for key, value in one.predictor.model().items():
        np.testing.assert_allclose(value, other.predictor.model()[key], atol=1e-5)


def test_rows_that_leave_have_no_part_in_it():
    """With the same start, nothing depends on what the rows that left were."""
    x, y = data()
    changed = np.asarray(x).copy()
    changed[[3, 5]] = 77.0
    found = []
    for inputs in (x, changed):
        made = noisy()
        made.fit(inputs, y, 0)
        made.put(np.linspace(-1, 1, len(made.flat())))
        made.remove([3, 5])
        found.append(made.predictor.model())
    assert same(*found)


def test_the_repair_is_training_on_the_rows_that_stay_and_costs_nothing():
    bare, repaired = fitted(repair_epochs=0), fitted(repair_epochs=3)
    one, other = bare.remove([3]), repaired.remove([3])
    assert one == other
    losses = [made.predictor.losses(*data(), np.arange(4, 60)).mean() for made in (bare, repaired)]
    assert losses[1] < 0.8 * losses[0]


def test_a_repair_that_diverges_is_left_out():
    made, bare = fitted(repair_lr=1e14), fitted(repair_epochs=0)
    made.remove([3])
    bare.remove([3])
    assert same(made.predictor.model(), bare.predictor.model())


# -- the count ------------------------------------------------------------------------------------------


def test_requests_are_served_until_the_releases_are_out_whatever_they_do_to_the_model():
    made = fitted(releases=4)
    spent = [made.remove([row]) for row in (3, 5, 9, 11)]
    assert [one.outcome for one in spent] == ["removed"] * 3 + ["refused"]
    assert spent[3].reason == "all 4 releases that the noise covers are out (releases)"
    epsilons = [one.epsilon_spent for one in spent]
    assert 0 < epsilons[0] < epsilons[1] < epsilons[2] == epsilons[3] <= 1.0
    assert {one.budget for one in spent} == {0.4}
    assert made.predictor.there.count == 57
    one = made.guarantee
    assert epsilons[0] == one.spent(2)


def test_the_claim_says_whose_noise_it_is():
    assert fitted().claim().guarantee.startswith("figures only: the noise is drawn from a seed")
    exact = fitted(noise="lattice").claim()
    assert exact.guarantee.startswith("release: whoever sees all of up to 2 models")
    assert exact.not_covered.startswith("the list of classes is public")
    assert fitted(seed=None).guarantee.noise == "lattice"


def test_noise_of_the_system_is_never_the_same_and_comes_on_a_lattice():
    found = []
    for _ in range(2):
        made = fitted(noise="lattice", repair_epochs=0)
        made.remove([3])
        found.append(made.flat())
    assert not np.array_equal(*found)
    assert made.draws_anew
    made.put_back(found[0][:, None])
    assert np.array_equal(made.weights_out[:, 0], found[0])


# -- what is kept ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", ["float", "lattice"])
def test_a_state_goes_on_and_has_nothing_of_the_network_without_noise(noise):
    made = fitted(noise=noise, releases=4)
    before = made.predictor.model()
    made.remove([3])
    state = made.state()
    assert not [name for name in state.arrays if name.startswith("history")]
    for name, value in before.items():
        assert not np.array_equal(state.arrays[f"module.{name}"], value)
    fresh = noisy(noise=noise, releases=4)
    fresh.load_state(state, *data())
    assert fresh.account == made.account
    if noise == "float":
        assert fresh.remove([7]) == made.remove([7])
        assert same(fresh.predictor.model(), made.predictor.model())


def test_a_network_without_a_seed_keeps_to_the_noise_of_the_system():
    made, fresh = fitted(seed=None), noisy()
    fresh.load_state(made.state(), *data())
    assert fresh.guarantee == made.guarantee
    assert fresh.draws_anew


def test_a_state_of_other_settings_is_refused():
    made = fitted(releases=4)
    made.remove([3])
    with pytest.raises(DataError, match=r"iteration\.epsilon"):
        noisy(releases=4, epsilon=2.0).load_state(made.state(), *data())
    state = made.state()
    state.values["iteration"]["released"] = 1
    with pytest.raises(DataError, match="released: got 1, and rows have left"):
        noisy(releases=4).load_state(state, *data())
    with pytest.raises(DataError, match="released: got 2, and the records say 3"):
        made.require_served({"removed": 2})


# -- what is refused ------------------------------------------------------------------------------------


class Statistics:
    """An architecture with BatchNorm."""

    weights = None
    name = "statistics"

    def build(self, shape, classes):
        return nn.Sequential(nn.Flatten(), nn.Linear(shape[0], 4), nn.BatchNorm1d(4), nn.Linear(4, classes))


def test_statistics_that_are_no_weights_are_refused():
    made = noisy()
    made.predictor.learner.architecture = Statistics()
    with pytest.raises(InvalidValue, match=r"^model: got 'a network with the statistics 2\.running_mean'"):
        made.fit(*data(), 0)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"epsilon": 0.0}, "epsilon"),
        ({"delta": 1.0}, "delta"),
        ({"releases": 1}, "releases"),
        ({"radius": -1.0}, "radius"),
        ({"clip": 0.0}, "clip"),
        ({"lr": 0.0}, "lr"),
        ({"weight_decay": 21.0}, "weight_decay"),
        ({"noise": "gauss"}, "noise"),
        ({"repair_epochs": -1}, "repair_epochs"),
        ({"repair_lr": 0.0}, "repair_lr"),
        ({"steps": 1.5}, "steps"),
    ],
)
def test_a_setting_that_is_none_is_refused_by_its_name(settings, name):
    with pytest.raises(InvalidValue) as error:
        noisy(**settings)
    assert error.value.name == name
    assert "\n" not in str(error.value)


# -- audited --------------------------------------------------------------------------------------------


def audited(method, pairs=80):
    x, y = data(120)
    found = auditing.audit(method, of_rows("blobs", np.asarray(x), y, 2), Effort(pairs, 50_000), seed=1)
    return found, {one.attack: one for one in found.found}


@pytest.mark.parametrize("noise", ["float", "lattice"])
def test_an_audit_stays_below_the_claim_and_comes_near_it_at_the_edge(noise):
    found, _ = audited(noisy(Softmax(), noise=noise, releases=3, delta=0.05))
    assert found.verdict == BELOW
    assert found.best.attack == "at the edge"
    assert 0.5 < float(found.best.epsilon.low) <= 1.0
    assert found.record("x", {})["holds"] == (noise == "lattice")


def test_noise_ten_times_too_small_is_refuted_by_every_attack_that_looks_at_it(monkeypatch):
    right = IterationGuarantee.noisy

    def weak(plan, x, rng):
        return x + 0.1 * (right(plan, x, rng) - x)

    monkeypatch.setattr(IterationGuarantee, "noisy", weak)
    found, by = audited(noisy(Softmax(), releases=3))
    assert found.verdict == REFUTED
    for attack in ("size of the noise", "at the edge", "change between releases", "learned test"):
        assert float(by[attack].epsilon.low) > 1.0, attack


def test_noise_that_is_used_again_is_refuted(monkeypatch):
    monkeypatch.setattr(NoisyFinetune, "_source", lambda self: stream(self.predictor.seed, "release", 1))
    found, by = audited(noisy(Softmax(), releases=3))
    assert found.verdict == REFUTED
    assert float(by["change between releases"].epsilon.low) > 1.0


def test_a_refusal_in_an_audit_is_no_release(monkeypatch):
    monkeypatch.setattr(
        NoisyFinetune, "remove", lambda self, rows: self._outcome("refused", np.array(rows), "no")
    )
    with pytest.raises(BrokenInvariant, match="outcome"):
        audited(noisy(Softmax(), releases=3), 4)


# -- on the command line --------------------------------------------------------------------------------


def test_a_run_of_exact_noise_says_what_it_promises(tmp_path):
    own = ["dataset=digits", "model=softmax", "training.epochs=1", "removal.count=2", "threads=1"]
    own += [
        "unlearner=noisy_finetune",
        "unlearner.noise=lattice",
        "unlearner.releases=3",
        "unlearner.repair_epochs=1",
    ]
    ended = expunge(*own, f"hydra.run.dir={tmp_path}", "metrics=[accuracy]", "figures=false", cwd=tmp_path)
    assert ended.code == 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["guarantee"].startswith("release: ")
    assert summary["epsilon_total"] == 1.0
    assert (summary["released"], summary["releases"]) == (3, 3)
    lines = [json.loads(line) for line in (tmp_path / "removals.jsonl").read_text().splitlines()]
    assert [line["outcome"] for line in lines] == ["removed"] * 2
    assert lines[0]["budget"] == lines[0]["residual_bound"] == 0.006
    assert 0 < lines[0]["epsilon_spent"] < lines[1]["epsilon_spent"] <= 1
    assert verify(tmp_path).accepted
    weaker = {**summary, "std": summary["std"] * 0.9}
    write_summary(tmp_path, weaker)
    (wrong,) = [line for line in verify(tmp_path).lines if line.holds is False and line.name == "noise"]
    assert wrong.recomputed > 1.0
    few = expunge(*own, f"hydra.run.dir={tmp_path / 'few'}", "unlearner.releases=2", cwd=tmp_path)
    assert few.code == 2
    assert "unlearner.releases: got 2, allowed: at least 3" in few.err
