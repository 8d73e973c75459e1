"""What a run asks of its parts, and what is said of parts that lack it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from omegaconf import OmegaConf
from safetensors.numpy import load_file
from torch import nn

from expunge.core.errors import InvalidValue, UserError
from expunge.datasets import mnist_3v8
from expunge.extractors.pixels import Pixels
from expunge.metrics.accuracy import Accuracy
from expunge.models import Mlp
from expunge.predictors.linear import LinearModel
from expunge.record.requests import RandomRows
from expunge.run.linear_settings import linear_model
from expunge.run.protocols import require_complete, require_protocol
from expunge.run.targets import build
from expunge.tracking.none import NoTracker
from expunge.unlearners import Method
from expunge.unlearners.newton import Newton
from tests import cli


@pytest.mark.parametrize(
    ("group", "made"),
    [
        ("unlearner", Newton(LinearModel())),
        ("metrics.accuracy", Accuracy()),
        ("extractor", Pixels()),
        ("tracker", NoTracker()),
        ("removal", RandomRows()),
        ("model", Mlp()),
        ("training", object()),
    ],
)
def test_ours_have_all(group, made):
    require_protocol(group, "a.b.C", made)


class Net(nn.Module):
    """A network, and no family of networks."""


class Nameless(Method):
    """Has no ``remove``."""


class Older:
    """A metric from before columns had definitions."""

    columns = ("one",)
    every = 1

    def __call__(self, view):
        return {"one": 1.0}


@dataclass(frozen=True)
class Family:
    """All that is asked of a family of networks."""

    name: str = "family"
    weights: None = None

    def build(self, shape, classes):
        return Net()


def test_what_is_missing_is_named_with_its_arguments():
    lacks = r"^model: a\.Net lacks the method build\(shape, classes\), the attribute name, .* weights$"
    with pytest.raises(UserError, match=lacks):
        require_protocol("model", "a.Net", Net())
    with pytest.raises(UserError, match=r"^metrics\.toy: a\.B lacks .*, the method __call__\(view\)$"):
        require_protocol("metrics.toy", "a.B", object())
    require_protocol("metrics.toy", "a.B", Older())
    require_protocol("model", "a.B", Family())


def test_a_family_of_networks_is_a_dataclass():
    class Plain(Net):
        name, weights = "plain", None

        def build(self, shape, classes):
            return self

    with pytest.raises(UserError, match=r"^model: a\.B is a Plain, allowed: a frozen dataclass"):
        require_protocol("model", "a.B", Plain())


def test_a_method_without_remove_is_not_made():
    with pytest.raises(UserError, match=r"^unlearner: a\.B lacks the method remove\(rows\)$"):
        require_complete("unlearner", "a.B", Nameless)


def test_a_data_set_is_a_dataset(tmp_path):
    require_protocol("dataset", "a.b", mnist_3v8.load(tmp_path))
    with pytest.raises(UserError, match=r"^dataset: a\.b returns dict, allowed: an expunge\.datasets"):
        require_protocol("dataset", "a.b", {})


def test_an_argument_that_nobody_gives_is_named():
    with pytest.raises(UserError, match=r"^removal\.rows: missing; expunge\.record\.requests\.ListedRows"):
        build("removal", {"_target_": "expunge.record.requests.ListedRows"})


# One problem for every method


def settings(**unlearner):
    model = {"lam": 1e-3, "std": 10.0, "subsample_ratio": 1.0, "joint_training": True}
    training = {"tol": 1e-8, "max_iter": 200}
    return {
        "model": model,
        "training": training,
        "unlearner": model | training | unlearner,
        "progress": False,
    }


def test_either_name_sets_the_problem():
    both = settings(lam=0.1, tol=1e-4)
    model = linear_model(both, {"unlearner.lam"})
    assert (model.lam, model.std, model.tol, model.max_iter) == (0.1, 10.0, 1e-4, 200)
    both["unlearner"] = {}
    assert linear_model(both, ()).lam == 1e-3


def test_two_names_with_two_values_are_refused():
    refused = r"^unlearner\.lam: got 0\.1, allowed: the value of model\.lam, 0\.001, or one of the two alone$"
    with pytest.raises(InvalidValue, match=refused):
        linear_model(settings(lam=0.1), {"unlearner.lam", "model.lam"})
    assert linear_model(settings(), {"unlearner.lam", "model.lam"}).lam == 1e-3


@pytest.mark.parametrize(("typed", "named"), [("model.lam", "model.lam"), ("unlearner.lam", "unlearner.lam")])
def test_a_bad_value_is_named_as_it_was_given(typed, named):
    wrong = settings(lam=0)
    wrong["model"]["lam"] = 0
    with pytest.raises(InvalidValue, match=rf"^{named}: got 0, allowed: a finite number > 0"):
        linear_model(wrong, {typed})


@pytest.mark.parametrize(("given", "lam"), [("unlearner.lam=0.1", 0.1), ("model.lam=0.1", 0.1)])
def test_every_method_of_a_sweep_solves_one_problem(tmp_path, given, lam):
    """The same b and lam: retraining and the certified method begin with the same weights."""
    how = (*cli.SMALL, given, "removal.count=1", "hydra.sweep.dir=sweep", "figures=false")
    ended = cli.expunge("-m", "unlearner=newton,retrain,none,lcodec", *how, cwd=tmp_path)
    assert (ended.code, ended.err) == (0, ""), ended.err
    runs = [path.parent for path in sorted(tmp_path.glob("sweep/*/summary.json"))]
    assert len(runs) == 4
    before = {cli.summary(run)["test_accuracy_before"] for run in runs}
    b = [load_file(run / "model.safetensors")["perturbation"].tolist() for run in runs]
    assert len(before) == 1
    assert b[0] == b[1] == b[2] == b[3]
    for run in runs:
        recorded = OmegaConf.load(run / ".hydra" / "config.yaml")
        assert recorded.unlearner.lam == lam


def test_two_names_with_two_values_end_with_one_line(tmp_path):
    ended = cli.expunge(*cli.SMALL, "model.lam=0.1", "unlearner.lam=0.2", cwd=tmp_path)
    assert ended.code == 2
    allowed = "the value of model.lam, 0.1, or one of the two alone"
    assert ended.err == f"expunge: unlearner.lam: got 0.2, allowed: {allowed}\n"
