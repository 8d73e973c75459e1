"""The scrub benchmark times the scrub itself, its baselines compute the same, and its scaling adds up."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from experiments.benchmarks.harness import BEGIN, END
from experiments.benchmarks.scrub import compare, memory, tables
from experiments.benchmarks.scrub import program as benchmark
from experiments.benchmarks.scrub.ours import GUARD, STAGES, Timed, accuracy, noise, scrubbed
from experiments.benchmarks.scrub.published import (
    Differences,
    block_that_fits,
    scaled_solve,
    single_forwards,
)
from experiments.benchmarks.scrub.setup import SEED, pictures, random_pictures, task_of
from torch import nn

from expunge.curvature import cross_entropy
from expunge.scrub import Scrub
from expunge.scrub.noisy_copies import unit_modules
from expunge.training import Training
from tests import networks
from tests.oracles import scrub as oracle

SMALL = {"n_perturbations": 60, "threads": 1}


@dataclass(frozen=True)
class Tiny:
    """A convolution, BatchNorm and a linear layer: 14 units."""

    name: str = "tiny"
    weights: str | None = None

    def build(self, shape, classes):
        layers = [nn.Conv2d(shape[0], 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(3)]
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(36, classes))


@pytest.fixture(scope="module")
def task():
    return task_of(Tiny(), random_pictures(80, side=8), Training(epochs=2, batch_size=16, lr=0.01))


def test_our_own_settings_stand_beside_the_published_ones(task):
    found = compare.settings_apart(task, 2, SMALL)
    own, published = found["rows"]
    assert (own["settings"], published["settings"]) == ("own", "published")
    plain = Scrub(penalty=0.0, **SMALL).propose(task.problem, np.random.default_rng(SEED), noise())
    theirs = Scrub.published(**SMALL).propose(task.problem, np.random.default_rng(SEED), noise())
    assert own["selected"] == len(plain.units)
    assert found["same_units"] == (plain.units == theirs.units)
    assert min(own["stages"][stage]["median"] for stage in STAGES) > 0
    lines = tables.settings_lines({"family": "tiny", "images": "random", "repeats": 2, **found})
    assert "whole scrub" in "".join(lines)


def test_the_clock_is_on_the_scrub_itself(task):
    found = scrubbed(task, SMALL)
    plain = Scrub.published(**SMALL).propose(task.problem, np.random.default_rng(SEED), noise())
    assert found.proposal.units == plain.units
    assert torch.equal(found.proposal.step, plain.step)
    assert set(found.seconds) == {*STAGES, GUARD}
    assert min(found.seconds.values()) > 0
    assert found.whole == pytest.approx(sum(s for stage, s in found.seconds.items() if stage != GUARD))
    assert [found.observed.units[column] for column in found.path] == plain.units


def test_the_network_is_put_back(task):
    before = {name: value.clone() for name, value in task.problem.module.state_dict().items()}
    scrubbed(task, SMALL)
    assert all(torch.equal(v, before[name]) for name, v in task.problem.module.state_dict().items())


def test_stages_add_up_to_the_whole(task, monkeypatch):
    now = iter(range(100))
    monkeypatch.setattr("experiments.benchmarks.scrub.ours.perf_counter", lambda: float(next(now)))
    found = scrubbed(task, SMALL)
    # Ticks: 0 begin, 1 selection, 2-3 copies, 4 end of selection, 5-6 curvature, 7 end; 8-9 guard.
    assert found.seconds == {"copies": 1, "selection": 2, "curvature": 1, "update": 3, "guard": 1}
    assert found.whole == 7


def test_single_forwards_equal_the_oracle():
    module, (x, _) = networks.small_cnn(), networks.pictures(5)
    copies = torch.tensor(x).permute(0, 3, 1, 2).double() / 255
    target = torch.tensor([1])
    losses, activations = single_forwards(module, cross_entropy, copies, target)
    np.testing.assert_allclose(activations, oracle.activations_one_by_one(module, copies), rtol=1e-12)
    np.testing.assert_allclose(losses, cross_entropy(module(copies), target.expand(5)).detach(), rtol=1e-12)
    assert not any(part._forward_hooks for part in unit_modules(module).values())


def test_the_dense_system_is_that_of_ours(task):
    problem = compare.in_float64(task.problem)
    block = block_that_fits(problem.module, [("0", 1), ("5", 3), ("0", 2)], 10_000)
    assert block.size == 2 * (27 + 1) + 36 + 1
    system = Differences.of(problem, block)
    step = Scrub.published(**SMALL).step(problem, block, np.random.default_rng(0))
    dense = system.solve(problem.n, 1, 0.01, torch.float64)
    np.testing.assert_allclose(step, dense, rtol=1e-10)
    first = system.solve(problem.n, 1, 0.01, torch.float64, size=9)
    assert first.shape == (9,)
    single = system.solve(problem.n, 1, 0.01, torch.float32)
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single, dense, rtol=1e-3, atol=1e-6)


def test_units_with_few_weights_fit_first():
    module = networks.small_cnn()  # units of 27 + 1, 36 + 1 and 16 + 1 weights
    units = [("0", 0), ("3", 1), ("7", 2), ("7", 0)]
    assert block_that_fits(module, units, 2 * 17 + 28).size == 2 * 17 + 28
    assert block_that_fits(module, units, 2 * 17 + 27).size == 2 * 17
    assert block_that_fits(module, units, 1).size == 17  # one at least


def test_scaling(task, monkeypatch):
    assert scaled_solve(2.0, 100, 300) == pytest.approx(54)
    found = scrubbed(task, SMALL)
    rivals = compare.Rivals(task, found, compare.Shares(), SMALL)
    now = iter(range(100))
    monkeypatch.setattr(compare, "perf_counter", lambda: float(next(now)))
    monkeypatch.setattr(compare, "seconds_along", lambda scorer, path, p, share, rng: 3.0)
    weights = found.proposal.block.size
    shares = compare.Shares(forwards=6, candidates=2, dense=weights // 2)
    seconds = rivals.run(np.random.default_rng(0), shares)
    cube = (weights / (weights // 2)) ** 3
    assert seconds == pytest.approx({"copies": 10, "selection": 3, "curvature": cube, "unscaled": 1})


def test_sums_and_the_verdict():
    ours = [{"copies": 1.0, "selection": 2.0, "curvature": 0.5, "update": 0.5, "guard": 9.0}] * 2
    slow = {"copies": 10.0, "selection": 100.0, "curvature": 900.0, "unscaled": 40.0}
    found = compare.whole(ours, [slow, {**slow, "selection": 140.0}])
    assert found["whole"]["ours"]["median"] == 4
    assert found["whole"]["published"]["seconds"] == [1010, 1050]
    assert found["lower"]["seconds"] == [150, 190]
    assert found["lower"]["ratio"] == pytest.approx(170 / 4)
    assert found["lower"]["ratio_by_repeat"] == pytest.approx([37.5, 47.5])
    assert found["met"] is True  # held against the lower one
    assert compare.whole(ours[:1], [slow])["met"] is False


def test_relative_difference_is_of_the_column():
    ours, theirs = np.array([[1.0, 0.0], [4.0, 0.0]]), np.array([[1.1, 0.0], [4.0, 1e-3]])
    assert compare.relative(ours, theirs) == 1
    assert compare.relative(ours[:, :1], theirs[:, :1]) == pytest.approx(0.1 / 4)
    assert compare.relative(ours[:, 1:], ours[:, 1:]) == 0


def test_accuracy_is_that_of_the_labels(task):
    examples = replace(task.validation, size=7).only(range(20))
    x, y = examples.take(range(20))
    expected = float((task.problem.module(x).argmax(dim=1) == y).double().mean())
    assert accuracy(task.problem.module, examples) == pytest.approx(expected)


def test_images_are_cifar_where_it_is(shared_data):
    assert pictures(None).name.startswith("random")
    if not (shared_data / "cifar-10-batches-py").is_dir():
        pytest.skip(f"no cifar-10-batches-py in {shared_data}")
    found = pictures(shared_data)
    assert found.name.startswith("CIFAR-10 (")
    assert found.x.shape == (3, 32, 32)
    assert len(found.y_test) >= 1_000


def test_a_job_in_a_process_of_its_own():
    job = {"family": "mlp", "copies": 60, "threads": 1}
    found = memory.with_limit(job)
    assert found["met"]
    assert found["weights"] == 3_073 * 100 + 101 * 10
    assert 0 < found["held_mb"] <= found["peak_mb"]
    assert found["scrub_mb"] == pytest.approx(found["peak_mb"] - found["held_mb"])
    assert found["seconds"] > 0


def test_writes_tables_and_a_picture(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "FAMILIES", {"tiny": Tiny()})
    monkeypatch.setattr(benchmark, "FAMILY", "tiny")
    monkeypatch.setattr(benchmark, "pictures", lambda folder: random_pictures(80, side=8))
    monkeypatch.setattr(memory, "measured_apart", lambda job: _measured)
    out, page = tmp_path / "scrub.json", tmp_path / "README.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    common = ["--out", str(out), "--repeats", "1", "--threads", "1", "--copies", "60", "--forwards", "5"]
    for option in (
        ["--settings"],
        ["--families"],
        ["--memory"],
        ["--candidates", "2", "--dense", "20", "--write"],
    ):
        assert replace(benchmark.BENCHMARK, folder=tmp_path).main([*common, *option]) == 0
    report = json.loads(out.read_text())
    assert set(report) == {"stages", "settings", "families", "memory"}
    stages = report["stages"]
    assert stages["units"] == 14
    assert stages["shares"] == {"forwards": 5, "candidates": 2, "dense": 20}
    assert stages["differences"]["activations"] < 1e-4
    assert stages["differences"]["step"] < 1e-6
    assert [job["met"] for job in report["memory"]["jobs"]] == [False] * 3
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    for part in benchmark.BENCHMARK.parts.values():
        assert f"### {part.heading}" in text
    assert "at most 3,000 MB: missed" in text
    assert (tmp_path / "scrub.png").stat().st_size > 10_000
    assert "Load before" in capsys.readouterr().out


def test_what_is_timed_has_the_published_settings():
    scrub = Timed.published()
    assert (scrub.selector, scrub.curvature, scrub.mode) == ("lfoci", "fd", "sekhari")
    assert (scrub.n_perturbations, scrub.perturbation_std, scrub.l2) == (1_000, 0.1, 0.01)
    assert (scrub.noise_epsilon, scrub.max_rise, scrub.refit_outputs) == (0.1, None, False)


_measured = {
    "seconds": 1.0,
    "weights": 9_000_000,
    "selected": 5_000,
    "held_mb": 600.0,
    "peak_mb": 4_000.0,
    "scrub_mb": 3_400.0,
}
