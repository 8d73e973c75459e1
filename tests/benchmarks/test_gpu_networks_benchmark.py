"""The benchmark of networks on a GPU: a tiny rehearsal on the CPU, and what it says where there is no GPU."""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from experiments.benchmarks.gpu import networks

SCRIPT = Path(networks.__file__).with_name("run.sh")
TINY = [
    *("--device", "cpu", "--data", "nowhere", "--rows", "200", "--epochs", "2", "--foci", "40x20x3"),
    *("--networks", "resnet18", "--images", "64", "--copies", "12", "--repeats", "1", "--cpu-repeats", "1"),
]


def test_a_tiny_rehearsal(tmp_path, monkeypatch):
    monkeypatch.setattr(
        networks, "agreement", lambda device: {"sums": True}
    )  # half a minute, and its own tests
    out = tmp_path / "networks.json"
    networks.main([*TINY, "--json", str(out), "--profile", "--tune"])
    held = json.loads(out.read_text())
    assert set(held) == {"checked", "selection", "scrubs", "training"}
    assert "error" not in out.read_text()
    assert held["selection"]["same_columns"] is held["selection"]["same_scores"] is True
    assert held["training"]["losses"] == held["training"]["losses_on_the_cpu"]
    assert held["training"]["data"] != "MNIST"
    for settings in ("published", "ours"):
        found = held["scrubs"]["resnet18"][settings]
        assert found["same_twice"] is found["same_columns_as_on_the_cpu"] is True
        assert set(found["stage_seconds"]) == {"copies", "selection", "curvature", "update"}
        assert held["scrubs"]["resnet18"][f"{settings}, where time goes"]["functions"]


def test_one_figure_that_fails_leaves_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(networks, "agreement", lambda device: 1 / 0)
    networks.main([*TINY, "--only", "checked", "selection", "--json", str(tmp_path / "networks.json")])
    held = json.loads((tmp_path / "networks.json").read_text())
    assert "ZeroDivisionError" in held["checked"]["error"]
    assert held["selection"]["same_columns"]


@pytest.mark.skipif(not shutil.which("sh"), reason="no shell")
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU: the script takes minutes")
def test_the_script_skips_with_a_reason_without_a_gpu(tmp_path):
    done = subprocess.run(
        ["sh", str(SCRIPT), str(tmp_path / "made")],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )
    held = json.loads((tmp_path / "made" / "networks.json").read_text())
    assert held == {"skipped": "torch finds no GPU here"}
    assert str(tmp_path / "made") in done.stdout
    if find_spec("experiments.benchmarks.gpu.linear"):
        assert done.returncode == 0
        assert "skipped" in (tmp_path / "made" / "linear.json").read_text()


@pytest.mark.skipif(not shutil.which("sh"), reason="no shell")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "cifar.sh: got no folder, allowed: cifar.sh FOLDER [OVERRIDE ...]"),
        (["{tmp}/made", "model=resnet18,densenet121", "model.small_images=3"], "model.small_images: got 3"),
    ],
)
def test_the_script_of_cifar_says_what_is_wrong(tmp_path, arguments, said):
    """With nothing wrong it is the experiment, whose reduced form runs elsewhere."""
    done = subprocess.run(
        ["sh", str(SCRIPT.with_name("cifar.sh")), *(text.format(tmp=tmp_path) for text in arguments)],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert said in done.stderr
