"""The figures of linear models on a GPU, rehearsed in small on the processor."""

import json

import pytest
import torch
from experiments.benchmarks.gpu import linear

_SMALL = ("--rows", "2000x8", "--head", "600x6x5", "--ratio", "1500x4", "--batch", "20", "--batches", "2")


def run(folder, *arguments):
    file = folder / "linear.json"
    linear.main(["--json", str(file), *arguments])
    return json.loads(file.read_text())


def test_every_figure_is_there_and_every_bound_holds(tmp_path):
    found = run(tmp_path, "--device", "cpu", *_SMALL, "--releases", "2", "--solver", "iterative", "--profile")
    assert not [part for part in found.values() if "error" in part]
    assert found["checked"]["triton"] is False
    assert found["ratio"]["difference"] <= found["ratio"]["allowed"]
    assert found["ratio"]["same_bits_twice"]
    assert found["many_rows"]["difference"] <= found["many_rows"]["allowed"]
    for part, releases in ((found["many_rows"], 2), (found["many_classes"], 2)):
        assert part["holds"]
        assert part["measured"] <= part["bound"]
        assert part["measured"] == pytest.approx(part["own"], rel=1e-3, abs=1e-9)
        assert len(part["release_seconds"]) == releases
    assert set(found["many_classes"]["passes"]) >= {"gradients", "look", "curved"}


def test_what_fails_is_in_its_place_and_the_rest_is_there(tmp_path, monkeypatch):
    def broken(args, device):
        raise RuntimeError("out of luck")

    broken.__name__ = "many_rows"
    monkeypatch.setattr(linear, "many_rows", broken)
    found = run(tmp_path, "--device", "cpu", *_SMALL, "--only", "ratio", "many_rows")
    assert "out of luck" in found["many_rows"]["error"]
    assert "gpu_seconds" in found["ratio"]
    assert "many_classes" not in found


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_says_so(tmp_path):
    assert run(tmp_path) == {"skipped": "torch finds no GPU here"}
