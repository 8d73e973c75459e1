"""What bounds a scrub: ``max_rise`` on the length of its step, ``refit_outputs`` for labels without rows."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from torch import nn

from expunge.app import config_dir
from expunge.curvature.gradients import cross_entropy
from expunge.models import Mlp
from expunge.predictors.network import NetworkModel
from expunge.scrub import Problem, Scrub, ScrubError
from expunge.scrub.outputs import emptied, refit
from expunge.scrub.steps import mean_loss, some_of
from expunge.training import Learner, Training
from expunge.unlearners.lcodec import Lcodec
from expunge.unlearners.retrain import Retrain
from tests import cli, networks
from tests.problems import method
from tests.unlearners.test_lcodec_linear import data as linear_data

ASCENT = {"selector": "all", "mode": "ascent", "lr": 30.0, "curvature_rows": None}
OWN_STEP = {"selector": "all", "mode": "cr", "l2": 1e-6, "curvature_rows": None}


def generator():
    return torch.Generator().manual_seed(0)


def rng():
    return np.random.default_rng(0)


def copy_of(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(module, before):
    return all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def problem(index=4, losses=cross_entropy, dtype=torch.float64):
    """One row of 60 to be removed from a softmax regression that is not trained."""
    x, y = networks.blobs(60, 4)
    stay = networks.examples(x, y, np.delete(np.arange(60), index), dtype=dtype)
    return Problem(networks.softmax(4, 3).to(dtype), losses, stay.take([index]), stay, 60, None, 0.01)


# -- max_rise -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_rise", [1e-4, 0.01, 0.1])
@pytest.mark.parametrize("settings", [ASCENT, OWN_STEP])
def test_the_step_is_halved_until_the_loss_holds(settings, max_rise):
    task = problem()
    scrub = Scrub(max_rise=max_rise, **settings)
    whole = replace(scrub, max_rise=None).propose(task, rng(), generator())
    bound = scrub.propose(task, rng(), generator())
    start = mean_loss(task, task.retained)

    def rise(share):
        return mean_loss(task, task.retained, whole.block, share * whole.step) - start

    halvings = int(-np.log2(bound.share))
    assert bound.share == 0.5**halvings < 1
    assert torch.equal(bound.step, bound.share * whole.step)
    assert rise(bound.share) <= max_rise
    assert all(rise(0.5**fewer) > max_rise for fewer in range(halvings))
    assert bound.figures["step_share"] == bound.share


def test_null_never_shortens_and_neither_does_a_step_that_is_allowed():
    task = problem()
    free = Scrub(**{**ASCENT, "lr": 1e6}, max_rise=None).propose(task, rng(), generator())
    assert (free.share, free.figures["step_share"]) == (1.0, 1.0)
    short = Scrub(**{**ASCENT, "lr": 1e-3}).propose(task, rng(), generator())
    unbound = Scrub(**{**ASCENT, "lr": 1e-3}, max_rise=None).propose(task, rng(), generator())
    assert short.share == 1.0
    assert torch.equal(short.step, unbound.step)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_looking_at_steps_leaves_the_network_bit_for_bit(dtype):
    task = problem(dtype=dtype)
    before = copy_of(task.module)
    assert Scrub(**ASCENT).propose(task, rng(), generator()).share < 1
    with pytest.raises(ScrubError):
        Scrub(**{**ASCENT, "lr": 1e9}, max_rise=1e-9).propose(task, rng(), generator())
    assert same(task.module, before)


def test_the_loss_is_that_of_some_of_the_rows():
    task = problem()
    bound = Scrub(**{**ASCENT, "curvature_rows": 5}).propose(task, rng(), generator())
    rows = some_of(task.retained, 5, rng())
    assert (len(rows), len(set(rows.rows))) == (5, 5)
    assert set(rows.rows) <= set(task.retained.rows)
    now, twice = (mean_loss(task, rows, bound.block, times * bound.step) for times in (1, 2))
    assert now <= mean_loss(task, rows) + 0.01 < twice
    assert some_of(task.retained, 59, rng()) is some_of(task.retained, None, rng()) is task.retained


def test_a_loss_that_is_not_a_number_is_too_high():
    def fragile(outputs, targets):
        losses = 0 * cross_entropy(outputs, targets)
        return torch.where(outputs.abs().amax(dim=1) > 20, torch.nan, losses) + 1e-3 * outputs[:, 0]

    task = problem(losses=fragile)
    scrub = Scrub(**{**ASCENT, "lr": 1e6}, max_rise=1e3)
    bound = scrub.propose(task, rng(), generator())
    assert bound.share < 1
    assert np.isfinite(mean_loss(task, task.retained, bound.block, bound.step))
    assert np.isnan(mean_loss(task, task.retained, bound.block, 2 * bound.step))


def test_noise_is_added_to_the_share_and_must_be_finite():
    task, settings = problem(), {**ASCENT, "lr": 30.0}
    quiet = Scrub(**settings).propose(task, rng(), generator())
    loud = Scrub(**settings, noise_epsilon=1.0).propose(task, rng(), generator())
    drawn = torch.randn(quiet.block.size, generator=generator(), dtype=torch.float64)
    np.testing.assert_allclose(loud.step, quiet.step + loud.noise_std * drawn, rtol=1e-12)
    assert loud.share == quiet.share < 1
    with pytest.raises(ScrubError, match="not finite"):
        Scrub(**settings, noise_epsilon=1e-308, l2=1e-9).propose(task, rng(), generator())


def test_the_published_settings_are_those_of_the_paper_and_of_the_files():
    ours, theirs = asdict(Scrub()), asdict(Scrub.published())
    bounded = {"max_rise": 0.01, "refit_outputs": True, "l2": None, "penalty": None}
    bounded |= {"selection": "by_class"}
    assert theirs | {"curvature": "kfac", "noise_epsilon": None, **bounded} == (
        ours | {"curvature_rows": 2048, "curvature_tol": 1e-4}
    )
    other = {"curvature": "kfac", "l2": 0.5}
    assert Scrub.published(**other) == replace(Scrub.published(), penalty=0.5, **other)
    assert (Scrub.published().l2, Scrub.published().penalty) == (0.01, 0.01)
    with initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
        for name, expected in (("lcodec", ours), ("lcodec_published", theirs)):
            chosen = compose("config", overrides=[f"unlearner={name}"]).unlearner
            found = {key: chosen[key] for key in expected if key != "threads"}
            assert chosen.name == name
            assert found == {key: expected[key] for key in found}


# -- refit_outputs ------------------------------------------------------------------------------------------


def network(bias=True, seed=0, dtype=torch.float64):
    """6-5-4 with tanh; the classes are not told apart yet."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4, bias=bias)
        return nn.Sequential(nn.Flatten(), *layers).to(dtype)


def without(labels, dtype=torch.float64):
    """80 rows of four classes, and as rows that stay those that have none of ``labels``."""
    x, y = networks.blobs(80, 6, 4)
    return networks.examples(x, y, np.flatnonzero(~np.isin(y, labels)), dtype=dtype, size=13)


def whole_loss(module, stay, units, labels, l2):
    """Mean cross-entropy of the rows that stay, and the penalty of ``units`` (labels, in [+ bias])."""
    x, y = stay.take(stay.rows)
    inputs, head = module[:-1](x), module[-1]
    rows, number = torch.eye(4, dtype=torch.float64)[:, labels], head.in_features
    others = 1 - rows.sum(dim=1)
    weight = others[:, None] * head.weight.detach() + rows @ units[:, :number]
    outputs = inputs @ weight.T
    if head.bias is not None:
        outputs = outputs + others * head.bias.detach() + rows @ units[:, number]
    return nn.functional.cross_entropy(outputs, y) + l2 / 2 * (units**2).sum()


def units_of(module, labels):
    head = module[-1]
    parts = [head.weight[labels]] + ([] if head.bias is None else [head.bias[labels, None]])
    return torch.cat(parts, dim=1).detach().clone()


def oracle(module, stay, labels, l2):
    """Torch's own L-BFGS on the whole loss, from somewhere else."""
    units = units_of(module, labels).requires_grad_()
    search = torch.optim.LBFGS(
        [units], max_iter=2000, tolerance_grad=1e-11, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure():
        search.zero_grad()
        loss = whole_loss(module, stay, units, labels, l2)
        loss.backward()
        return loss

    search.step(closure)
    return units.detach()


@pytest.mark.parametrize("l2", [1e-4, 0.01])
@pytest.mark.parametrize("labels", [[2], [0, 3]])
@pytest.mark.parametrize("bias", [True, False])
def test_outputs_without_rows_are_at_the_minimum(bias, labels, l2):
    module, stay = network(bias), without(labels)
    expected, before = oracle(module, stay, labels, l2), copy_of(module)
    undo = refit(module, stay, labels, l2)
    found = units_of(module, labels).requires_grad_()
    np.testing.assert_allclose(found.detach(), expected, rtol=1e-4, atol=1e-5)
    (slope,) = torch.autograd.grad(whole_loss(module, stay, found, labels, l2), found)
    assert float(slope.abs().max()) < 1e-6
    others = np.setdiff1d(range(4), labels)
    for name, value in module.state_dict().items():
        if name.startswith("3."):
            assert torch.equal(value[others], before[name][others])
            assert not (value[labels] == before[name][labels]).any()
        else:
            assert torch.equal(value, before[name])
    undo()
    assert same(module, before)


def test_a_network_in_single_precision_is_put_back_bit_for_bit():
    module, stay = network(dtype=torch.float32).train(), without([1], torch.float32)
    before = copy_of(module)
    undo = refit(module, stay, [1], 0.01)
    assert not same(module, before)
    assert all(part.training for part in module.modules())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
    undo()
    assert same(module, before)
    wide = network()
    wide.load_state_dict(before)
    refit(module, stay, [1], 0.01)
    refit(wide, without([1]), [1], 0.01)
    np.testing.assert_allclose(units_of(module, [1]), units_of(wide, [1]), rtol=1e-3, atol=1e-5)


def test_labels_are_emptied_only_when_no_row_that_stays_has_them():
    stay = without([2])
    assert emptied([2, 2], stay) == [2]
    assert emptied([3, 2, 0], stay) == [2]  # 0 and 3 have rows
    assert emptied([1], stay) == []
    assert emptied([3, 2], without([3, 2])) == [2, 3]


# -- both, in the unlearner ---------------------------------------------------------------------------------

TRAINING = Training(optimizer="sgd", epochs=15, lr=0.2, batch_size=16, weight_decay=0.01)


def data():
    return networks.blobs(120, 6, 3, spread=0.6)


def learner(architecture=None, **training):
    training = replace(TRAINING, **training)
    return Learner(architecture or Mlp(hidden=(8,)), training, "cpu", None, progress=False, threads=1)


def scrubber(architecture=None, val_gap=None, **settings):
    return Lcodec(NetworkModel(learner(architecture)), val_gap=val_gap, **{"n_perturbations": 60, **settings})


def fitted(*arguments, rows=None, **settings):
    unlearner = scrubber(*arguments, **settings)
    unlearner.fit(*(rows or data()), 0)
    return unlearner


def of_class(label):
    return np.flatnonzero(data()[1] == label)


def test_a_removed_class_is_never_predicted_again_as_after_retraining():
    x, y = networks.blobs(320, 10, 8, spread=0.6)
    gone, network = y == 1, learner(Mlp(hidden=(32,)), weight_decay=0.002)
    retrain = Retrain(NetworkModel(network))
    retrain.fit(x, y, 0)
    assert retrain.remove(np.flatnonzero(gone)).outcome == "retrained"
    assert 1 not in retrain.predictor.predict(x)
    predicted = {}
    for refitted in (True, False):
        scrub = Scrub(n_perturbations=60, l2=0.002, refit_outputs=refitted)
        unlearner = Lcodec(NetworkModel(network), val_gap=None, **vars(scrub))
        unlearner.fit(x, y, 0)
        outcome = unlearner.remove(np.flatnonzero(gone))
        assert outcome.outcome == "removed"
        assert outcome.figures.get("outputs_refitted") == (1 if refitted else None)
        predicted[refitted] = unlearner.predictor.predict(x)
    print("removed class, share still predicted without a refit:", np.mean(predicted[False][gone] == 1))
    assert 1 not in predicted[True]
    assert np.mean(predicted[False][gone] == 1) > 0.5  # what the refit is for
    assert np.mean(predicted[True][~gone] == y[~gone]) > 0.95


@pytest.mark.parametrize(("curvature", "lowers"), [("ggn", True), ("kfac", False)])
def test_with_few_other_labels_it_may_still_be_predicted(curvature, lowers):
    """The minimum is over this output alone: nothing lifts the other two outputs for the removed rows.

    It takes the place of what the step did to this output, be that too little or more than the refit does.
    """
    share = {}
    for refitted in (True, False):
        unlearner = fitted(refit_outputs=refitted, curvature=curvature)
        assert unlearner.remove(of_class(1)).outcome == "removed"
        share[refitted] = np.mean(unlearner.predictor.predict(data()[0])[of_class(1)] == 1)
    assert share[True] > 0
    assert (share[True] < share[False]) == lowers


def test_a_label_that_still_has_rows_is_not_touched():
    models = []
    for refitted in (True, False):
        unlearner = fitted(refit_outputs=refitted)
        outcome = unlearner.remove(of_class(1)[:-1])
        assert outcome.outcome == "removed"
        assert "outputs_refitted" not in outcome.figures
        models.append(unlearner.predictor.model())
    assert all(np.array_equal(value, models[1][name]) for name, value in models[0].items())


def test_the_last_row_of_a_label_refits_it_and_two_labels_go_at_once():
    unlearner = fitted()
    assert "outputs_refitted" not in unlearner.remove(of_class(1)[1:]).figures
    assert unlearner.remove(of_class(1)[:1]).figures["outputs_refitted"] == 1
    both = fitted()
    assert both.remove([*of_class(0), *of_class(2)]).figures["outputs_refitted"] == 2
    one, other = fitted(refit_outputs=False), both.predictor.model()["3.weight"]
    assert one.remove([*of_class(0), *of_class(2)]).outcome == "removed"
    rows = (one.predictor.model()["3.weight"] != other).any(axis=1)
    assert rows.tolist() == [True, False, True]


def test_what_the_guard_takes_back_is_taken_back_whole():
    unlearner = fitted(val_gap=0.05, selector="all", noise_epsilon=1e5)
    unlearner.validate_on(*data())
    before = unlearner.predictor.model()
    outcome = unlearner.remove(of_class(1))
    assert (outcome.outcome, outcome.figures["outputs_refitted"]) == ("refused", 1)
    assert "validation accuracy fell" in outcome.reason
    assert all(np.array_equal(value, before[name]) for name, value in unlearner.predictor.model().items())
    assert unlearner.predictor.kept.all()


def test_the_guard_does_not_count_labels_without_rows():
    x, y = data()
    unlearner = fitted(val_gap=0.05)
    unlearner.validate_on(x, y)
    outcome = unlearner.remove(of_class(1))
    assert (outcome.outcome, outcome.figures["outputs_refitted"]) == ("removed", 1)
    rest = y != 1
    assert outcome.figures["validation_accuracy"] == np.mean(unlearner.predictor.predict(x[rest]) == y[rest])
    assert np.mean(unlearner.predictor.predict(x) == y) < outcome.figures["validation_accuracy"] - 0.05


@dataclass(frozen=True)
class Ends:
    """A network that ends in something else than its last linear layer."""

    end: str
    name: str = "ends"
    weights: str | None = None

    def build(self, shape, classes):
        hidden = nn.Flatten(), nn.Linear(6, 8), nn.ReLU()
        ends = {
            "relu": nn.Sequential(*hidden, nn.Linear(8, classes), nn.ReLU(inplace=True)),
            "shared": _Twice(classes),
            "idle": _Idle(classes),
            "conv": nn.Sequential(nn.Unflatten(1, (6, 1, 1)), nn.Conv2d(6, classes, 1), nn.Flatten()),
        }
        return ends[self.end]


class _Twice(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.first, self.head = nn.Linear(6, classes), nn.Linear(classes, classes)

    def forward(self, x):
        return self.head(torch.tanh(self.head(self.first(x))))


class _Idle(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.head, self.auxiliary = nn.Linear(6, classes), nn.Linear(6, classes)

    def forward(self, x):
        return self.head(x)


@pytest.mark.parametrize("end", ["relu", "shared", "idle", "conv"])
def test_outputs_of_anything_but_the_last_linear_layer_are_refused(end):
    unlearner = fitted(Ends(end))
    before = unlearner.predictor.model()
    outcome = unlearner.remove(of_class(1))
    assert outcome.outcome == "refused"
    assert "linear layer" in outcome.reason
    assert "unlearner.refit_outputs=false" in outcome.reason
    assert all(np.array_equal(value, before[name]) for name, value in unlearner.predictor.model().items())
    assert unlearner.remove(of_class(1)[1:]).outcome == "removed"  # nothing to refit
    unlearner.scrub = replace(unlearner.scrub, refit_outputs=False)
    assert unlearner.remove(of_class(1)[:1]).outcome == "removed"


def test_no_share_that_will_do_is_a_refusal():
    unlearner = fitted(selector="all", mode="ascent", lr=1e9, max_rise=1e-9)
    before = unlearner.predictor.model()
    outcome = unlearner.remove([3])
    assert outcome.outcome == "refused"
    assert outcome.reason.endswith("raises the loss of the rows that stay by more than 1e-09")
    assert all(np.array_equal(value, before[name]) for name, value in unlearner.predictor.model().items())
    assert unlearner.predictor.kept.all()


def test_the_linear_model_bounds_its_step_and_has_no_outputs_to_refit():
    x, y = linear_data()
    ends = []
    for refitted in (True, False):
        settings = {"selector": "all", "mode": "ascent", "lr": 1e4, "refit_outputs": refitted}
        unlearner = method(Lcodec, val_gap=None, lam=1e-2, std=1.0, **settings)
        unlearner.fit(x, y, 0)
        outcome = unlearner.remove(np.flatnonzero(y == 1)[1:].tolist())  # without the class's last row
        assert outcome.outcome == "removed"
        assert 0 < outcome.figures["step_share"] < 1
        assert "outputs_refitted" not in outcome.figures
        ends.append(unlearner.predictor.w)
    np.testing.assert_array_equal(*ends)


def test_the_ledger_has_the_share(tmp_path):
    given = ("model=softmax", "training.epochs=1", "removal.count=2")
    ascent = ("unlearner=lcodec", "unlearner.selector=all", "unlearner.mode=ascent", "unlearner.lr=20")
    shares = {}
    for bound in ("1e-4", "null"):
        arguments = (*cli.SMALL, *given, *ascent, "unlearner.val_gap=null", f"unlearner.max_rise={bound}")
        folder = cli.completed(*arguments, f"cache_dir={tmp_path / 'cache'}", folder=tmp_path / bound)
        shares[bound] = [record["step_share"] for record in cli.records(folder)]
    assert shares["null"] == [1.0, 1.0]
    assert all(share == 0.5 ** round(-np.log2(share)) < 1 for share in shares["1e-4"])


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("max_rise=0", "max_rise: got 0, allowed: a finite number > 0"),
        ("max_rise=.inf", "max_rise: got '.inf', allowed: a finite number > 0"),
        ("max_rise=much", "max_rise: got 'much', allowed: a finite number > 0"),
        ("refit_outputs=1", "refit_outputs: got 1, allowed: true or false"),
        ("refit_outputs=null", "refit_outputs: got None, allowed: true or false"),
    ],
)
def test_bad_values_are_one_line_that_names_the_key(argument, message, tmp_path):
    given = ("model=softmax", "unlearner=lcodec", f"unlearner.{argument}", "hydra.run.dir=run")
    ended = cli.expunge(*cli.SMALL, *given, cwd=tmp_path)
    assert ended.code == 2
    assert ended.err == f"expunge: unlearner.{message}\n"
    assert not (tmp_path / "run").exists()
