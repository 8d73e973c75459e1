"""The door for torch: ``Scrub.remove`` makes of a module and loaders what ``unlearner=lcodec`` does."""

from __future__ import annotations

import threading
from copy import deepcopy
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call, grad, hessian
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

import expunge
from expunge import Scrub
from expunge.core.errors import DataError, InvalidValue, UserError
from expunge.datasets import digits
from expunge.datasets.images import Images
from expunge.datasets.loaders import joined, read
from expunge.models import Mlp
from expunge.predictors.network import NetworkModel
from expunge.training import Learner, Training
from expunge.unlearners.lcodec import Lcodec
from tests import networks

FAST = {"n_perturbations": 60, "threads": 1, "penalty": 0.01}
PICTURES, LABELS = networks.pictures(60, 8)
SET = TensorDataset(torch.tensor(PICTURES).permute(0, 3, 1, 2) / 255 - 0.5, torch.tensor(LABELS))


def cnn():
    return networks.small_cnn().float()


def but(leave, n=60):
    return [row for row in range(n) if row not in leave]


def removed(model, leave=(7, 2), rows=SET, scrub=None, **how):
    """Remove these rows, in batches of another size than anything here has."""
    stay = DataLoader(Subset(rows, but(leave, len(rows))), batch_size=17)
    how = {"forget": Subset(rows, list(leave)), "retain": stay, **how}
    return (Scrub(**FAST) if scrub is None else scrub).remove(model, **how)


def bits(module):
    return {name: value.numpy().tobytes() for name, value in module.state_dict().items()}


class Sure(nn.Module):
    """Puts out NaN, as a network that has diverged."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(192, 3)

    def forward(self, x):
        return self.inner(x.flatten(1)) / 0


# -- the same as the command ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes", [{}, {"curvature": "ggn", "selector": "random"}, {"noise_epsilon": 100.0}]
)
def test_it_is_the_first_request_of_the_method(changes):
    """The method trains; the door is given what came of it. Weights, figures and outcome are the same."""
    training = Training(optimizer="sgd", epochs=2, lr=0.1, batch_size=16, weight_decay=0.01)
    learner = Learner(Mlp(hidden=(8,)), training, "cpu", progress=False, threads=1)
    how = {**FAST, **changes}
    method = Lcodec(NetworkModel(learner), **how)
    method.fit(Images.of(PICTURES, 255.0, 0.5), LABELS, 3)
    method.validate_on(Images.of(PICTURES, 255.0, 0.5), LABELS)
    network = deepcopy(method.predictor.module)
    outcome = method.remove([7, 2])
    found = removed(network, scrub=Scrub(**how), validation=SET, seed=3)
    kept = "noise_epsilon" not in changes  # which costs more than the guard allows
    assert (found.removed, found.taken_back) == (outcome.outcome == "removed", not kept) == (kept, not kept)
    assert found.reason == outcome.reason
    assert found.figures == outcome.figures
    assert bits(found.model) == bits(method.predictor.module)
    assert (bits(found.model) != bits(network)) == kept
    assert not kept or found.after.validation == outcome.figures["validation_accuracy"]


@pytest.mark.parametrize("request_of", [[17, 4], "class"])
def test_it_is_the_request_of_the_command(request_of, tmp_path):
    """From one run the network before, from another after; where a class leaves, its output is refitted."""
    x, y = (part[np.arange(1797) % 5 != 4][:300] for part in digits.read())
    leave = np.flatnonzero(y == 3).tolist() if request_of == "class" else request_of
    asked = {
        "dataset": "digits",
        "dataset.train_rows": 300,
        "model": "mlp",
        "training.epochs": 5,
        "training.weight_decay": 0.01,
    }
    asked |= {"removal.rows": [leave], "figures": False, "threads": 1, "seed": 5, "metrics": []}
    before = expunge.run({**asked, "unlearner": "none"}, folder=str(tmp_path / "before")).model.arrays
    how = {"unlearner": "lcodec", "unlearner.n_perturbations": 60, "unlearner.val_gap": None}
    after = expunge.run({**asked, **how}, folder=str(tmp_path / "after"))
    network = Mlp().build((1, 8, 8), 10)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in before.items()})
    rows = TensorDataset(torch.tensor(x)[:, None] / 16 - 0.5, torch.tensor(y))
    scrub = Scrub(n_perturbations=60, threads=1, penalty=0.01)
    found = removed(network.eval(), leave, rows, scrub, seed=5, val_gap=None)
    assert found.removed
    assert found.refitted == ([3] if request_of == "class" else [])
    assert bits(found.model) == {name: value.tobytes() for name, value in after.model.arrays.items()}
    assert found.step_norm == after.removals["step_norm"].iloc[0]


def test_all_units_and_the_exact_curvature_are_the_newton_step():
    """``w + m/(n-m) (H + l2)^{-1} (grad f + l2 w)`` of dense derivatives, written down from the equation."""
    x, y = networks.blobs(30, 4)
    rows, network, l2 = TensorDataset(torch.tensor(x), torch.tensor(y)), networks.softmax(4, 3), 0.1
    exact = Scrub(selector="all", curvature="exact", curvature_rows=None, curvature_tol=1e-12, penalty=l2)
    found = removed(network, (3, 11), rows, Scrub(**{**vars(exact), "max_rise": None}))
    shapes = {name: p.shape for name, p in network.named_parameters()}

    def mean_loss(w, index):
        parts = w.split([shape.numel() for shape in shapes.values()])
        given = {name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}
        outputs = functional_call(network, given, torch.tensor(x[index]))
        return nn.functional.cross_entropy(outputs, torch.tensor(y[index]))

    w = nn.utils.parameters_to_vector(network.parameters()).detach()
    curved = hessian(partial(mean_loss, index=but((3, 11), 30)))(w) + l2 * torch.eye(len(w), dtype=w.dtype)
    step = 2 / 28 * torch.linalg.solve(curved, grad(partial(mean_loss, index=[3, 11]))(w) + l2 * w)
    after = nn.utils.parameters_to_vector(found.model.parameters()).detach()
    torch.testing.assert_close(after, w + step, rtol=1e-9, atol=1e-12)
    assert found.step_norm == pytest.approx(float(step.norm()))


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(size=st.integers(1, 70), plain=st.booleans(), workers=st.just(0))
def test_how_rows_come_in_batches_does_not_matter(size, plain, workers):
    rows = Subset(SET, but((7, 2)))
    found = removed(cnn(), retain=rows if plain else DataLoader(rows, size, num_workers=workers))
    assert bits(found.model) == bits(removed(cnn()).model)


def test_what_a_loader_draws_comes_of_the_seed():
    """A shuffled loader gives the same each time, whatever torch's own numbers are."""
    found = []
    for before in (1, 2):
        torch.manual_seed(before)
        shuffled = DataLoader(Subset(SET, but((7, 2))), 16, shuffle=True)
        found.append(bits(removed(cnn(), retain=shuffled, seed=4).model))
    assert found[0] == found[1]


# -- what stays as it is ----------------------------------------------------------------------------------


def in_use():
    """A network in the middle of something: in training, one part frozen, one part not in training."""
    network = cnn().train()
    network[1].eval()
    network[0].weight.requires_grad_(False)
    return network


@pytest.mark.parametrize("in_place", [False, True])
def test_everything_but_the_weights_stays(in_place):
    network = in_use()
    before, modes = bits(network), [part.training for part in network.modules()]
    random = torch.get_rng_state(), np.random.get_state()[1].tobytes()  # noqa: NPY002
    found = removed(network, in_place=in_place)
    assert (torch.get_rng_state() == random[0]).all()
    assert np.random.get_state()[1].tobytes() == random[1]  # noqa: NPY002
    assert found.removed
    assert found.model is network if in_place else found.model is not network
    assert (bits(network) != before) == in_place
    assert bits(found.model) == bits(removed(in_use()).model)
    for one in (network, found.model):
        assert [part.training for part in one.modules()] == modes
        assert [p.requires_grad for p in one.parameters()] == [False, *[True] * 7]
        assert all(p.grad is None for p in one.parameters())
    assert found.model[0].weight.numpy().tobytes() == before["0.weight"]  # frozen


def test_gradients_may_be_switched_off_around_it():
    network = cnn()
    with torch.no_grad():
        first = removed(network)
    with torch.inference_mode():
        second = removed(network)
    assert bits(first.model) == bits(second.model) == bits(removed(network).model)
    assert all(p.requires_grad and not p.is_inference() for p in second.model.parameters())


# -- the guard, and labels without rows -------------------------------------------------------------------


@pytest.mark.parametrize("in_place", [False, True])
def test_an_update_that_costs_accuracy_is_taken_back(in_place):
    network = cnn()
    every = TensorDataset(SET.tensors[0], network(SET.tensors[0]).argmax(dim=1))  # of which it knows all
    leave = np.flatnonzero(every.tensors[1] == every.tensors[1][0])[:1].tolist()
    harm = Scrub(
        n_perturbations=60, selector="all", mode="ascent", lr=1e3, max_rise=None, refit_outputs=False
    )
    before = bits(network)
    found = removed(network, leave, every, harm, validation=every, in_place=in_place)
    assert (found.removed, found.taken_back) == (False, True)
    assert found.reason.startswith("validation accuracy fell from 1.0000 to 0.")
    assert found.reason.endswith("by more than val_gap 0.05")
    assert bits(found.model) == bits(network) == before
    assert found.after == found.before
    assert found.before.validation == 1.0
    assert found.step_norm > 0
    kept = removed(network, leave, every, harm, validation=every, val_gap=None)
    assert kept.removed
    assert kept.after.validation < 0.95


def test_an_update_that_cannot_be_made_is_a_reason():
    """A network that looks at no input has the same loss for every copy, and nothing can be selected."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    nn.init.zeros_(network[1].weight)
    found = removed(network)
    assert (found.removed, found.taken_back, found.figures, found.units) == (False, False, {}, [])
    assert found.reason.startswith("empty selection")
    assert found.step_norm is None
    assert bits(found.model) == bits(network)


def test_a_label_without_rows_is_refitted_and_one_that_left_before_keeps_its_number():
    kept = torch.tensor([row for row in range(60) if LABELS[row] != 0])  # 0 has left some time before
    rows = TensorDataset(SET.tensors[0][kept], SET.tensors[1][kept])
    leave = np.flatnonzero(rows.tensors[1] == 1).tolist()
    found = removed(cnn(), leave, rows, validation=SET)
    assert found.removed
    assert found.refitted == [1]
    assert found.figures["outputs_refitted"] == 1
    assert found.before.validation == pytest.approx(
        float((cnn()(SET.tensors[0]).argmax(1) == 2)[LABELS == 2].double().mean())
    )


def test_outputs_that_cannot_be_refitted_are_a_reason_and_nothing_was_made():
    """What follows the last linear layer hides its outputs; the selected units had changed by then."""
    leave = np.flatnonzero(LABELS == 1).tolist()
    network = nn.Sequential(*cnn(), nn.LogSoftmax(dim=1))
    found = removed(network, leave)
    assert found.reason.startswith("the network's last linear layer is not its output")
    assert (found.removed, found.taken_back, found.units, found.refitted) == (False, False, [], [])
    assert bits(found.model) == bits(network)


def test_sequences_reach_the_network_with_the_axes_that_they_have():
    class Sequence(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.out = nn.Linear(5, 6), nn.Linear(6, 3)

        def forward(self, x):
            assert x.shape[1:] == (7, 5)
            return self.out(self.inner(x).relu().mean(dim=1))

    torch.manual_seed(0)
    rows = TensorDataset(torch.randn(40, 7, 5), torch.arange(40) % 3)
    assert removed(Sequence(), rows=rows).removed


def test_a_compiled_network_is_scrubbed_as_it_was_written():
    network = cnn()
    found = removed(torch.compile(network, backend="eager"), in_place=True)
    assert found.removed
    assert bits(network) == bits(removed(cnn()).model)


def test_rows_that_leave_and_stay_at_once_are_named(caplog):
    removed(cnn(), retain=SET)
    assert "2 of the 2 rows of forget are in it" in caplog.text
    caplog.clear()
    removed(cnn())
    assert not caplog.text


# -- what is refused --------------------------------------------------------------------------------------

X, Y = SET.tensors
EMPTY = TensorDataset(X[:0], Y[:0])


class Locked(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(192, 3))
        self.lock = threading.Lock()


class Pictures(Dataset):
    def __len__(self):
        return 3

    def __getitem__(self, row):
        return object(), 0


WRONG = {
    "no rows": ({"forget": DataLoader(EMPTY)}, "forget: got 'no row', allowed: a DataLoader or Dataset"),
    "no batch": ({"retain": []}, "retain: got 'no row'"),
    "no validation": ({"validation": EMPTY}, "validation: got 'no row'"),
    "rows left out": (
        {"retain": DataLoader(SET, 7, drop_last=True)},
        "retain: got 'drop_last=True', allowed",
    ),
    "inputs alone": ({"forget": DataLoader(X)}, "forget: got 'a batch that is a Tensor', allowed: pairs"),
    "three": (
        {"forget": TensorDataset(X, Y, Y)},
        "forget: got 'a batch that is a list of 3', allowed: pairs",
    ),
    "a tensor": ({"forget": X}, "forget: got 'Tensor', allowed: a DataLoader or Dataset of"),
    "a number": ({"forget": 3}, "forget: got 'int', allowed: a DataLoader or Dataset of"),
    "not two tensors": ({"forget": [(X, [0])]}, "forget: got 'a batch of Tensor and list', allowed: pairs"),
    "no tensors": ({"forget": Pictures()}, "forget: got 'Pictures', allowed: a DataLoader or Dataset of"),
    "bytes": ({"forget": [(X.to(torch.uint8), Y)]}, "forget: got 'a batch of torch.uint8 .60, 3, 8, 8. and"),
    "real labels": ({"forget": [(X, Y.double())]}, "forget: got 'a batch of torch.float32 .* torch.float64"),
    "lengths": ({"forget": [(X, Y[:2])]}, "forget: got 'a batch of torch.float32 .* torch.int64 .2,.'"),
    "shapes": ({"retain": [(X, Y), (X[..., :4], Y)]}, "retain: got 'inputs of shape .* after "),
    "other shapes": ({"forget": [(X[..., :4], Y)]}, "inputs: got 'shapes .* and .*', allowed: one shape"),
    "a label too large": ({"forget": [(X[:1], Y[:1] + 3)]}, "forget: got 'label 3', allowed: class numbers"),
    "a label below 0": (
        {"retain": [(X, Y - 1)]},
        "retain: got 'label -1', allowed: class numbers from 0 to 2",
    ),
    "of validation": ({"validation": [(X, Y + 1)]}, "validation: got 'label 3', allowed: class numbers"),
    "no network": ({"model": 3}, "model: got 'int', allowed: a torch module with parameters"),
    "no parameters": ({"model": nn.Flatten()}, "model: got 'Flatten', allowed: a torch module with"),
    "parallel": ({"model": nn.DataParallel(cnn())}, "model: got 'DataParallel', allowed: the network inside"),
    "no units": ({"model": nn.Sequential(nn.BatchNorm2d(3))}, "model: got 'Sequential', allowed: .* Linear"),
    "NaN": ({"model": Sure()}, "model: got 'outputs for rows of retain that are not finite', allowed"),
    "inputs it cannot take": ({"model": nn.Sequential(nn.Linear(5, 3))}, "retain: got 'inputs of shape"),
    "not a row of outputs": (
        {"model": nn.Sequential(nn.Conv2d(3, 3, 1))},
        "model: got 'outputs .60, 3, 8, 8.",
    ),
    "one output": (
        {"model": nn.Sequential(nn.Flatten(), nn.Linear(192, 1))},
        r"model: got 'outputs \(60, 1\) for 60 rows', allowed: one number for each of K >= 2",
    ),
    "no penalty": ({"scrub": Scrub(n_perturbations=60)}, "penalty: got None, allowed: a number >= 0"),
    "no record": ({"scrub": Scrub.published()}, "curvature: got 'fd', allowed: exact, ggn or kfac for"),
    "no copy": ({"model": Locked()}, "model: got 'Locked', allowed: a network that can be copied .cannot"),
    "a gap": ({"val_gap": 2}, "val_gap: got 2, allowed"),
    "a seed": ({"seed": -1}, "seed: got -1, allowed"),
    "in place": ({"in_place": "yes"}, "in_place: got 'yes', allowed: true or false"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_a_line(case):
    changes, line = WRONG[case]
    asked = {"model": cnn(), "retain": [(X, Y)], **changes}
    before = bits(asked["model"]) if isinstance(asked["model"], nn.Module) else None
    with pytest.raises(InvalidValue, match=f"^{line}") as caught:
        removed(**asked)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, UserError)
    assert before is None or bits(asked["model"]) == before


def test_a_row_with_a_hole_is_a_line():
    spoilt = X[:20].clone()
    spoilt[13, 0, 0, 0] = torch.nan
    with pytest.raises(DataError, match=r"^retain: row 13 holds NaN or infinity$"):
        removed(cnn(), retain=DataLoader(TensorDataset(spoilt, Y[:20]), 7))


def test_batches_are_copied():
    """A loader may use the memory of a batch again."""
    memory, labels = torch.zeros(2, 4), torch.zeros(2, dtype=torch.int32)

    def batches():
        for number in range(3):
            memory.fill_(number)
            labels.fill_(number)
            yield memory, labels

    x, y = joined([read(batches(), "forget")])
    assert x.raw[:, 0].tolist() == y.tolist() == [0, 0, 1, 1, 2, 2]
    assert torch.equal(x.batch([2, 4])[:, 1], torch.tensor([1.0, 2.0]))


def test_numbers_of_other_types_become_those_of_the_network():
    found = removed(cnn(), rows=TensorDataset(X.double(), Y.int()))
    assert bits(found.model) == bits(removed(cnn()).model)
    assert read([(X.bfloat16(), Y)], "forget").x[0].dtype == np.float32
