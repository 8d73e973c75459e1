"""What the Python route of the scrub refuses at the door: one line that names what does not fit."""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import expunge
from expunge.core.errors import DataError, InvalidValue
from expunge.core.seeds import stream, torch_generator
from expunge.curvature import Block, GaussNewton, Hessian, KroneckerFactored
from expunge.curvature.gradients import cross_entropy, example_losses, mean_gradient
from expunge.datasets.images import Examples, Images
from expunge.scrub import Problem, Scrub, ScrubError
from expunge.training import History
from tests import networks
from tests.scrub.test_scrub import generator, rng

PAGE = Path(__file__).parents[2] / "docs" / "networks.md"


def data():
    return networks.examples(*networks.blobs(60, 4), size=60)


def given(**changes):
    """The arguments of a problem that fits."""
    every = data()
    kept = every.only(np.delete(np.arange(60), [4, 9]))
    network = networks.softmax(4, 3)
    fits = {
        "module": network,
        "losses": cross_entropy,
        "sample": every.take([4, 9]),
        "retained": kept,
        "n": 60,
    }
    return {**fits, **changes}


def mean_loss(outputs, targets):
    return nn.functional.cross_entropy(outputs, targets)


def divided(outputs, targets):
    return cross_entropy(outputs, targets) / len(targets)


def with_labels(*labels, dtype=torch.int64):
    x, _ = data().take([4, 9])
    return x, torch.tensor(labels, dtype=dtype)


def relabelled(row, label):
    every = data()
    y = every.y.clone()
    y[row] = label
    return replace(every, y=y).only(np.delete(np.arange(60), [4, 9]))


class Drawing(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 3).double()

    def forward(self, x):
        return nn.functional.dropout(self.inner(x), 0.9) + torch.randn(len(x), 3)


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 3).double()

    def forward(self, x):
        return self.inner(x), x


def other_history():
    zeros = {name: torch.zeros(3, 5) for name in ("1.weight", "1.bias")}
    return History(zeros, zeros, zeros)


WRONG = {
    "n 0": ({"n": 0}, "n: got 0, allowed: "),
    "n below the sample": ({"n": 1}, "n: got 1, allowed: 60, "),
    "n too large": ({"n": 61}, "n: got 61, allowed: 60, "),
    "n not whole": ({"n": 60.0}, "n: got 60.0, allowed: a whole number"),
    "a removed row stays": (
        {"retained": data(), "n": 62},
        "retained: got 'row 4', allowed: no row that is to",
    ),
    "a removed row stays, counted": ({"retained": data()}, "retained: got 'row 4', allowed: no row"),
    "nothing stays": ({"retained": data().only([])}, "retained: got 'no row'"),
    "rows that stay, twice": (
        {"retained": data().only([0, 0, 1]), "n": 5},
        "retained: got 0, allowed: each row",
    ),
    "retained is no Examples": ({"retained": [1, 2]}, "retained: got 'list', allowed: Examples"),
    "a mean loss": (
        {"losses": mean_loss},
        r"losses: got 'shape \(\) for 2 examples', allowed: the loss of each",
    ),
    "a loss divided by m": ({"losses": divided}, "losses: got '.* for a row beside another"),
    "a loss of its own shape": ({"losses": lambda o, t: o}, r"losses: got 'shape \(2, 3\) for 2"),
    "nothing to remove": ({"sample": data().take([]), "n": 58}, "sample: got 'tensors of shape"),
    "lengths": ({"sample": (data().take([4, 9])[0], torch.tensor([1]))}, "sample: got 'tensors of shape"),
    "no pair": ({"sample": data().take([4, 9])[0]}, "sample: got 'Tensor', allowed: a pair"),
    "arrays": ({"sample": (np.zeros((2, 4)), np.zeros(2))}, "sample: got"),
    "a label too large": (
        {"sample": with_labels(0, 3)},
        "sample: got 'target 3', allowed: class numbers from 0 to 2",
    ),
    "the ignored label": (
        {"sample": with_labels(0, -100)},
        "sample: got 'target -100', allowed: class numbers",
    ),
    "labels of float": (
        {"sample": with_labels(0, 1, dtype=torch.float64)},
        "sample: got 'targets of torch.float64'",
    ),
    "labels of bool": (
        {"sample": with_labels(0, 1, dtype=torch.bool)},
        "sample: got 'targets of torch.bool'",
    ),
    "a label that stays": (
        {"retained": relabelled(50, 7)},
        "retained: got 'target 7', allowed: class numbers",
    ),
    "inputs of float32": (
        {"sample": (torch.zeros(2, 4), torch.tensor([0, 1]))},
        "sample: got 'inputs of torch.float32'",
    ),
    "a network in float32": (
        {"module": networks.softmax(4, 3).float()},
        "retained: got 'inputs of torch.float64'",
    ),
    "another device": (
        {"module": networks.softmax(4, 3).to("meta")},
        "retained: got 'tensors on cpu', allowed: .* meta",
    ),
    "another width": (
        {"module": networks.softmax(5, 3)},
        r"retained: got 'inputs of shape \(2, 4\)', allowed: inputs that",
    ),
    "one output": (
        {"module": networks.softmax(4, 1)},
        r"module: got 'outputs \(2, 1\)', allowed: one number",
    ),
    "two outputs": ({"module": Pair()}, "module: got 'a tuple for 2 rows', allowed: a tensor"),
    "no network": ({"module": len}, "module: got 'builtin_function_or_method', allowed: a torch module"),
    "no parameters": (
        {"module": nn.Flatten()},
        "module: got 'Flatten', allowed: a torch module with parameters",
    ),
    "a loss without a gradient": (
        {"losses": lambda o, t: cross_entropy(o, t).detach()},
        "losses: got 'numbers w",
    ),
    "errors for a loss": (
        {"losses": lambda o, t: o.argmax(1) != t},
        "losses: got 'numbers without a gradient'",
    ),
    "a drawing network": (
        {"module": Drawing()},
        "module: got 'two answers to the same rows', allowed: a network",
    ),
    "no record": ({"history": {}}, "history: got 'dict', allowed: what training recorded"),
    "another's record": ({"history": other_history()}, "history: got \"another network's"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_problem_that_does_not_fit_is_one_line(case):
    changes, line = WRONG[case]
    with pytest.raises(InvalidValue, match=f"^{line}") as caught:
        Problem(**given(**changes))
    assert "\n" not in str(caught.value)


def test_problems_that_fit_are_taken():
    assert Problem(**given()).m == 2
    twin = data()  # an equal row may stay: it is another one
    raw = twin.x.raw.copy()
    raw[5] = raw[4]
    twin = replace(twin, x=Images.of(raw))
    assert Problem.removing(networks.softmax(4, 3), cross_entropy, twin, [4]).n == 60
    every = data()
    regression = replace(every, y=torch.linspace(0, 1, 60, dtype=torch.float64))
    one = Problem.removing(nn.Linear(4, 1).double(), networks.squared_losses, regression, [4], penalty=0.1)
    assert Scrub(selector="all").propose(one, rng(), generator()).refit is None


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ([], "rows: got '0 of 60 rows', allowed: one row at least"),
        (range(60), "rows: got '60 of 60 rows', allowed: one row at least"),
        ([4, 4], "rows: got 4, allowed: each row once"),
        ([60], "rows: got 60, allowed: rows from 0 to 59"),
        ([-1], "rows: got -1, allowed: rows from 0 to 59"),
        ([0.0], r"rows: got \[0.0\], allowed: a list of whole numbers"),
        (np.arange(60) == 4, "rows: got 'a boolean mask', allowed: a list of whole numbers"),
        ([True, 5], "rows: got 'a boolean mask'"),
        (torch.arange(60) == 4, "rows: got 'a boolean mask'"),
        (4, "rows: got 4, allowed: a list"),
        ("4", "rows: got '4', allowed: a list"),
        (np.array([2**64 - 1], dtype=np.uint64), "rows: got 18446744073709551615, allowed: rows from"),
    ],
)
def test_rows_to_remove_are_ids_of_rows(rows, line):
    with pytest.raises(InvalidValue, match=f"^{line}"):
        Problem.removing(networks.softmax(4, 3), cross_entropy, data(), rows)


@pytest.mark.parametrize("rows", [[17, 4], (17, 4), np.array([17, 4], dtype=np.uint8), torch.tensor([17, 4])])
def test_ids_of_every_whole_type_are_taken(rows):
    problem = Problem.removing(networks.softmax(4, 3), cross_entropy, data(), rows)
    assert torch.equal(problem.sample[0], data().take([17, 4])[0])
    assert not {17, 4} & set(problem.retained.rows.tolist())
    assert data().only(range(3)).rows.tolist() == [0, 1, 2]


def test_a_row_that_has_left_cannot_be_removed_again():
    with pytest.raises(InvalidValue, match=r"^rows: got 5, allowed: ids of the training rows"):
        Problem.removing(networks.softmax(4, 3), cross_entropy, data().only([3, 4, 6]), [5])


@pytest.mark.parametrize("training", [True, False])
def test_a_network_left_in_training_mode_is_scrubbed_in_evaluation_mode(training):
    x, y = networks.pictures(20)
    steps = []
    for mode in (training, False):
        module = nn.Sequential(networks.small_cnn()[:5], nn.Dropout(0.5), *networks.small_cnn()[5:]).train(
            mode
        )
        before = deepcopy(module.state_dict())
        problem = Problem.removing(module, cross_entropy, networks.examples(x, y), [4], penalty=0.01)
        steps.append(Scrub(n_perturbations=50).propose(problem, rng(), generator()).step)
        assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
        assert module.training == mode
    assert torch.equal(*steps)


# -- inputs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5, 1, 28, 28), (5, 3, 8, 6), (5, 4, 9, 7), (5, 1, 5, 2)])
def test_tensors_with_channels_first_stay_as_they_are(shape):
    x = torch.rand(shape)
    assert torch.equal(Images.of(x).batch([0, 3]), x[[0, 3]])
    assert Images.of(x).shape == shape[1:]
    assert torch.equal(Images.of(x, layout="channels_first").batch([1]), x[[1]])
    with pytest.raises(InvalidValue, match=r"^inputs: got 'an array of shape .* layout='channels_last' or"):
        Images.of(x.numpy())
    assert torch.equal(Images.of(x.numpy(), layout="channels_first").batch([1]), x[[1]])
    assert Images.of(x.numpy(), layout="channels_first").digest() == Images.of(x).digest()


@pytest.mark.parametrize("shape", [(5, 28, 28, 1), (5, 8, 6, 3), (5, 9, 7, 4)])
@pytest.mark.parametrize("make", [np.asarray, torch.as_tensor])
def test_channels_last_stay_channels_last(shape, make):
    x = rng().random(shape)
    expected = torch.from_numpy(x).permute(0, 3, 1, 2).float()
    assert torch.equal(Images.of(make(x)).batch(range(5)), expected)


@pytest.mark.parametrize("shape", [(5, 3, 3, 3), (5, 1, 6, 1), (5, 16, 8, 8), (5, 8, 8, 16), (5, 3, 32, 1)])
def test_a_tensor_that_may_be_either_must_say_so(shape):
    x = torch.rand(shape)
    with pytest.raises(InvalidValue, match=r"^inputs: got 'a tensor of shape .*layout='channels_first'"):
        Images.of(x)
    assert torch.equal(Images.of(x, layout="channels_first").batch([2]), x[[2]])
    assert torch.equal(Images.of(x, layout="channels_last").batch([2]), x[[2]].permute(0, 3, 1, 2))


@pytest.mark.parametrize("shape", [(5, 3, 3, 3), (5, 16, 8, 8), (5, 1, 1, 512), (5, 4, 4, 16)])
def test_arrays_without_a_layout_are_channels_last_as_documented(shape):
    assert Images.of(np.zeros(shape)).shape == (shape[3], *shape[1:3])


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: Images.of(torch.zeros(5, 3, 4, 4, 4)), "inputs: got 'float32 of shape"),
        (lambda: Images.of(torch.zeros(5)), "inputs: got 'float32 of shape"),
        (lambda: Images.of(torch.zeros(5, 2, dtype=torch.complex64)), "inputs: got 'complex64"),
        (lambda: Images.of(torch.eye(5).to_sparse()), r"inputs: got 'a tensor \(torch.sparse_coo"),
        (lambda: Images.of([[1, 2], [3]]), "inputs: got 'a list', allowed: an array of numbers"),
        (
            lambda: Images.of(np.zeros((2, 3)), layout="nchw"),
            "layout: got 'nchw', allowed: one of channels_last",
        ),
        (
            lambda: Images.of(np.zeros((2, 3)), layout="channels_first"),
            "layout: got 'channels_first', allowed: none",
        ),
        (
            lambda: Problem.removing(networks.softmax(4, 3), cross_entropy, [1], [0]),
            "train: got 'list', allowed: Exa",
        ),
        (
            lambda: data().take([[1], [2, 3]]),
            r"rows: got \[\[1\], \[2, 3\]\], allowed: a list of whole numbers",
        ),
        (lambda: replace(data(), device="gpu"), "device: got 'gpu', allowed: a torch device"),
        (lambda: Scrub(threads=0), "threads: got 0, allowed: a whole number >= 1"),
        (
            lambda: Scrub().propose(None, rng(), generator()),
            "problem: got 'NoneType', allowed: expunge.scrub",
        ),
        (
            lambda: Scrub().propose(Problem(**given()), 0, generator()),
            "rng: got 'int', allowed: numpy.random",
        ),
        (lambda: Scrub().propose(Problem(**given()), rng(), 0), "noise: got 'int', allowed: torch"),
        (
            lambda: emptied()[1].apply(networks.softmax(5, 3)),
            "module: got 'Sequential', allowed: the network prop",
        ),
        (lambda: Images.of(np.zeros((2, 3)), unit=0), "unit: got 0, allowed: a finite number > 0"),
        (lambda: Images.of(np.zeros((2, 3)), offset=float("inf")), "offset: got inf"),
        (lambda: Images(torch.zeros(2, 3)), "raw: got"),
        (lambda: Images.of(np.zeros((2, 3), np.longdouble)), f"inputs: got '{np.dtype('longdouble')} of"),
        (lambda: Images.of(np.zeros((2, 3), "m8[s]")), "inputs: got 'timedelta64"),
        (lambda: Images.of(np.ma.masked_equal([[1, 2], [3, 4]], 3)), "inputs: got 'an array with masked"),
        (
            lambda: Examples(np.zeros((3, 2)), torch.zeros(3), [0]),
            "x: got 'a ndarray', allowed: inputs, such as",
        ),
        (
            lambda: Examples(Images.of(np.zeros((3, 2))), torch.zeros(4), [0]),
            "y: got '4 targets', allowed: 3",
        ),
        (
            lambda: Examples(Images.of(np.zeros((3, 2))), np.zeros((3, 2)), [0]),
            "y: got 'torch.float64 of shape",
        ),
        (lambda: Examples(Images.of(np.zeros((3, 2))), ["a", "b", "c"], [0]), "y: got 'list of mixed type'"),
        (lambda: Examples(Images.of(np.zeros((3, 2))), np.full(3, np.nan), [0]), "y: got 'NaN or infinity'"),
        (lambda: data().only(np.arange(60) < 3), "rows: got 'a boolean mask'"),
        (lambda: data().take(np.arange(60) < 3), "rows: got 'a boolean mask'"),
        (lambda: data().take([-1]), "rows: got -1, allowed: rows from 0 to 59"),
        (lambda: data().take([1.5]), r"rows: got \[1.5\]"),
        (lambda: data().x.batch(np.arange(60) < 3), "rows: got 'a boolean mask'"),
        (lambda: replace(data(), size=0), "size: got 0"),
        (lambda: replace(data(), dtype=torch.int64), "dtype: got torch.int64"),
    ],
)
def test_inputs_that_do_not_fit_are_one_line(make, line):
    with pytest.raises(InvalidValue, match=f"^{line}"):
        make()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, ">i4", np.int64, bool])
def test_whole_targets_of_any_type_are_class_numbers(dtype):
    every = Examples(Images.of(np.zeros((4, 2))), np.array([0, 1, 1, 0]).astype(dtype), [0, 1, 2, 3])
    assert every.take([1, 3])[1].tolist() == [1, 0]
    assert every.y.dtype == torch.int64


def test_values_beyond_the_type_of_the_network_are_named():
    x = Images.of(np.array([[1.0, 2.0], [1e300, 3.0], [7e4, 0.0]]))
    assert x.batch([0, 1, 2], torch.float64)[1, 0] == 1e300
    with pytest.raises(DataError, match=r"^inputs: row 1 holds a value .* in torch\.float32"):
        x.batch([2, 0, 1])
    with pytest.raises(DataError, match=r"^inputs: row 2 holds a value .* in torch\.float16"):
        x.batch([0, 2, 1], torch.float16)


def trained_with(losses):
    return Problem(**given(losses=losses, penalty=0.01))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("curvature", ["kfac", "ggn"])
def test_weighted_classes_are_scrubbed_without_rounding(curvature):
    """Against the same loss written out, in float64: torch's own refuses weights of float32 there."""
    weights = torch.tensor([1.0, 3.0, 0.5])
    steps = []
    for losses in (
        nn.CrossEntropyLoss(weight=weights, reduction="none"),
        lambda z, y: cross_entropy(z, y) * weights[y],
    ):
        scrub = Scrub(curvature=curvature, n_perturbations=60)
        proposal = scrub.propose(trained_with(losses), rng(), generator())
        steps.append((proposal.units, proposal.step))
    assert steps[0][0] == steps[1][0]
    torch.testing.assert_close(steps[0][1], steps[1][1])


def test_a_loss_without_second_derivatives_is_named():
    problem = trained_with(nn.MultiMarginLoss(reduction="none"))
    for curvature in ("kfac", "ggn", "exact"):
        with pytest.raises(InvalidValue, match=r"^curvature: got 'derivative for .*allowed: fd or fisher"):
            Scrub(curvature=curvature, selector="all").propose(problem, rng(), generator())
    scrub = Scrub(mode="ascent", selector="all", refit_outputs=False)
    assert scrub.propose(problem, rng(), generator()).units


def test_a_network_that_switches_gradients_off_is_named():
    module = networks.softmax(4, 3)
    module.forward = torch.no_grad()(module.forward)
    with pytest.raises(InvalidValue, match=r"^model: got 'outputs that have no gradient'"):
        Problem(**given(module=module))


def test_bfloat16_keeps_its_numbers():
    x = torch.randn(4, 3).bfloat16()
    assert torch.equal(Images.of(x).batch(range(4)), x.float())


# -- losses -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [mean_loss, lambda o, t: o, lambda o, t: 1.0])
def test_curvature_takes_no_mean_for_the_loss_of_each(wrong):
    module, every = networks.softmax(4, 3), data()
    block = Block.of(module, {"1": [0]})
    for use in (
        lambda: mean_gradient(module, wrong, every),
        lambda: example_losses(module, wrong, every),
        lambda: Hessian(module, wrong, every, block),
        lambda: GaussNewton(module, wrong, every, block),
        lambda: KroneckerFactored(module, wrong, every, block),
    ):
        with pytest.raises(
            InvalidValue, match=r"^losses: got '.* for 60 examples', allowed: the loss of each"
        ):
            use()


# -- one entry ----------------------------------------------------------------------------------------------


def emptied(losses=cross_entropy, **settings):
    """A fitted softmax of 8 classes, the rows of class 1, and what is still taken for it after a scrub."""
    x, y = networks.blobs(160, 10, 8, spread=0.5)
    every = networks.examples(x, y, size=160)
    module = networks.softmax(10, 8)
    with torch.no_grad():
        module[1].weight *= 0.1  # so that Newton steps do not leave the region where they converge
    networks.objective_minimum(module, cross_entropy, next(iter(every)), 0.01, steps=8)
    problem = Problem.removing(module, losses, every, np.flatnonzero(y == 1), penalty=0.01)
    before = deepcopy(module.state_dict())
    proposal = Scrub(selector="all", mode="ascent", lr=1e-6, **settings).propose(problem, rng(), generator())
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    undo = proposal.apply(module)
    guess = module(problem.sample[0]).argmax(dim=1)
    undo()
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    return float((guess == 1).double().mean()), proposal


def test_proposing_and_applying_does_all_that_the_settings_say():
    share, proposal = emptied()
    left, plain = emptied(refit_outputs=False)
    print(f"still recognised of a removed class: {left:.1%}, with its output refitted {share:.1%}")
    assert (share, proposal.figures["outputs_refitted"]) == (0.0, 1)
    assert left > 0.5
    assert "outputs_refitted" not in plain.figures


def test_a_cross_entropy_of_ones_own_is_one_and_another_loss_is_not():
    own, _ = emptied(lambda o, t: nn.functional.cross_entropy(o, t, reduction="none"))
    assert own == 0.0
    smoothed = nn.CrossEntropyLoss(reduction="none", label_smoothing=0.2)
    with pytest.raises(ScrubError, match=r"not the cross-entropy .*refit_outputs=false"):
        emptied(smoothed)
    assert emptied(smoothed, refit_outputs=False)[1].refit is None


def test_outputs_that_cannot_be_refitted_leave_the_network_as_it_was():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(4, 3).double()

        def forward(self, x):
            return 2 * self.head(x)

    every, module = data(), Scaled()
    problem = Problem.removing(module, cross_entropy, every, np.flatnonzero(every.y == 1), penalty=0.01)
    proposal, before = (
        Scrub(selector="all").propose(problem, rng(), generator()),
        deepcopy(module.state_dict()),
    )
    with pytest.raises(ScrubError, match="not its output"):
        proposal.apply(module)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_the_example_of_the_docs_runs():
    (code,) = [
        c for c in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S) if "import Problem, Scrub" in c
    ]
    x, y = networks.pictures(40)
    for given_x in (x, torch.from_numpy(x).permute(0, 3, 1, 2)):
        names = {"network": networks.small_cnn().float(), "x": given_x, "y": y, "rows": range(40), "seed": 0}
        before = deepcopy(names["network"].state_dict())
        exec(code, names)
        after = names["network"].state_dict()
        changed = [name for name, value in after.items() if not torch.equal(value, before[name])]
        assert changed
        names["undo"]()
        assert all(torch.equal(value, before[name]) for name, value in names["network"].state_dict().items())
    assert (expunge.__name__, stream, torch_generator) == (
        "expunge",
        names["stream"],
        names["torch_generator"],
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda head: head.bias.requires_grad_(False),
        lambda head: head.requires_grad_(False),
        nn.utils.parametrizations.weight_norm,
        lambda head: prune.identity(head, "bias"),
    ],
)
def test_an_output_layer_that_may_not_change_is_named_and_left_alone(change):
    x, y = networks.blobs(60, 4)
    module = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    change(module[2])
    every = networks.examples(x, y, size=60)
    problem = Problem.removing(module, cross_entropy, every, np.flatnonzero(y == 1), penalty=0.01)
    before = deepcopy(module.state_dict())
    proposal = Scrub(selector="all", mode="ascent", max_rise=None).propose(problem, rng(), generator())
    with pytest.raises(ScrubError, match=r"last linear layer is frozen, pruned or parametrised; unlearner\."):
        proposal.apply(module)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
