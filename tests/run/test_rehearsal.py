"""What is compiled and imported once a machine, or once a process, is in no time that a run reports."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from expunge.datasets.images import Images
from expunge.models.module_class import ModuleClass
from expunge.training import Learner, Training

# Looks, whenever a clock is read, at what has been compiled and imported until then.
PROGRAM = """
import json, sys, time
from types import SimpleNamespace
from numba.core.dispatcher import Dispatcher
from expunge import app, codec
from expunge.codec import kernels as of_codec, neighbours, tied_kernels
from expunge.linear import kernels
from expunge.run import session

rooms = kernels, of_codec, neighbours, tied_kernels
compiled = {id(part): part for room in rooms for part in vars(room).values() if isinstance(part, Dispatcher)}
seen = []

def perf_counter():
    kinds = {f"{part.py_func.__name__}{kind}" for part in compiled.values() for kind in part.signatures}
    seen.append(sorted(kinds | {name for name in sys.modules if name.partition(".")[0] in HEAVY}))
    return time.perf_counter()

HEAVY = {"torch", "scipy", "numba", "sklearn", "sympy"}
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
    ],
    ids=["linear", "release", "network"],
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
