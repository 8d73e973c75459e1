"""``expunge --schema``: a JSON schema of experiments, which all that we ship keeps to."""

from __future__ import annotations

import json

import pytest
from omegaconf import OmegaConf

from expunge.app import config_dir
from expunge.help import choices, composed
from expunge.run.key_comments import choice
from expunge.schema import schema
from tests import cli

jsonschema = pytest.importorskip("jsonschema")

EXPERIMENTS = sorted((config_dir() / "experiment").rglob("*.yaml"))
GROUPS = {
    name: of
    for name, of in choices([config_dir()]).items()
    if name.split("/")[0] not in ("experiment", "hydra")
}


@pytest.fixture(scope="module")
def check():
    made = schema([config_dir()])
    jsonschema.Draft202012Validator.check_schema(made)
    return jsonschema.Draft202012Validator(made)


def plain(text: str):
    return OmegaConf.to_container(OmegaConf.create(text), resolve=False)


@pytest.mark.parametrize("file", EXPERIMENTS, ids=lambda file: file.stem)
def test_every_experiment_keeps_to_it(check, file):
    assert [error.message for error in check.iter_errors(plain(file.read_text()))] == []


@pytest.mark.parametrize("group", GROUPS)
def test_so_does_what_every_choice_comes_to(check, group):
    for name in GROUPS[group]:
        value = f"[{name}]" if group == "metrics" else name
        config, _, _ = composed(config_dir(), [f"{group}={value}"])
        found = OmegaConf.to_container(config, resolve=False)
        found.pop("reduced", None)  # which is a flag on the command line, and overrides in a file
        assert [(error.json_path, error.message) for error in check.iter_errors(found)] == [], name


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("unlearner: {lamm: 1}", "$.unlearner"),
        ("unlearner: {lam: much}", "$.unlearner.lam"),
        ("unlearner: {at_limit: 3}", "$.unlearner.at_limit"),
        ("unlearners: {lam: 1}", "$"),
        ("metrics: {accuracy: {evry: 3}}", "$.metrics.accuracy"),
        ("defaults: [override /unlearner: newtn]", "$.defaults[0]"),
        ("defaults: [override /unlearners: newton]", "$.defaults[0]"),
        ("reduced: {removal.cuont: 3}", "$.reduced"),
    ],
)
def test_what_is_wrong_is_marked_where_it_is(check, text, at):
    (error,) = check.iter_errors(plain(text))
    assert error.json_path == at


@pytest.mark.parametrize(
    "text",
    [
        "unlearner: {lam: 1e-3, std: '${model.std}'}",
        "defaults: [/experiment/x, _self_, override /metrics: [accuracy], override /model: null]",
        "defaults: [override hydra/launcher: parallel, override /unlearner@other: newton]",
        "{study: {anything: 1}, hydra: {mode: x}, reduced: {unlearner.lam: '1,2', +new: 1, study.n: 2}}",
    ],
)
def test_what_is_right_is_not(check, text):
    assert [error.message for error in check.iter_errors(plain(text))] == []


def test_it_says_what_the_comments_say(check):
    kept = check.schema["properties"]
    of = choice(config_dir() / "config.yaml", "")
    assert {key.name for key in of.keys if not key.name.startswith("hydra.")} <= kept.keys()
    (seed,) = [key for key in of.keys if key.name == "seed"]
    assert kept["seed"]["description"].startswith(seed.meaning)
    newton = choice(config_dir() / "unlearner" / "newton.yaml", "unlearner")
    for key in newton.keys:
        assert key.name.removeprefix("unlearner.") in kept["unlearner"]["properties"]
    assert "newton_corrected" in kept["unlearner"]["description"]


def test_the_command_prints_it_and_leaves_nothing(check, tmp_path):
    ended = cli.expunge("--schema", cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    assert json.loads(ended.out) == check.schema
    assert list(tmp_path.iterdir()) == []


def test_choices_and_keys_of_ones_own_are_in_it(tmp_path):
    (tmp_path / "conf" / "unlearner").mkdir(parents=True)
    own = "_target_: mine.Mine\nname: mine\nhow_much: 3  # of everything\n"
    (tmp_path / "conf" / "unlearner" / "mine.yaml").write_text(own)
    ended = cli.expunge("--schema", "--config-dir", str(tmp_path / "conf"), cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    made = json.loads(ended.out)
    assert made["properties"]["unlearner"]["properties"]["how_much"] == {"description": "of everything"}
    right = plain("{defaults: [override /unlearner: mine], unlearner: {how_much: 4}}")
    assert [*jsonschema.Draft202012Validator(made).iter_errors(right)] == []
