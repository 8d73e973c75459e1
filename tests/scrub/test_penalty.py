"""Penalty and damping of the scrub: two numbers, of which the penalty says where the step should lead."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from expunge.core.errors import InvalidValue
from expunge.curvature import Block
from expunge.curvature.gradients import cross_entropy, mean_gradient
from expunge.models import Mlp, Softmax
from expunge.predictors.network import NetworkModel
from expunge.scrub import Problem, Scrub
from expunge.scrub.outputs import refit
from expunge.training import Learner, Training
from expunge.unlearners.lcodec import Lcodec
from tests import cli, networks
from tests.oracles import curvature as dense
from tests.problems import method
from tests.scrub.test_scrub import generator, history_of, rng
from tests.unlearners.test_lcodec_linear import data as linear_data

WHOLE = {"selector": "all", "curvature_rows": None, "curvature_tol": 1e-12, "max_rise": None}
EXACT = {**WHOLE, "curvature": "exact"}


def trained(module, losses, x, y, index, penalty):
    """The problem of a network at the minimum with ``penalty``, and the weights retrained without rows."""
    every = networks.examples(x, y, size=len(x))
    networks.objective_minimum(module, losses, next(iter(every)), penalty, steps=15)
    retrained = deepcopy(module)
    stay = np.setdiff1d(np.arange(len(x)), index)
    networks.objective_minimum(retrained, losses, every.take(stay), penalty, steps=15)
    problem = Problem.removing(module, losses, every, index, penalty=penalty)
    return problem, networks.flat(retrained)


def distance(problem, target, scrub=None):
    """||w - w_retrained||, of doing nothing or after a scrub."""
    module = deepcopy(problem.module)
    if scrub is not None:
        scrub.propose(problem, rng(), generator()).apply(module)
    return float(torch.linalg.vector_norm(networks.flat(module) - target))


def softmax_problem():
    x, y = networks.blobs(400, 6, 3, spread=0.7)
    return trained(networks.softmax(6, 3), cross_entropy, x, y, [3], 1e-4)


def test_the_default_takes_the_penalty_of_the_training():
    """With one number for both, 0.01, the step led further away than doing nothing."""
    problem, target = softmax_problem()
    idle, both = distance(problem, target), distance(problem, target, Scrub(**EXACT, l2=0.01, penalty=0.01))
    own, stated = (
        distance(problem, target, Scrub(**EXACT)),
        distance(problem, target, Scrub(**EXACT, l2=1e-4)),
    )
    print(f"softmax, decay 1e-4: nothing {idle:.3g}, one number 0.01 {both:.3g}, default {own:.3g}")
    assert own == stated < 0.01 * idle
    assert both > 1.5 * idle
    damped = distance(problem, target, Scrub(**EXACT, l2=0.01))
    assert own < damped < idle  # damping shortens the step; it does not lead elsewhere


@pytest.mark.parametrize("penalty", [0.0, 1e-3, 0.05])
@pytest.mark.parametrize("index", [[7], [3, 11, 20]])
def test_ridge_lands_on_the_retrained_weights_whatever_the_penalty(index, penalty):
    x, _ = networks.blobs(40, 6)
    y = x @ rng(1).normal(size=6) + rng(2).normal(size=40)
    problem, target = trained(nn.Linear(6, 1).double(), networks.squared_losses, x, y, index, penalty)
    idle = distance(problem, target)
    for curvature in ("exact", "ggn"):
        landed = distance(problem, target, Scrub(**{**EXACT, "curvature": curvature}, l2=penalty or 1e-12))
        assert landed < 1e-8 * idle
    wrong = distance(problem, target, Scrub(**EXACT, l2=penalty or 1e-12, penalty=penalty + 0.1))
    assert wrong > 1e-3 * idle


@settings(max_examples=10, deadline=None)
@given(
    st.sampled_from(["exact", "ggn", "kfac", "fd", "fisher"]),
    st.floats(0, 1),
    st.floats(1e-3, 10),
    st.integers(0, 9),
)
def test_sekhari_is_the_equation_with_two_numbers(curvature, penalty, l2, row):
    x, y = networks.blobs(30, 3)
    module, every = networks.softmax(3, 3), networks.examples(x, y, size=30)
    earlier = deepcopy(module)
    with torch.no_grad():
        for p in earlier.parameters():
            p += 0.05
    history = history_of(earlier, module, cross_entropy, list(every))
    problem = Problem.removing(module, cross_entropy, every, [row], history, penalty)
    step = Scrub(**{**WHOLE, "curvature": curvature}, l2=l2).propose(problem, rng(), generator()).step
    bare = Scrub(**{**WHOLE, "curvature": curvature}, l2=l2, penalty=0.0).propose(problem, rng(), generator())
    block = Block.of(module, {"1": range(3)})
    slope = block.gather(mean_gradient(module, cross_entropy, [problem.sample]))
    if curvature == "exact":
        x_kept, y_kept = problem.retained.take(problem.retained.rows)
        hessian = dense.full_hessian(module, cross_entropy, x_kept, y_kept, {"1": range(3)})
        shifted = hessian + l2 * torch.eye(len(hessian), dtype=hessian.dtype)  # l2 not rounded to float32
        expected = torch.linalg.solve(shifted, slope + penalty * block.read(module)) / 29
        np.testing.assert_allclose(step, expected, rtol=1e-6, atol=1e-10)
    # Linear in the right side: what the penalty adds is the same system solved for penalty w.
    doubled = replace(problem, penalty=2 * penalty)
    twice = Scrub(**{**WHOLE, "curvature": curvature}, l2=l2).propose(doubled, rng(), generator()).step
    np.testing.assert_allclose(twice - bare.step, 2 * (step - bare.step), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("settings_", [{"mode": "cr", "l2": 0.5}, {"mode": "ascent"}])
@pytest.mark.parametrize("curvature", ["exact", "kfac", "fisher"])
def test_other_modes_do_without_the_penalty(settings_, curvature):
    x, y = networks.blobs(30, 4)
    every = networks.examples(x, y)
    history = history_of(networks.softmax(4, 3, 1), networks.softmax(4, 3), cross_entropy, list(every))
    scrub = Scrub(**{**WHOLE, "curvature": curvature, **settings_})
    steps = [
        scrub.propose(
            Problem.removing(networks.softmax(4, 3), cross_entropy, every, [4], history, penalty),
            rng(),
            generator(),
        ).step
        for penalty in (None, 0.0, 0.3)
    ]
    assert torch.equal(steps[0], steps[1])
    assert torch.equal(steps[0], steps[2])


@pytest.mark.parametrize(
    "scrub",
    [Scrub(), Scrub(l2=0.1), Scrub(mode="cr"), Scrub(mode="ascent", noise_epsilon=1.0, selector="all")],
)
def test_an_unknown_penalty_is_one_line(scrub):
    x, y = networks.blobs(30, 4)
    problem = Problem.removing(networks.softmax(4, 3), cross_entropy, networks.examples(x, y), [4])
    with pytest.raises(
        InvalidValue, match=r"^penalty: got None, allowed: a number >= 0: .* 0 where there was none$"
    ):
        scrub.propose(problem, rng(), generator())
    assert replace(scrub, penalty=0.0, n_perturbations=50).propose(problem, rng(), generator()).step.any()


def test_an_emptied_label_asks_for_the_penalty_before_anything_is_computed():
    x, y = networks.blobs(30, 4)
    every = networks.examples(x, y)
    problem = Problem.removing(networks.softmax(4, 3), cross_entropy, every, np.flatnonzero(y == 1))
    with pytest.raises(InvalidValue, match=r"^penalty: got None"):
        Scrub(mode="ascent", selector="all").propose(problem, rng(), generator())


@pytest.mark.parametrize("penalty", [-0.1, float("nan"), "much", True])
def test_bad_penalties_are_named(penalty):
    x, y = networks.blobs(30, 4)
    for make in (
        lambda: Scrub(penalty=penalty),
        lambda: Problem.removing(
            networks.softmax(4, 3), cross_entropy, networks.examples(x, y), [4], None, penalty
        ),
    ):
        with pytest.raises(InvalidValue, match=r"^penalty: got"):
            make()


def test_damping_is_the_penalty_unless_it_is_given():
    every = networks.examples(*networks.blobs(30, 4))
    problem = Problem.removing(networks.softmax(4, 3), cross_entropy, every, [4], penalty=1e-4)
    assert Scrub().damping(problem) == 1e-4
    assert Scrub(penalty=0.3).damping(problem) == 0.3
    assert Scrub(l2=0.2).damping(problem) == 0.2
    assert Scrub(penalty=0.0).damping(problem) == 0.01  # without any, low rank has no solution
    assert Scrub.published().damping(problem) == 0.01
    assert Scrub.published(l2=0.2, penalty=0.0).penalty_of(problem) == 0.0


def test_without_a_penalty_an_output_without_rows_is_as_low_as_its_gradient_says():
    x, y = networks.blobs(60, 4)
    module, stay = networks.softmax(4, 3), networks.examples(x, y, np.flatnonzero(y != 1))
    refit(module, stay, [1], 0.0)
    inputs, targets = stay.take(stay.rows)
    loss = cross_entropy(module(inputs), targets).mean()
    slope = torch.autograd.grad(loss, module[1].weight)[0][1]
    assert float(slope.abs().max()) < 1e-6
    assert not (module(inputs).argmax(dim=1) == 1).any()


# -- through the unlearner and the command -------------------------------------------------------------------


def scrubber(decay, epochs=3, architecture=None, **settings_):
    training = Training(optimizer="sgd", epochs=epochs, lr=0.1, batch_size=16, weight_decay=decay)
    learner = Learner(architecture or Softmax(), training, "cpu", None, progress=False, threads=1)
    return Lcodec(NetworkModel(learner), val_gap=None, **{"n_perturbations": 60, **settings_})


@pytest.mark.parametrize("decay", [0.0, 1e-4, 0.02])
def test_a_network_brings_the_decay_it_was_trained_with(decay):
    unlearner = scrubber(decay)
    unlearner.fit(*networks.blobs(90, 6), 0)
    assert unlearner.target.problem(np.array([3])).penalty == decay
    assert unlearner.remove([3]).outcome == "removed"


def test_weights_from_elsewhere_need_it_stated():
    with pytest.raises(InvalidValue, match=r"^penalty: got None, .*training.epochs is 0"):
        scrubber(0.01, epochs=0, architecture=Mlp(hidden=(8,))).fit(*networks.blobs(90, 6), 0)
    stated = scrubber(0.01, epochs=0, penalty=0.0)
    stated.fit(*networks.blobs(90, 6), 0)
    assert stated.remove([3]).outcome == "removed"


def test_the_linear_model_brings_lam():
    """With l2 = 0.01 for lam = 1e-3 the scrub was not the Newton step; now it is, by default."""
    residuals = []
    for settings_ in ({}, {"l2": 0.01, "penalty": 0.01}):
        exact = {"selector": "all", "curvature": "exact", "curvature_rows": None, "curvature_tol": 1e-12}
        unlearner = method(Lcodec, lam=1e-3, std=1.0, val_gap=None, **exact, **settings_)
        unlearner.fit(*linear_data(), 0)
        assert unlearner.target.problem(np.array([3])).penalty == 1e-3
        unlearner.remove([3])
        residuals.append(unlearner.predictor.residual())
    assert residuals[0] < 0.05 * residuals[1]


def test_a_command_takes_a_training_without_decay(tmp_path):
    given_ = ("model=softmax", "training.epochs=1", "training.weight_decay=0", "removal.count=1")
    cache = f"cache_dir={tmp_path / 'cache'}"
    folder = cli.completed(*cli.SMALL, *given_, "unlearner=lcodec", cache, folder=tmp_path / "run")
    assert cli.summary(folder)["removed"] == 1
    ended = cli.expunge(
        *cli.SMALL, *given_, "unlearner=lcodec_published", cache, "hydra.run.dir=no", cwd=tmp_path
    )
    assert (ended.code, ended.err) == (2, "expunge: unlearner.l2: got 0, allowed: a finite number > 0\n")
    unknown = (*given_[:1], "training.epochs=0", "unlearner=lcodec", cache, "hydra.run.dir=no")
    ended = cli.expunge(*cli.SMALL, *unknown, cwd=tmp_path)
    assert ended.code == 2
    assert ended.err.startswith("expunge: unlearner.penalty: got None, allowed: a number >= 0")
    assert not (tmp_path / "no").exists()
