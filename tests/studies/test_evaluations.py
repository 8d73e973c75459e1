"""The study ``evaluations``: its heads beside the package's unlearners, its games, and its reduced run."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from omegaconf import OmegaConf

from expunge.core.errors import InvalidValue
from expunge.models import Softmax
from expunge.predictors.network import NetworkModel
from expunge.studies import two_digits
from expunge.studies.evaluated import attacked, evaluated, floor, inferred
from expunge.studies.evaluation_games import METHODS, Data, Group
from expunge.studies.evaluations import SHOWN, Evaluations
from expunge.studies.heads import Heads
from expunge.training import Learner, Training
from expunge.unlearners.finetune import Finetune
from expunge.unlearners.gradient_ascent import GradientAscent
from expunge.unlearners.neggrad import Neggrad
from tests import cli, networks
from tests.charts.sound import sound

RUN = ("+experiment=compare/evaluations_reduced", "threads=1")
WHOLE = {"optimizer": "sgd", "epochs": 3, "lr": 0.3, "momentum": 0.5, "weight_decay": 0.01}
WHOLE |= {"batch_size": 10**6, "schedule": "cosine"}  # a batch is all rows: their order is no matter
FORGET = np.array([0, 4, 7, 9])
CHECKED = ("klom_forget", "epsilon", "ulira_auc", "ulira_accuracy")
RULI = tuple(f"ruli_{game}_auc" for game in ("privacy", "vulnerable", "efficacy"))


def network():
    """A softmax network in float64, and the same weights as a head: (1, d + 1, K)."""
    training = Training(optimizer="sgd", epochs=2, lr=0.1, batch_size=16, weight_decay=0.01)
    made = NetworkModel(Learner(Softmax(), training, "cpu", None, progress=False, threads=1))
    x, y = networks.blobs(40, 5, 3, seed=0)
    made.fit(x, y, 0)
    made.module.double()
    raw = torch.from_numpy(made.x.raw).double().numpy().reshape(40, -1)
    return made, Heads(raw, made.codes, 3, torch.float64), head_of(made)


def head_of(made):
    weight, bias = made.module.parameters()
    return torch.cat([weight.detach().T, bias.detach()[None]])[None].clone()


@pytest.mark.parametrize("method", ["finetune", "gradient_ascent", "neggrad"])
def test_a_head_is_changed_as_the_unlearner_of_that_name_changes_a_network(method):
    made, heads, w = network()
    stay, leave = np.setdiff1d(np.arange(40), FORGET)[None], FORGET[None]
    rng, how = np.random.default_rng(0), Training(**WHOLE)
    if method == "finetune":
        Finetune(made, **WHOLE, val_gap=None).remove(FORGET.tolist())
        w = heads.train(w, stay, how, rng)
    elif method == "neggrad":
        Neggrad(made, alpha=0.8, **WHOLE, val_gap=None).remove(FORGET.tolist())
        w = heads.neggrad(w, stay, leave, 0.8, how, rng)
    else:
        GradientAscent(made, lr=0.3, steps=4, val_gap=None).remove(FORGET.tolist())
        w = heads.ascend(w, leave, 0.3, 4)
    torch.testing.assert_close(w, head_of(made), rtol=1e-9, atol=1e-11)


def test_models_are_trained_each_by_itself():
    """A batch of models is what each is alone: a pass over its rows, every row once, in its own order."""
    _, heads, _ = network()
    rows = np.stack([np.arange(20), np.arange(20, 40)])
    w = heads.begin(2, np.random.default_rng(1))
    how = Training(**{**WHOLE, "momentum": 0.0, "weight_decay": 0.0})
    both = heads.train(w, rows, how, np.random.default_rng(2))
    for k in range(2):
        alone = heads.train(w[k : k + 1], rows[k : k + 1], how, np.random.default_rng(3))
        torch.testing.assert_close(both[k : k + 1], alone, rtol=1e-9, atol=1e-11)
    small = Training(**{**WHOLE, "batch_size": 3})
    again = [heads.train(w, rows, small, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert torch.equal(again[0], again[1])
    assert not torch.allclose(again[0], again[2])


def test_half_of_the_forget_set_is_drawn_for_each_model():
    data = Data(two_digits.load("digits_3v8")[0], 100, 20, 30, 0)
    for name in ("random", "neighbours"):
        halves = data.halves(name, 50)
        assert halves.shape == (50, 10)
        assert all(len(set(half)) == 10 and set(half) <= set(data.sets[name]) for half in halves.tolist())
        shares = np.bincount(halves.ravel(), minlength=100)[data.sets[name]] / 50
        assert 0.2 < shares.min() < shares.max() < 0.8
    far = ((data.x - data.x[0]) ** 2).sum(axis=1)
    assert far[data.sets["neighbours"]].max() <= np.sort(far)[19] + 1e-12


def group(rng, shift=0.0, models=40):
    forget, retain, test = (rng.normal(1 + shift, 1, (models, 30)) for _ in range(3))
    return Group(forget, retain, test, rng.normal(size=(models, 4)))


def test_of_known_answers_the_intervals_hold_them():
    """Of the same distribution: within the floor; far apart: at the ceiling; of nothing told: a half."""
    rng = np.random.default_rng(0)
    one, other, far = group(rng), group(rng), group(rng, 100.0)
    trained = rng.permuted(np.tile(np.arange(30) < 15, (40, 1)), axis=1)
    found, at = evaluated(one, other, 50, rng), floor(one, other, trained, 50, rng)
    for name in ("klom_forget", "epsilon"):
        assert at[name][1] <= found[name][0] <= at[name][2]
    ceiling = evaluated(far, other, 20, rng)
    assert ceiling["klom_forget"][0] == pytest.approx(np.log(1e5))
    assert (ceiling["epsilon"][0], ceiling["score"][0]) == (50, 0)
    for name, half in (("ulira_accuracy", 0.5), ("ulira_auc", 0.5), ("ulira_tpr", 0.01)):
        low, high = attacked(one, trained)[name][1:]
        assert low <= half <= high
        assert at[name][1] <= half <= at[name][2] + 0.005
    rng = np.random.default_rng(3)
    one, other, drawn = group(rng), group(rng), group(rng)
    same = inferred(one, other, drawn, drawn, trained)
    for game in ("privacy", "vulnerable", "efficacy"):
        low, high = same[f"ruli_{game}_auc"][1:]
        assert low <= 0.5 <= high
        assert at[f"ruli_{game}_auc"][1] <= 0.5 <= at[f"ruli_{game}_auc"][2]
    known = inferred(group(rng, 100.0), other, drawn, drawn, trained)
    assert known["ruli_efficacy_auc"][0] == known["ruli_efficacy_tpr"][0] == 1
    tenth = np.arange(30) < 3
    left = replace(one, forget=one.forget + 50.0 * trained * tenth)
    told = inferred(one, other, left, left, trained)
    assert told["ruli_vulnerable_auc"][0] > 0.7 > 0.6 > told["ruli_privacy_auc"][0] > 0.5


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"forget": 21}, "forget"),
        ({"forget_sets": ["far"]}, "forget_sets"),
        ({"sgd": {"lr": -1}}, "sgd.lr"),
        ({"sgd": {"optimizer": "adam"}}, "sgd"),
        ({"methods": {"salun": {}}}, "methods"),
        ({"methods": {"neggrad": {"alpha": 2}}}, "methods.neggrad.alpha"),
        ({"certified": {"delta": 2}}, "certified.delta"),
        ({"models": 4}, "models"),
        ({"dataset": "mnist"}, "dataset"),
        ({"hidden": 0}, "hidden"),
    ],
)
def test_settings_that_are_not_allowed_are_named(settings, named):
    with pytest.raises(InvalidValue) as error:
        Evaluations(**{"dataset": "digits_3v8", "rows": 120, "forget": 20, "probed": 20} | settings)
    assert error.value.name == named


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluations")
    ended = cli.expunge(*RUN, "hydra.run.dir=run", cwd=folder)
    assert ended.code == 0, ended.err
    return folder / "run"


def records(folder):
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def test_a_run_has_floor_and_ceiling_of_every_way_to_train(ran):
    found = {(r["forget_set"], r["training"], r["method"]): r for r in records(ran)}
    methods = [(training, method) for training, own in METHODS.items() for method in own]
    assert list(found) == [(rows, *one) for rows in ("random", "neighbours") for one in methods]
    outside = []  # of what holds with 95%
    for rows, training in dict.fromkeys((key[0], key[1]) for key in found):
        retrained, nothing = found[rows, training, "retrain"], found[rows, training, "none"]
        for name in CHECKED:
            low, high = retrained["floor"][name][1:]
            outside += [] if low <= retrained[name][0] <= high else [(rows, training, name)]
            assert nothing[name][0] > retrained[name][0], (rows, training, name)
        for (
            name
        ) in RULI:  # of so few models the floor is of 25 deals: the interval itself is asked for a half
            low, high = retrained[name][1:]
            outside += [] if low <= 0.5 <= high else [(rows, training, name)]
            assert nothing[name][0] > retrained[name][0], (rows, training, name)
            assert retrained["floor"][name][1] < 0.5 < retrained["floor"][name][2]
    assert len(outside) <= 3, outside  # of 28: more with a probability of .05
    assert found["random", "release", "none"]["epsilon"][0] == 50
    low, high = found["random", "release", "retrain"]["floor"]["epsilon"][1:]
    assert low - 0.3 <= found["random", "release", "newton_corrected"]["epsilon"][0] <= high + 0.3
    summary = json.loads((ran / "summary.json").read_text())
    assert set(SHOWN) < set(summary["rows"][0])
    assert len(summary["rows"]) == len(summary["table"]) == 16


def test_a_cell_is_the_same_without_those_before_it(ran):
    """So that a run which was cut short goes on to the same records."""
    settings = OmegaConf.to_container(OmegaConf.load(ran / ".hydra" / "config.yaml").study)
    settings.pop("_target_")
    for place in (3, 14):
        study = Evaluations(**settings, seed=0)
        cell = study.cells()[place]
        found = {"cell": place + 1, **cell, **study.run_cell(cell, 0)}
        whole = records(ran)[place]
        assert found == {key: value for key, value in whole.items() if key != "seconds"}


def test_the_picture_is_sound(ran):
    sound((ran / "figures" / "evaluations.svg").read_text(), "random rows", "a row and its nearest")
    assert imread(ran / "figures" / "evaluations.png").size
