"""A command's configuration is composed once, and is what Hydra would have composed the second time."""

from __future__ import annotations

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.errors import ConfigCompositionException
from hydra.types import RunMode
from omegaconf import OmegaConf

from expunge.app import config_dir
from expunge.run.hydra_once import OnceLoader

RUN, MULTIRUN = RunMode.RUN, RunMode.MULTIRUN


def place(folder=None):
    return create_config_search_path(str(folder or config_dir()))


def asked(loader, overrides, name="config"):
    """What Hydra asks for first: all of it, for ``hydra.mode``."""
    return loader.load_configuration(name, list(overrides), MULTIRUN, validate_sweep_overrides=False)


def content(config):
    """All that a configuration says, its flags, and nothing followed."""
    flags = [config._get_flag(flag) for flag in ("struct", "readonly")]
    return OmegaConf.to_container(config, resolve=False), flags, config.hydra._get_flag("readonly")


@pytest.mark.parametrize(
    ("overrides", "added", "mode"),
    [
        ([], ["hydra.mode=RUN"], RUN),
        (["dataset=digits_3v8", "removal.count=2", "hydra.run.dir=x"], ["hydra.mode=RUN"], RUN),
        (["+experiment=icml2020/mnist_grid", "~tracker"], ["hydra.mode=RUN"], RUN),
        (["hydra.mode=RUN", "+note=${seed}"], [], RUN),
        (["seed=1,2", "unlearner=newton,retrain"], ["hydra.mode=MULTIRUN"], MULTIRUN),
        (["seed=1,2", "hydra.mode=RUN"], ["hydra.mode=MULTIRUN"], MULTIRUN),
        (["seed=range(3)", "hydra.mode=MULTIRUN", "hydra.sweep.dir=x"], [], MULTIRUN),
    ],
)
def test_the_second_is_the_first_and_hydras(overrides, added, mode):
    loader = OnceLoader(place())
    first = asked(loader, overrides)
    second = loader.load_configuration("config", [*overrides, *added], mode)
    assert second is first
    hydras = ConfigLoaderImpl(place()).load_configuration("config", [*overrides, *added], mode)
    assert content(second) == content(hydras)
    assert second.hydra.mode is hydras.hydra.mode
    third = loader.load_configuration("config", [*overrides, *added], mode)  # it is handed on once
    assert third is not first


@pytest.mark.parametrize("name", ["overrides", "more", "folder"])
def test_another_question_gets_an_answer_of_its_own(tmp_path, monkeypatch, name):
    loader = OnceLoader(place())
    first = asked(loader, ["seed=1"])
    overrides = {"overrides": ["seed=2"], "more": ["seed=1", "seed=2"]}.get(name, ["seed=1"])
    if name == "folder":
        monkeypatch.chdir(tmp_path)
    found = loader.load_configuration("config", overrides, RUN)
    assert found is not first
    assert content(found) == content(ConfigLoaderImpl(place()).load_configuration("config", overrides, RUN))


@pytest.mark.parametrize("overrides", [["seed=1,2"], ["seed=range(3)"]])
def test_a_sweep_without_its_flag_is_refused_as_by_hydra(overrides):
    loader, said = OnceLoader(place()), []
    asked(loader, overrides)
    for one in (loader, ConfigLoaderImpl(place())):
        with pytest.raises(ConfigCompositionException) as refused:
            one.load_configuration("config", [*overrides, "hydra.mode=RUN"], RUN)
        said.append(str(refused.value))
    assert said[0] == said[1]


def test_a_group_still_to_be_chosen_is_refused_as_by_hydra(tmp_path):
    (tmp_path / "kind").mkdir()
    (tmp_path / "kind" / "a.yaml").write_text("a: 1\n")
    (tmp_path / "config.yaml").write_text("defaults:\n- _self_\n- kind: ???\n")
    loader = OnceLoader(place(tmp_path))
    assert OmegaConf.is_missing(asked(loader, []).hydra.runtime.choices, "kind")
    with pytest.raises(ConfigCompositionException, match="You must specify 'kind'"):
        loader.load_configuration("config", ["hydra.mode=RUN"], RUN)
