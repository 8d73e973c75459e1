"""Groups of models that are kept: once for all runs, never from a file that is not what it says."""

from __future__ import annotations

import logging
import os

import numpy as np
import pytest
import torch

from expunge.core.files import State, save_state
from expunge.core.seeds import torch_draws_from
from expunge.models import Mlp
from expunge.studies.evaluation_games import Sgd
from expunge.studies.evaluations import Evaluations
from expunge.studies.kept import Kept
from expunge.studies.perceptrons import Perceptrons
from expunge.training import Training
from tests import networks

FROM = {"study": "s", "models": 3, "how": {"lr": 0.5, "epochs": 2}}
WHOLE = {"w": np.arange(6.0).reshape(3, 2)}


class Made:
    """Counts how often models are trained."""

    def __init__(self, arrays=WHOLE):
        self.arrays, self.times = arrays, 0

    def __call__(self):
        self.times += 1
        return self.arrays


def test_what_was_made_once_is_read_by_others(tmp_path):
    make = Made()
    first = Kept(tmp_path / "cache")
    assert first.through(FROM, make)["w"] is first.through(FROM, make)["w"]
    other = Kept(tmp_path / "cache").through(FROM, make)
    np.testing.assert_array_equal(other["w"], WHOLE["w"])
    assert make.times == 1
    (file,) = (tmp_path / "cache").iterdir()
    assert file.suffix == ".safetensors", "no lock, and no part, is left"
    Kept(tmp_path / "cache").through({**FROM, "models": 4}, make)
    Kept(None).through(FROM, make)
    assert make.times == 3


@pytest.mark.parametrize("how", ["cut", "changed", "foreign", "nan", "single", "nothing", "text", "folder"])
def test_a_file_that_is_not_what_it_says_is_not_used(tmp_path, caplog, how):
    make = Made()
    Kept(tmp_path).through(FROM, make)
    (file,) = tmp_path.iterdir()
    said = {"made_from": dict(FROM)}
    content = file.read_bytes()
    if how == "cut":
        file.write_bytes(content[:-8])
    elif how == "changed":
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif how == "foreign":  # whole, and of other settings
        save_state(file, State(WHOLE, {"made_from": {**FROM, "models": 4}}))
    elif how == "nan":
        save_state(file, State({"w": np.full((3, 2), np.nan)}, said))
    elif how == "single":
        save_state(file, State({"w": np.ones((3, 2), dtype=np.float32)}, said))
    elif how == "nothing":
        save_state(file, State({}, said))
    elif how == "text":
        file.write_text("weights")
    else:
        file.unlink()
        file.mkdir()
    caplog.clear()
    found = Kept(tmp_path).through(FROM, make)
    np.testing.assert_array_equal(found["w"], WHOLE["w"])
    assert make.times == 2
    if how != "folder":
        assert "cannot be used" in caplog.text
        assert "the models are trained again" in caplog.text
        Kept(tmp_path).through(FROM, make)
        assert make.times == 2, "and they are kept"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to_costs_a_line(tmp_path, caplog):
    tmp_path.chmod(0o500)
    kept = Kept(tmp_path)
    for models in (3, 4):
        kept.through({**FROM, "models": models}, Made())
    assert caplog.text.count("groups of models are not kept") == 1


def test_a_file_in_place_of_the_folder_costs_a_line(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    np.testing.assert_array_equal(Kept(tmp_path / "file").through(FROM, Made())["w"], WHOLE["w"])
    assert "groups of models are not kept" in caplog.text


SMALL = {"dataset": "digits_3v8", "rows": 60, "forget": 10, "probed": 20, "models": 8, "resamples": 20}
SMALL |= {"forget_sets": ["random"], "sgd": {"epochs": 3, "lr": 1.0, "batch_size": 30, "weight_decay": 0.0}}


def test_an_added_method_trains_only_what_is_missing(tmp_path, monkeypatch, caplog):
    """Another setting of one method leaves all other groups as they are; another of training none."""
    caplog.set_level(logging.INFO, logger="expunge")
    trained = []
    whole = Sgd._trained
    monkeypatch.setattr(Kept, "_put", _counting(Kept._put, trained))
    cell = {"forget_set": "random", "training": "sgd", "method": "finetune"}
    records = [Evaluations(**SMALL, cache=tmp_path).run_cell(cell, 0)]
    assert len(trained) == 5, "reference, originals of both games, fine-tuned in both"
    records.append(Evaluations(**SMALL, cache=tmp_path).run_cell(cell, 0))
    assert len(trained) == 5
    assert records[0] == records[1] == Evaluations(**SMALL).run_cell(cell, 0)
    trained.clear()
    Evaluations(**SMALL, methods={"finetune": {"epochs": 1}}, cache=tmp_path).run_cell(cell, 0)
    assert len(trained) == 2, "fine-tuned in both games"
    trained.clear()
    Evaluations(**{**SMALL, "models": 9}, cache=tmp_path).run_cell(cell, 0)
    assert len(trained) == 5
    assert whole is Sgd._trained


def _counting(put, trained):
    def counted(self, path, found, ingredients):
        if path is not None:
            trained.append(ingredients)
        return put(self, path, found, ingredients)

    return counted


# -- networks, all at once ------------------------------------------------------------------------------


def alone(x, y, begin, batches, how, forget=None, alpha=1.0):
    """Train one network of torch's, step by step, on these batches (of forget rows beside them)."""
    module = Mlp(hidden=(7,)).build((x.shape[1],), 3).double()
    torch.nn.utils.vector_to_parameters(begin.clone(), module.parameters())
    optimizer = torch.optim.SGD(module.parameters(), 1.0, how.momentum, weight_decay=how.weight_decay)
    loss = torch.nn.functional.cross_entropy
    for step, rows in enumerate(batches):
        optimizer.param_groups[0]["lr"] = how.rate(step, len(batches))
        optimizer.zero_grad()
        total = alpha * loss(module(x[rows]), y[rows])
        if forget is not None:
            total = total - (1 - alpha) * loss(module(x[forget[step]]), y[forget[step]])
        total.backward()
        optimizer.step()
    return torch.nn.utils.parameters_to_vector(module.parameters()).detach()


def batches_of(rows, how, rng):
    """What each model sees at each step, as the rules say: every row once an epoch, in its own order."""
    steps = []
    for _ in range(how.epochs):
        order = rng.permuted(rows, axis=1)
        steps += [order[:, start:stop] for start, stop in how.batches(rows.shape[1])]
    return steps


def interleaved(rows, forget, how, rng):
    """The same of rows that stay, and of forget rows beside them, which begin anew when they are through."""
    steps, beside, left = [], [], []
    for _ in range(how.epochs):
        order = rng.permuted(rows, axis=1)
        for start, stop in how.batches(rows.shape[1]):
            steps.append(order[:, start:stop])
            if not left:
                again = rng.permuted(forget, axis=1)
                left = [again[:, one:two] for one, two in how.batches(forget.shape[1])]
            beside.append(left.pop(0))
    return steps, beside


@pytest.fixture(scope="module")
def three():
    """Four networks on rows of three classes in float64, and the settings of their training."""
    x, y = networks.blobs(40, 5, 3)
    made = Perceptrons(x, y, 3, 7, torch.float64)
    how = Training(optimizer="sgd", epochs=3, lr=0.2, momentum=0.9, weight_decay=0.01, batch_size=8)
    rows = np.random.default_rng(3).permuted(np.tile(np.arange(40), (4, 1)), axis=1)[:, :30]
    return made, made.begin(4, np.random.default_rng(1)), rows, how


def test_networks_trained_together_are_those_trained_one_by_one(three):
    made, begin, rows, how = three
    found = made.train(begin, rows, how, np.random.default_rng(2))
    steps = batches_of(rows, how, np.random.default_rng(2))
    for k in range(4):
        expected = alone(made.x, made.codes, begin[k], [step[k] for step in steps], how)
        torch.testing.assert_close(found[k], expected, rtol=1e-9, atol=1e-9)
    assert not torch.allclose(found[0], found[1])


def test_methods_on_networks_together_are_those_one_by_one(three):
    made, begin, rows, _ = three
    step = Training(optimizer="sgd", lr=0.1, momentum=0.0, weight_decay=0.0, schedule="constant")
    forget = np.setdiff1d(np.arange(40), rows[0])[None].repeat(4, axis=0)
    climbed = made.ascend(begin, forget, 0.1, 4)
    for k in range(4):
        w = begin[k]
        for _ in range(4):  # down the negative of it
            w = 2 * w - alone(made.x, made.codes, w, [forget[k]], step)
        torch.testing.assert_close(climbed[k], w, rtol=1e-9, atol=1e-9)
    how = three[3]
    found = made.neggrad(begin, rows, forget, 0.8, how, np.random.default_rng(5))
    steps, beside = interleaved(rows, forget, how, np.random.default_rng(5))
    for k in range(4):
        own = [[step[k] for step in one] for one in (steps, beside)]
        expected = alone(made.x, made.codes, begin[k], own[0], how, own[1], 0.8)
        torch.testing.assert_close(found[k], expected, rtol=1e-9, atol=1e-9)


def test_first_weights_and_outputs_are_those_of_torchs_layers(three):
    made, begin, *_ = three
    rng = np.random.default_rng(1)
    with torch_draws_from(torch.Generator().manual_seed(int(rng.integers(2**63 - 1)))):
        modules = [Mlp(hidden=(7,)).build((5,), 3).double() for _ in range(4)]
    outputs = made.outputs(begin.numpy(), made.x.numpy())
    for k, module in enumerate(modules):
        flat = torch.nn.utils.parameters_to_vector(module.parameters())
        torch.testing.assert_close(begin[k], flat.detach(), rtol=1e-12, atol=0)
        np.testing.assert_allclose(outputs[k], module(made.x).detach().numpy(), rtol=1e-9, atol=1e-12)


def test_the_study_takes_networks_too():
    cell = {"forget_set": "random", "training": "sgd", "method": "retrain"}
    found = Evaluations(**{**SMALL, "sgd": {**SMALL["sgd"], "epochs": 20}}, hidden=8).run_cell(cell, 0)
    low, high = found["floor"]["ruli_efficacy_auc"][1:]
    assert 0 < low <= high < 1
    assert found["forget_accuracy"] > 0.8
