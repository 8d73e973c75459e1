"""The comparison of methods for networks leaves none out."""

from __future__ import annotations

from omegaconf import OmegaConf

from expunge.run.config_files import config_dir
from expunge.run.declared import located


def target(file):
    """The class that a choice is of, its own or that of what it is based on."""
    settings = OmegaConf.load(file)
    return settings.get("_target_") or target(file.with_stem(settings.defaults[0]))


def test_every_method_for_networks_is_compared():
    """Those that are no published settings of another, and none that is not there.

    But for ``hessian_free``: a vector of the network's length for each of 60,000 rows is refused.
    """
    files = [f for f in (config_dir() / "unlearner").glob("*.yaml") if not f.stem.endswith("_published")]
    experiment = OmegaConf.load(config_dir() / "experiment" / "compare" / "networks.yaml")
    named = experiment.hydra.sweeper.params.unlearner.split(",")
    assert "unlearner" not in experiment.reduced
    able = {file.stem for file in files if "network" in located("unlearner", target(file)).supports}
    assert sorted([*named, "hessian_free"]) == sorted(able)
