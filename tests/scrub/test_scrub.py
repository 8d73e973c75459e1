"""The scrub: its pieces against plain oracles, and where exact curvature lands."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn

from expunge.core.errors import InvalidValue
from expunge.curvature import Block
from expunge.curvature.gradients import cross_entropy, mean_gradient
from expunge.scrub import Problem, Scrub, ScrubError, noisy_copies
from expunge.scrub.noisy_copies import all_units, observe, perturbed
from expunge.scrub.selectors import SELECTORS, select
from expunge.scrub.steps import noise_std
from expunge.training import History
from tests import networks
from tests.oracles import curvature as dense
from tests.oracles import scrub as oracle


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def rng(seed=0):
    return np.random.default_rng(seed)


# -- perturbed copies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [networks.small_cnn, lambda: networks.softmax(192, 3)])
def test_activations_equal_those_of_single_forwards(make):
    x, y = networks.pictures(1)
    sample = networks.examples(x, y).take([0])
    module = make()
    found = observe(module, cross_entropy, sample, 450, 0.1, generator())
    copies = torch.cat([copy for copy, _ in perturbed(sample[0], 450, 0.1, generator())])
    expected = oracle.activations_one_by_one(module, copies)
    np.testing.assert_allclose(found.activations, expected, rtol=1e-10, atol=1e-12)
    assert found.units == all_units(module)
    with torch.no_grad():
        losses = cross_entropy(module(copies), sample[1].expand(450))
    np.testing.assert_allclose(found.losses, losses, rtol=1e-10)


def test_copies_have_the_asked_deviation_and_are_shared_out():
    x = torch.zeros(3, 40, dtype=torch.float64)
    x[1], x[2] = 10, 20
    batches = list(perturbed(x, 1000, 0.1, generator()))
    copies, of = (torch.cat([batch[k] for batch in batches]) for k in (0, 1))
    assert torch.bincount(of).tolist() == [334, 333, 333]
    noise = copies - x[of]
    assert float(noise.std()) == pytest.approx(0.1, rel=0.02)
    assert float(noise.abs().max()) < 0.7
    (few,) = (rows for _, rows in perturbed(x, 2, 0.1, generator()))
    assert len(few) == 3  # one of each at least


def test_tokens_of_a_sequence_are_averaged():
    class Sequence(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.head = nn.Linear(5, 4).double(), nn.Linear(4, 3).double()

        def forward(self, x):
            return self.head(self.inner(x.reshape(len(x), 6, 5)).mean(dim=1))

    x, y = rng().normal(size=(1, 30)), np.array([1])
    sample, module = networks.examples(x, y).take([0]), Sequence()
    found = observe(module, cross_entropy, sample, 20, 0.1, generator())
    copies = torch.cat([copy for copy, _ in perturbed(sample[0], 20, 0.1, generator())])
    expected = module.inner(copies.reshape(20, 6, 5)).mean(dim=1)
    np.testing.assert_allclose(found.activations[:, :4], expected.detach(), rtol=1e-12)
    assert found.units == [("inner", k) for k in range(4)] + [("head", k) for k in range(3)]


def test_a_module_called_twice_has_its_mean_answer():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.same, self.idle = nn.Linear(4, 4).double(), nn.Linear(4, 2)

        def forward(self, x):
            return self.same(self.same(x))

    x, y = rng().normal(size=(1, 4)), np.array([1])
    sample, module = networks.examples(x, y).take([0]), Twice()
    found = observe(module, cross_entropy, sample, 5, 0.1, generator())
    copies = torch.cat([copy for copy, _ in perturbed(sample[0], 5, 0.1, generator())])
    once = module.same(copies)
    expected = (once + module.same(once)) / 2
    np.testing.assert_allclose(found.activations, expected.detach(), rtol=1e-12)
    assert {name for name, _ in found.units} == {"same"}  # what is never called has nothing to say


def test_batch_norm_is_in_evaluation_mode_and_left_as_it_was():
    module = networks.small_cnn().train()
    before = deepcopy(module.state_dict())
    x, y = networks.pictures(1)
    observe(module, cross_entropy, networks.examples(x, y).take([0]), 50, 0.1, generator())
    assert all(part.training for part in module.modules())
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert not any(part._forward_hooks for part in module.modules())


def test_a_network_without_units_is_refused():
    x, y = networks.pictures(1)
    module = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten()).double()
    with pytest.raises(InvalidValue, match="Conv2d or Linear"):
        observe(module, cross_entropy, networks.examples(x, y).take([0]), 10, 0.1, generator())


# -- selection ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def observed():
    """A network of 23 units whose loss depends on the inputs in earnest."""
    x, y = networks.pictures(1)
    module = networks.small_cnn()
    return module, observe(module, cross_entropy, networks.examples(x, y).take([0]), 300, 0.3, generator())


def test_lfoci_selects_as_foci_does_and_cheap_takes_its_first(observed):
    from expunge.codec import foci

    module, seen = observed
    chosen = select("lfoci", module, lambda: seen, rng(1))
    expected = foci(seen.activations, seen.losses, ties="noise", rng=rng(1))
    assert chosen == [seen.units[column] for column in expected.columns]
    assert 1 < len(chosen) < len(seen.units)
    assert select("cheap", module, lambda: seen, rng(1)) == chosen[:1]
    assert select("lfoci", module, lambda: seen, rng(1), max_units=2) == chosen[:2]


def test_random_takes_as_many_as_lfoci(observed):
    module, seen = observed
    count = len(select("lfoci", module, lambda: seen, rng(1)))
    drawn = select("random", module, lambda: seen, rng(1))
    assert len(drawn) == len(set(drawn)) == count
    assert drawn == select("random", module, lambda: seen, rng(1))
    assert drawn != select("random", module, lambda: seen, rng(2))


@pytest.mark.parametrize(("name", "count"), [("one", 1), ("all", 11)])
def test_some_selectors_need_no_copies(name, count):
    def never():
        raise AssertionError("copies were run")

    module = networks.small_cnn()
    assert len(select(name, module, never, rng())) == count


def test_dead_units_are_never_selected():
    module = networks.small_cnn()
    with torch.no_grad():
        module[0].weight[1], module[0].bias[1] = 0, -1  # a constant channel
    x, y = networks.pictures(1)
    seen = observe(module, cross_entropy, networks.examples(x, y).take([0]), 100, 0.1, generator())
    assert np.ptp(seen.activations[:, 1]) == 0
    for seed in range(5):
        assert ("0", 1) not in select("lfoci", module, lambda: seen, rng(seed))


def test_an_empty_selection_is_an_error(observed):
    module, seen = observed
    from dataclasses import replace

    constant = replace(seen, losses=np.ones_like(seen.losses))
    with pytest.raises(ScrubError, match="empty selection"):
        select("lfoci", module, lambda: constant, rng())
    dead = replace(seen, activations=np.zeros_like(seen.activations))
    with pytest.raises(ScrubError, match="empty selection"):
        select("lfoci", module, lambda: dead, rng())


# -- updates ------------------------------------------------------------------------------------------------


def problem_of(module, losses, x, y, index, history=None, penalty=0.01):
    stay = np.setdiff1d(np.arange(len(x)), index)
    kept = networks.examples(x, y, stay)
    return Problem(module, losses, kept.take(index), kept, len(x), history, penalty)


def history_of(earlier, later, losses, batches):
    """What training would record at two points of its way."""
    g = [mean_gradient(m, losses, batches) for m in (earlier, later)]
    w = [dict(m.named_parameters()) for m in (earlier, later)]
    return History(
        g[1], {k: g[1][k] - g[0][k] for k in g[0]}, {k: (w[1][k] - w[0][k]).detach() for k in g[0]}
    )


EXACT = dict(selector="all", noise_epsilon=None, curvature_rows=None, curvature_tol=1e-12)


def landed(module, problem, curvature, l2, **more):
    """The weights after one scrub; ``l2`` is penalty and damping."""
    scrub = Scrub(curvature=curvature, l2=l2, penalty=l2, **{**EXACT, **more})
    proposal = scrub.propose(problem, rng(), generator())
    scrubbed = deepcopy(module)
    proposal.apply(scrubbed)
    return networks.flat(scrubbed)


def compare(module, losses, x, y, index, l2):
    """Distances to the retrained weights, relative to that of doing nothing, for every curvature."""
    everything = next(iter(networks.examples(x, y, size=len(x))))
    stay = np.setdiff1d(np.arange(len(x)), index)
    networks.objective_minimum(module, losses, everything, l2)
    earlier = deepcopy(module)
    with torch.no_grad():
        for p in earlier.parameters():
            p += 0.05 * torch.randn(p.shape, generator=generator(), dtype=p.dtype)
    history = history_of(earlier, module, losses, [everything])
    retrained = deepcopy(module)
    networks.objective_minimum(retrained, losses, networks.examples(x, y).take(stay), l2)
    problem = problem_of(module, losses, x, y, index, history)
    target, start = networks.flat(retrained), networks.flat(module)
    found = {name: landed(module, problem, name, l2) for name in ("exact", "ggn", "kfac", "fd", "fisher")}
    found["none"] = start
    whole = float(torch.linalg.vector_norm(start - target))
    return whole, {k: float(torch.linalg.vector_norm(w - target)) / whole for k, w in found.items()}


@pytest.mark.parametrize("index", [[7], [3, 11, 20]])
def test_ridge_exact_lands_on_the_retrained_weights(index):
    x, _ = networks.blobs(40, 6)
    y = x @ rng(1).normal(size=6) + rng(2).normal(size=40)
    module = nn.Linear(6, 1).double()
    whole, distances = compare(module, networks.squared_losses, x, y, index, l2=0.05)
    print(f"ridge, rows {index}: ||w - w_retrained|| of doing nothing {whole:.3g}; relative:", distances)
    assert distances["exact"] < 1e-8
    assert distances["ggn"] < 1e-8  # of a quadratic, the Gauss-Newton matrix is the Hessian
    for other in ("fd", "fisher"):
        assert distances["exact"] < 0.01 * distances[other]
    assert min(distances["fd"], distances["fisher"]) > 0.01


@pytest.mark.parametrize("index", [[7], [3, 11, 20]])
def test_logistic_exact_lands_within_the_second_order_error(index):
    x, y = networks.blobs(90, 4)
    l2 = 0.02
    module = networks.softmax(4, 3)
    whole, distances = compare(module, cross_entropy, x, y, index, l2)
    print(f"softmax, rows {index}: ||w - w_retrained|| of doing nothing {whole:.3g}; relative:", distances)
    # After a Newton step, ||grad|| <= (L / 2) ||step||^2 with L the Lipschitz constant of the Hessian, and
    # the distance to the minimum is at most ||grad|| / l2; for softmax on (x, 1), L <= max ||(x, 1)||^3.
    longest = np.sqrt((x**2).sum(axis=1) + 1).max()
    step = whole * (1 + distances["exact"])
    assert distances["exact"] * whole <= longest**3 / 2 * step**2 / l2
    assert distances["exact"] < 0.05
    assert distances["ggn"] == pytest.approx(distances["exact"], rel=1e-6)
    for other in ("fd", "fisher", "none"):
        assert distances["exact"] < 0.1 * distances[other]


def test_the_error_of_exact_is_of_second_order():
    """Four times the rows: a quarter of the step, about a sixteenth of the error."""
    errors = []
    for n in (60, 240, 960):
        x, y = networks.blobs(60, 4, seed=3)
        x, y = np.tile(x, (n // 60, 1)), np.tile(y, n // 60)
        whole, distances = compare(networks.softmax(4, 3), cross_entropy, x, y, [5], 0.02)
        errors.append(whole * distances["exact"])
    assert errors[0] / errors[1] > 10
    assert errors[1] / errors[2] > 10


@pytest.mark.parametrize("curvature", ["fd", "fisher", "exact", "ggn", "kfac"])
@pytest.mark.parametrize("name", SELECTORS)
def test_nothing_but_the_selected_units_changes(name, curvature):
    x, y = networks.pictures(30)
    module = networks.small_cnn()
    everything = list(networks.examples(x, y, size=30))
    earlier = deepcopy(module)
    with torch.no_grad():
        for p in earlier.parameters():
            p += 0.01
    history = history_of(earlier, module, cross_entropy, everything)
    problem = problem_of(module, cross_entropy, x, y, [4], history)
    before = deepcopy(module.state_dict())
    scrub = Scrub(selector=name, curvature=curvature, n_perturbations=100, l2=1.0, noise_epsilon=1.0)
    proposal = scrub.propose(problem, rng(), generator())
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())  # proposing changes nothing
    undo = proposal.apply(module)
    selected = {(unit_name, unit) for unit_name, unit in proposal.units}
    for key, value in module.state_dict().items():
        part, _, kind = key.rpartition(".")
        if kind not in ("weight", "bias") or isinstance(module[int(part)], nn.BatchNorm2d):
            assert torch.equal(value, before[key])
            continue
        for unit in range(len(value)):
            same = torch.equal(value[unit], before[key][unit])
            assert same == ((part, unit) not in selected)
    undo()
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())


def test_the_sample_has_curvature_of_its_own():
    """Published code took the same gradient twice, and with it a curvature of exactly zero."""
    from expunge.scrub.steps import _sample_change

    module = networks.small_cnn().float()
    x, y = networks.pictures(3)
    kept = networks.examples(x, y, dtype=torch.float32)
    problem = Problem(module, cross_entropy, kept.take([0]), kept.only([1, 2]), 3, None)
    block = Block.of(module, {"0": [0, 1], "3": [2], "7": [0]})
    dg, dw = _sample_change(problem, block, 1e-3)
    gradient = block.gather(mean_gradient(module, cross_entropy, [problem.sample]))
    np.testing.assert_allclose(dw, -1e-3 * gradient, rtol=1e-4)
    assert float(dg.abs().max()) > 0
    # The change of the gradient is the Hessian's product with the step of all parameters, up to its square.
    double = deepcopy(module).double().eval()
    named = dict(double.named_parameters())
    loss = cross_entropy(double(problem.sample[0].double()), problem.sample[1]).mean()
    slopes = torch.autograd.grad(loss, list(named.values()), create_graph=True)
    along = sum((g * g.detach()).sum() for g in slopes)
    product = dict(zip(named, torch.autograd.grad(along, list(named.values())), strict=True))
    np.testing.assert_allclose(dg, -1e-3 * block.gather(product), rtol=0.02, atol=1e-7)


def test_units_without_a_say_are_named():
    """A random choice may fall on units that are dead for the sample: there is no secant to take."""
    x, y = networks.blobs(30, 4)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 3)).double()
    with torch.no_grad():
        module[0].bias[1] = -1e3
    earlier = deepcopy(module)
    with torch.no_grad():
        for p in earlier.parameters():
            p += 0.01
    history = history_of(earlier, module, cross_entropy, list(networks.examples(x, y)))
    problem = problem_of(module, cross_entropy, x, y, [4], history)
    with pytest.raises(ScrubError, match="no gradient in the selected units"):
        Scrub.published().step(problem, Block.of(module, {"0": [1]}), rng())


def test_noise_as_published():
    # Gamma = 2 * 0.25 * 1 / (n^2 l2^3)
    n, l2, epsilon, delta = 60_000, 0.01, 0.1, 0.01
    gamma = 0.5 / (n**2 * l2**3)
    assert noise_std(n, 1, l2, epsilon, delta) == pytest.approx(gamma / epsilon * np.sqrt(2 * np.log(125)))
    assert noise_std(n, 3, l2, epsilon, delta) == pytest.approx(9 * noise_std(n, 1, l2, epsilon, delta))


def test_noise_has_the_stated_deviation_and_seed():
    x, y = networks.blobs(30, 200, 10)
    module = networks.softmax(200, 10)
    problem = problem_of(module, cross_entropy, x, y, [4])
    quiet = Scrub(selector="all", curvature="ggn", mode="ascent", noise_epsilon=None)
    loud = Scrub(selector="all", curvature="ggn", mode="ascent", noise_epsilon=50.0)
    base = quiet.propose(problem, rng(), generator()).step
    one, same, other = (loud.propose(problem, rng(), generator(s)) for s in (0, 0, 1))
    assert torch.equal(one.step, same.step)
    assert not torch.equal(one.step, other.step)
    assert one.noise_std == pytest.approx(loud.noise_std(problem))
    assert float((one.step - base).std()) == pytest.approx(one.noise_std, rel=0.05)


def test_modes_are_the_stated_equations():
    x, y = networks.blobs(30, 4)
    module = networks.softmax(4, 3)
    problem = problem_of(module, cross_entropy, x, y, [4])
    slopes = mean_gradient(module, cross_entropy, [problem.sample])
    gradient = Block.of(module, {"1": range(3)}).gather(slopes)
    ascent = Scrub.published(mode="ascent", lr=0.3, **EXACT).propose(problem, rng(), generator())
    np.testing.assert_allclose(ascent.step, 0.3 * gradient, rtol=1e-12)
    fisher = Scrub.published(mode="cr", curvature="fisher", l2=0.5, **EXACT).propose(
        problem, rng(), generator()
    )
    expected = torch.linalg.solve(torch.outer(gradient, gradient) + 0.5 * torch.eye(15), gradient)
    np.testing.assert_allclose(fisher.step, expected, rtol=1e-9)
    hessian = dense.full_hessian(module, cross_entropy, *problem.sample, {"1": range(3)})
    exact = Scrub.published(mode="cr", curvature="exact", l2=0.5, **EXACT).propose(
        problem, rng(), generator()
    )
    np.testing.assert_allclose(
        exact.step, torch.linalg.solve(hessian + 0.5 * torch.eye(15), gradient), rtol=1e-8
    )


def test_curvature_without_its_record_is_an_error():
    x, y = networks.blobs(30, 4)
    problem = problem_of(networks.softmax(4, 3), cross_entropy, x, y, [4], history=None)
    with pytest.raises(ScrubError, match="needs what training records"):
        Scrub(curvature="fd", **EXACT).propose(problem, rng(), generator())


def test_a_diverged_network_is_an_error():
    x, y = networks.blobs(30, 4)
    module = networks.softmax(4, 3)
    with torch.no_grad():
        module[1].weight[0, 0] = float("nan")
    problem = problem_of(module, cross_entropy, x, y, [4])
    for settings in ({"selector": "lfoci"}, {"selector": "all", "mode": "ascent"}):
        with pytest.raises(ScrubError, match="not finite"):
            Scrub(n_perturbations=10, noise_epsilon=None, **settings).propose(problem, rng(), generator())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("selector", "foci"),
        ("curvature", "hessian"),
        ("mode", "newton"),
        ("n_perturbations", 2),
        ("perturbation_std", 0),
        ("max_units", 0),
        ("l2", 0),
        ("lr", -1),
        ("noise_epsilon", 0),
        ("noise_delta", 1),
        ("smoothness", "a"),
        ("lipschitz", float("nan")),
        ("curvature_rows", 0),
        ("curvature_columns", 0),
        ("curvature_tol", 2),
    ],
)
def test_bad_settings_are_named(key, value):
    with pytest.raises(InvalidValue, match=f"^{key}: got"):
        Scrub(**{key: value})


def test_copies_that_a_gpu_runs_together_are_the_same_copies(monkeypatch):
    x = torch.randn(3, 5)

    def drawn():
        return noisy_copies.perturbed(x, 1001, 0.1, torch.Generator().manual_seed(1))

    apart = list(drawn())
    for most, count in ((1, 6), (2000, 3), (1 << 22, 1)):
        monkeypatch.setattr(noisy_copies, "_TOGETHER", most)
        together = list(noisy_copies._grouped(drawn(), torch.device("cuda")))
        assert len(together) == count
        for ours, theirs in zip(zip(*together, strict=True), zip(*apart, strict=True), strict=True):
            assert torch.equal(torch.cat(ours), torch.cat(theirs))
    assert len(list(noisy_copies._grouped(drawn(), torch.device("cpu")))) == len(apart)
