"""Every method of the configuration on a tiny vision transformer."""

from __future__ import annotations

import json

from expunge.run.config_files import config_dir
from expunge.run.declared import located
from tests import cli
from tests.unlearners.test_comparison import target

TINY = ("model=vit", "model.dim=8", "model.depth=1", "model.heads=2", "training.epochs=2", "training.lr=0.01")
FEW = ("dataset=digits", "dataset.train_rows=100", "removal.count=1", "metrics=[accuracy]")


def test_every_method_for_networks_ends_with_an_outcome(tmp_path):
    files = [f for f in (config_dir() / "unlearner").glob("*.yaml") if not f.stem.endswith("_published")]
    able = sorted(file.stem for file in files if "network" in located("unlearner", target(file)).supports)
    able.remove("hessian_free")  # which refuses networks that normalise
    assert {"lcodec", "kfac", "ssd", "sisa", "salun", "unsir"} <= set(able)
    how = f"hydra.sweep.dir={tmp_path / 'sweep'}", f"cache_dir={tmp_path}", "figures=false", "threads=1"
    ended = cli.expunge("-m", *FEW, *TINY, f"unlearner={','.join(able)}", *how, cwd=tmp_path)
    assert ended.code == 0, ended.err
    outcomes = {}
    for file in (tmp_path / "sweep").glob("*/removals.jsonl"):
        (line,) = file.read_text().splitlines()
        method = json.loads((file.parent / "summary.json").read_text())["unlearner"]
        outcomes[method] = json.loads(line)["outcome"]
    assert len(outcomes) == len(able)
    assert set(outcomes.values()) <= {"removed", "retrained", "refused"}
    assert outcomes["lcodec"] == outcomes["kfac"] == "removed"
