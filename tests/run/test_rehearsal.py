"""What is compiled and imported once a machine, or once a process, is in no time that a run reports."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from expunge.datasets.images import Images
from expunge.linear.rows import Rows
from expunge.models import Mlp
from expunge.models.module_class import ModuleClass
from expunge.predictors.linear import LinearModel
from expunge.predictors.network import NetworkModel
from expunge.training import Learner, Training
from expunge.unlearners.finetune import Finetune
from expunge.unlearners.gradient_ascent import GradientAscent
from expunge.unlearners.lcodec import Lcodec
from expunge.unlearners.newton import Newton
from expunge.unlearners.none import NoOp
from expunge.unlearners.rehearsal import rehearse
from expunge.unlearners.retrain import Retrain
from tests.networks import blobs

# Looks, whenever a clock is read, at what has been compiled and imported until then.
PROGRAM = """
import json, sys, time
from types import SimpleNamespace
from numba.core.dispatcher import Dispatcher
from expunge import app, codec
from expunge.codec import kernels as of_codec, neighbours, tied_kernels
from expunge.linear import kernels, parallel
from expunge.run import session

rooms = kernels, of_codec, neighbours, tied_kernels
compiled = {id(part): part for room in rooms for part in vars(room).values() if isinstance(part, Dispatcher)}
seen = []

def perf_counter():
    kinds = {f"{part.py_func.__name__}{kind}" for part in compiled.values() for kind in part.signatures}
    found = {"BLAS"} if parallel._blas.cache_info().currsize else set()
    seen.append(sorted(kinds | set(sys.modules) | found))
    return time.perf_counter()

session.time = SimpleNamespace(perf_counter=perf_counter)
sys.argv[1:] = json.loads(sys.argv[1])
try:
    app.main()
finally:
    print("SEEN", json.dumps(seen))
"""
SMALL = ("figures=false", "threads=1", "removal.count=2", "hydra.run.dir=run", "progress=false")
ARRAYS = ("dataset=arrays", "dataset.path=data.npz")
NETWORK = ("dataset=digits", "model=mlp", "training.epochs=1", "metrics=[accuracy]")


def clocks(folder, *arguments):
    """What was there at each reading of a clock in a run of its own process."""
    given = json.dumps([*SMALL, *arguments])
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, given], cwd=folder, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    (line,) = [line for line in ended.stdout.splitlines() if line.startswith("SEEN ")]
    return [set(names) for names in json.loads(line.removeprefix("SEEN "))]


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("float32", ("unlearner=newton_corrected", "unlearner.perturbation=gaussian", "unlearner.anchor=1")),
        ("float64", ("unlearner=newton_corrected",)),
        (None, (*NETWORK, "unlearner=lcodec", "unlearner.n_perturbations=60")),
        ("float64", ("unlearner=lcodec", "unlearner.n_perturbations=60")),
    ],
    ids=["linear", "release", "network", "scrub"],
)
def test_nothing_is_compiled_while_a_clock_runs(kind, arguments, tmp_path):
    if kind is not None:
        rng = np.random.default_rng(0)
        x = rng.integers(1, 9, size=(60, 5)).astype(kind)
        np.savez(tmp_path / "data.npz", x=x, y=np.arange(60) % 2)
        arguments = (*ARRAYS, *arguments)
    seen = clocks(tmp_path, *arguments)
    assert len(seen) >= 6, "training and two removals"
    for start, stop in zip(seen[::2], seen[1::2], strict=True):
        assert stop - start == set()
    assert any(name.startswith("gradient_block(") for name in seen[0]) == (kind is not None)


COMPILED: list[int] = []


def counting(graph, inputs):
    """A backend of ``torch.compile`` that counts what it compiles, and runs it as it is."""
    COMPILED.append(len(inputs))
    return graph.forward


def compiled(shape, classes):
    layers = [torch.nn.Flatten(), torch.nn.Linear(int(np.prod(shape)), 8), torch.nn.ReLU()]
    return torch.compile(torch.nn.Sequential(*layers, torch.nn.Linear(8, classes)), backend=counting)


def test_a_compiled_network_is_compiled_before_it_is_trained():
    """And the one that it is compared with, of other batch sizes, too: they share what is compiled."""
    learner = Learner(ModuleClass(f"{__name__}.compiled"), Training(epochs=2, batch_size=16), progress=False)
    rng = np.random.default_rng(0)
    x, y = Images.of(rng.normal(size=(41, 5))), np.arange(41) % 3
    state = torch.random.get_rng_state()
    learner.rehearse(x, 3)
    assert torch.equal(state, torch.random.get_rng_state())
    before = len(COMPILED)
    assert before
    learner.train(x, y, np.arange(41), 3, seed=0)
    learner.train(x, y, np.arange(39), 3, seed=0)
    assert len(COMPILED) == before


RELEASE = {"perturbation": "release", "certificate": "measured"}
LINEAR = {
    "fresh": (Newton, {"certificate": "third_order"}),
    "frozen": (Newton, {"update": "frozen", "at_limit": "refuse"}),
    "pure": (Newton, {"perturbation": "pure_eps", "delta": 0.0, "certificate": "worst_case"}),
    "anchored": (Newton, {"update": "corrected", "anchor": 1}),
    "release": (Newton, {"update": "corrected", **RELEASE}),
    "residual": (Newton, {"update": "corrected", "residual": 1e-6, **RELEASE}),
    "lattice": (Newton, {"update": "corrected", "noise": "lattice", **RELEASE}),
    "rowless": (Newton, {"update": "rowless", **RELEASE}),
    "retrain": (Retrain, {}),
    "none": (NoOp, {}),
    "scrub": (Lcodec, {"n_perturbations": 60}),
    "fd": (Lcodec, {"n_perturbations": 60, "curvature": "fd"}),
}
NETWORKS = {
    "retrain": (Retrain, {}),
    "finetune": (Finetune, {}),
    "ascent": (GradientAscent, {}),
    **{
        kind: (Lcodec, {"n_perturbations": 60, "curvature": kind})
        for kind in ("kfac", "ggn", "exact", "fisher")
    },
}


def linear(name, classes, dim=90, **more):
    kind, settings = LINEAR[name]
    rng = np.random.default_rng(0)
    x, y = Rows.normalised(rng.normal(size=(60, dim))), np.arange(60) % classes
    std = 0.0 if settings.get("perturbation") == "release" else 1.0
    return kind(LinearModel(lam=1e-2, std=std, **more), **settings), x, y


def network(name):
    kind, settings = NETWORKS[name]
    x, y = blobs(60, 5, 3)
    return (
        kind(NetworkModel(Learner(Mlp(hidden=(6,)), Training(epochs=2), "cpu", progress=False)), **settings),
        x,
        y,
    )


CASES = [
    *(
        pytest.param(linear, (name, k), id=f"{name}{k}")
        for name in LINEAR
        for k in ((2,) if LINEAR[name][0] is Lcodec else (2, 4))
    ),
    *(pytest.param(network, (name,), id=f"network {name}") for name in NETWORKS),
]


@pytest.mark.parametrize(("make", "how"), CASES)
def test_a_rehearsal_comes_to_its_end_and_changes_nothing(make, how, caplog):
    method, x, y = make(*how)
    caplog.set_level("DEBUG", "expunge")
    state = torch.random.get_rng_state()
    held = dict(vars(method)), dict(vars(method.predictor))
    rehearse(method, x, y)
    assert not caplog.records, caplog.text
    assert (dict(vars(method)), dict(vars(method.predictor))) == held
    assert torch.equal(state, torch.random.get_rng_state())
    other, _, _ = make(*how)
    for one in (method, other):
        one.fit(x, y, 3)
        one.remove([4])
        one.remove([5, 6])
    if getattr(method, "noise", None) != "lattice":
        assert all(
            np.array_equal(a, b)
            for a, b in zip(method.predictor.model().values(), other.predictor.model().values(), strict=True)
        )


def test_a_rehearsal_that_cannot_be_is_no_end_of_a_run(caplog):
    """What is wrong is said where it is used: here by training itself."""
    method, x, y = linear("fresh", 1)
    caplog.set_level("DEBUG", "expunge")
    method.rehearse(x, y)
    (said,) = [record for record in caplog.records if record.name == rehearse.__module__]
    assert said.levelname == "DEBUG"
    assert "got one class" in said.message
