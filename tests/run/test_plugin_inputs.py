"""What a plug-in or a file of weights has made is not taken for what the mended one makes."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from expunge.core.torchvision_import import import_torchvision
from expunge.datasets.images import Images
from expunge.extractors.features import extracted
from expunge.models import Mlp, Softmax
from expunge.models.module_class import ModuleClass
from expunge.run.job_cache import JobCache
from expunge.training import Learner
from expunge.training.settings import Training
from tests import cli

CODE = {
    "expunge_plugins/keep.py": """
        from expunge.core.files import State
        from expunge.unlearners import Outcome
        import numpy as np

        class Keep:
            name = "keep"  # at first

            def fit(self, x, y, seed):
                self.kept = np.ones(len(y), dtype=bool)

            def remove(self, rows):
                from helpers import reason
                self.kept[list(rows)] = False
                return Outcome("removed", tuple(rows), reason=reason())

            def predict(self, x):
                return np.zeros(x.n, dtype=int)

            def residual(self):
                return None

            def model(self):
                return {}

            def state(self):
                return State({"kept": self.kept})

            def load_state(self, state, x, y):
                self.kept = state.arrays["kept"].astype(bool)
    """,
    "helpers.py": """
        def reason():
            return "first"
    """,
    "expunge_plugins/number.py": """
        class Number:
            columns, every = ("number",), 1

            def __call__(self, view):
                return {"number": 1}  # at first
    """,
}
YAML = {
    "unlearner/keep": "_target_: expunge_plugins.keep.Keep\n",
    "metrics/number": "number:\n  _target_: expunge_plugins.number.Number\n",
}
RUN = ("--config-dir", "conf", "unlearner=keep", "metrics=number", "removal.count=2", *cli.SMALL)


def put(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(textwrap.dedent(text))


@pytest.fixture
def code(tmp_path, monkeypatch):
    """Make modules the ones that Python finds, as a new process would; each version lies elsewhere."""
    own = ("helpers", "expunge_plugins", *(f"expunge_plugins.{name}" for name in ("keep", "number", "net")))

    def put_in_place(version: str, files: dict[str, str]) -> None:
        for name, text in files.items():
            put(tmp_path / version / name, text)
        monkeypatch.syspath_prepend(str(tmp_path / version))
        for name in own:
            sys.modules.pop(name, None)

    yield put_in_place
    for name in own:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("change", [None, "helpers.py", "expunge_plugins/number.py"])
def test_mended_plugins_are_named_and_run_again(tmp_path, code, change):
    for name, text in YAML.items():
        put(tmp_path / "conf" / f"{name}.yaml", text)

    def run(*arguments: str) -> cli.Ended:
        return cli.expunge(*RUN, *arguments, cwd=tmp_path)

    sweep = ("-m", "seed=0", "hydra.sweep.dir=sweep")
    code("old", CODE)
    assert run(*sweep).code == 0
    (cell,) = (file.parent for file in (tmp_path / "sweep").glob("*/DONE"))
    shutil.copytree(cell, tmp_path / "run")
    texts = {name: text.replace("first", "second") for name, text in CODE.items() if name == change}
    code("new", {**CODE, **texts})
    ended, again = run("hydra.run.dir=run", "resume=true"), run(*sweep)
    said = {record["reason"] for record in cli.records(cell)}
    assert again.code == 0
    if change is None:
        assert (ended.code, "is complete" in again.out, said) == (0, True, {"first"})
        return
    (line,) = ended.err.splitlines()
    module = change.removesuffix(".py").replace("/", ".")
    assert (ended.code, line.startswith(f"expunge: resume: source of {module}: content")) == (2, True)
    assert f"source of {module}: content differs" in again.out
    assert said == {"second" if change == "helpers.py" else "first"}


# Trained networks and features

NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.head = nn.Linear(shape[0], classes)

    def forward(self, x):
        return self.head(x {sign} 1)
"""
X = np.random.default_rng(0).normal(size=(30, 4))
Y = (X[:, 0] > 0).astype(np.int64)
ROWS = np.arange(30)


def learned(architecture, cache: Path) -> bool:
    """Whether a network is taken from the cache."""
    learner = Learner(architecture, Training(epochs=1), "cpu", cache, progress=False, threads=1)
    return learner.train(Images.of(X), Y, ROWS, 2, 0).cached


def test_old_weights_never_run_in_a_mended_network(tmp_path, code):
    found = []
    for sign in "+-+":
        code(f"code{ord(sign)}", {"expunge_plugins/net.py": NET.format(sign=sign)})
        found += [learned(ModuleClass("expunge_plugins.net.Net"), tmp_path / "cache") for _ in range(2)]
    assert found == [False, True, False, True, True, True]


def test_features_of_a_mended_network_are_extracted_again(tmp_path, code):
    found = []
    for sign in "+-":
        code(f"code{ord(sign)}", {"expunge_plugins/net.py": NET.format(sign=sign)})
        from expunge_plugins.net import Net

        torch.manual_seed(0)
        cache, images = tmp_path / "cache", Images.of(X)
        how = {"cache": cache, "device": torch.device("cpu"), "progress": False}
        found.append(extracted(Net((4,), 3), images, images, identity={}, **how)[0].raw.copy())
    assert not np.array_equal(*found)
    assert len(list(cache.glob("*.features.safetensors"))) == 2


def test_other_weights_are_another_network(tmp_path):
    module, file = Mlp((3,)).build((4,), 2), tmp_path / "weights.safetensors"
    found = []
    for scale in (1.0, 1.0, 2.0):
        save_file({k: scale * v for k, v in module.state_dict().items()}, file)
        found.append(learned(Mlp((3,), weights=str(file)), tmp_path / "cache"))
    assert found == [False, True, False]


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_a_run_from_other_weights_is_refused_by_name(tmp_path, suffix):
    state, file = Softmax().build((1, 8, 8), 2).state_dict(), tmp_path / f"weights.{suffix}"
    save = save_file if suffix == "safetensors" else torch.save
    save(state, file)
    chosen = ("model=softmax", f"model.weights={file.name}", "training.epochs=1", "unlearner=none")
    chosen += (*cli.SMALL, "removal.count=1", "metrics=accuracy", f"cache_dir={tmp_path / 'cache'}")
    cli.completed(*chosen, folder=tmp_path / "run")
    save({name: value + 0.5 for name, value in state.items()}, file)
    ended = cli.expunge(*chosen, "resume=true", "hydra.run.dir=run", cwd=tmp_path)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "resume: model.weights: content differs" in ended.err


# Within one process


def test_data_that_change_between_two_cells_are_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr("expunge.core.files_read._COARSEST", -60.0)
    cache, file, read = JobCache(), tmp_path / "x", []

    def make() -> str:
        read.append(file.read_text())
        return read[-1]

    for text, times in (("a", 1), ("a", 1), ("b", 2), ("b", 2)):
        if not read or text != read[-1]:
            file.write_text(text)
        assert cache.get("data", {"path": "x"}, make) == text
        assert len(read) == times
    os.utime(file)
    assert cache.get("data", {"path": "x"}, make) == "b"
    assert cache.get("data", {"path": "x"}, make, reuse=False) == "b"
    assert len(read) == 4


def test_other_weights_under_a_published_name_are_other_weights(tmp_path, monkeypatch):
    models = import_torchvision().models
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    chosen = ("extractor=pretrained", "extractor.architecture=shufflenet_v2_x0_5")
    chosen += ("extractor.weights=DEFAULT", "extractor.image_size=32", f"cache_dir={tmp_path / 'cache'}")
    chosen += ("removal.count=1", *cli.SMALL)
    network = models.shufflenet_v2_x0_5()
    name = models.ShuffleNet_V2_X0_5_Weights.DEFAULT.url.rpartition("/")[2]
    file = tmp_path / "hub" / "checkpoints" / name
    file.parent.mkdir(parents=True)
    torch.save(network.state_dict(), file)
    cli.completed(*chosen, folder=tmp_path / "run")
    torch.save({k: v * 2 for k, v in network.state_dict().items()}, file)
    ended = cli.expunge(*chosen, "resume=true", "hydra.run.dir=run", cwd=tmp_path)
    assert (ended.code, "resume: extractor.weights: content differs" in ended.err) == (2, True)
