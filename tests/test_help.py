"""``expunge --help``: what it says, and that it loads nothing heavy to say it."""

from __future__ import annotations

import re

import pytest

from expunge.app import config_dir
from expunge.help_keys import key_text
from expunge.run.key_comments import choice
from tests import cli

HEAVY = ("torch", "torchvision", "sklearn", "numba", "scipy", "matplotlib", "wandb", "pandas", "opacus")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("help")
    ended = cli.expunge("--help", cwd=folder)
    assert (ended.code, ended.err) == (0, "")
    assert list(folder.iterdir()) == []
    return ended.out


def test_every_group_and_choice_is_listed(page):
    listed = dict(
        line.strip().split(": ", 1) for line in page.splitlines() if line.startswith("  ") and ": " in line
    )
    for file in config_dir().rglob("*.yaml"):
        group = file.parent.relative_to(config_dir()).as_posix()
        if group != ".":
            assert file.stem in listed[group].split(", "), f"{group}={file.stem}"


@pytest.mark.parametrize(
    "words",
    [
        "expunge unlearner.noise=lattice",
        "expunge +experiment=",
        "expunge -m unlearner.lam=1e-4,1e-3",
        "expunge resume=true hydra.run.dir=",
        "expunge-report FOLDER",
        "removals.jsonl",
        "exit code 2",
        "lam: 0.001",
    ],
)
def test_it_teaches(page, words):
    assert words in page


def test_it_shows_what_the_overrides_come_to(tmp_path):
    ended = cli.expunge("unlearner=none", "seed=17", "--help", cwd=tmp_path)
    assert "_target_: expunge.unlearners.none.NoOp" in ended.out
    assert "seed: 17" in ended.out


def test_bad_override_beside_help_gives_one_line(tmp_path):
    ended = cli.expunge("unlearner=nope", "-h", cwd=tmp_path)
    assert ended.code == 2
    assert ended.err.startswith("expunge: unlearner: got 'nope', allowed: one of ")
    assert ended.err.count("\n") == 1


def test_nothing_heavy_is_imported(tmp_path):
    code = (
        "import sys; sys.argv = ['expunge', '--help']\n"
        "from expunge.app import main\n"
        "main()\n"
        f"print('loaded:', *(name for name in {HEAVY!r} if name in sys.modules))"
    )
    ended = cli.wait(cli.start("-c", code, cwd=tmp_path, program=(cli.sys.executable,)))
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[-1] == "loaded:"


# -- a key, a group ----------------------------------------------------------------------------------------


def told(tmp_path, *arguments):
    ended = cli.expunge(*arguments, cwd=tmp_path)
    assert (ended.code, ended.err, list(tmp_path.iterdir())) == (0, "", [])
    return ended.out


def test_a_key_is_told_with_meaning_allowed_default_and_place(tmp_path):
    page = told(tmp_path, "--help", "unlearner.lam")
    assert page.splitlines()[:2] == ["unlearner.lam", "  regularisation per example (> 0); multiplies n"]
    assert "  allowed: a finite number > 0\n" in page
    assert "  now: 0.001\n" in page
    assert "newton" in page.split("value by default, of unlearner=...")[1]
    assert "read by expunge.predictors.linear_problems.LinearProblems" in page


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("unlearner.alpha", "unlearner=ssd"), ("now: 4.0", "4.0: ssd", "expunge.unlearners.ssd.Ssd")),
        (("unlearner.importance", "unlearner=ssd"), ("allowed: fisher or output",)),
        (("device",), ("allowed: auto or cpu or cuda", "now: auto")),
        (("removal.count",), ("now: 100", "100: neighbours, outliers, random, sample", "number of requests")),
        (("metrics.accuracy.every",), ("1: accuracy", "allowed: a whole number >= 1")),
        (("model.std",), ("allowed: 0 <= value\n",)),
        (("seed", "threads"), ("seed\n", "threads\n", "null: every core")),
        (("hydra.run.dir",), ("outputs/",)),
        (("unlearner",), ("unlearner=NAME", "  ssd ", "  newton ")),
        (("experiment",), ("icml2020/mnist_grid", "compare/methods")),
    ],
    ids=str,
)
def test_what_is_told_of_keys_and_groups(tmp_path, arguments, words):
    page = told(tmp_path, "--help", *arguments)
    assert all(word in page for word in words), page


@pytest.mark.parametrize("name", ["unlearner/ssd", "unlearner/newton", "removal/random", "training/sgd"])
def test_every_key_of_a_file_has_a_meaning(name):
    group, _, stem = name.partition("/")
    for key in choice(config_dir() / f"{name}.yaml", group).keys:
        page = key_text(key.name, config_dir(), [f"{group}={stem}", *(["model=mlp"] * (stem == "sgd"))])
        assert page.startswith(f"{key.name}\n")
        assert "(no comment)" not in page, key


@pytest.mark.parametrize(
    ("key", "near"),
    [("lam", "unlearner.lam"), ("unlearner.lamb", "unlearner.lam"), ("sed", "seed"), ("nothing_like_it", "")],
)
def test_an_unknown_key_has_those_near(tmp_path, key, near):
    ended = cli.expunge("--help", key, cwd=tmp_path)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert ended.err.startswith(f"expunge: {key}: no such key")
    assert ("did you mean" in ended.err) == bool(near)
    assert near in ended.err


@pytest.mark.parametrize("name", ["unlearner", "unlearners", "experiments", "dataset", "metrics", "trackers"])
def test_a_list_has_a_line_for_each_choice_from_its_file(tmp_path, monkeypatch, name):
    monkeypatch.setenv("COLUMNS", "400")
    listed = {
        line.split()[0]: line.split(maxsplit=1)[1:] for line in told(tmp_path, "--list", name).splitlines()
    }
    root = config_dir() / name.removesuffix("s") if (config_dir() / name.removesuffix("s")).is_dir() else None
    root = root or config_dir() / name
    files = {file.relative_to(root).with_suffix("").as_posix(): file for file in root.rglob("*.yaml")}
    assert listed.keys() == files.keys()
    for choice_, (about,) in listed.items():
        lines = files[choice_].read_text().splitlines()
        first = next(line for line in lines if not line.startswith("# @package"))
        assert first.startswith("# ")
        assert first[2:30] in f"{about}.", choice_


def test_lists_fit_the_screen_and_know_ones_own(tmp_path):
    (tmp_path / "own" / "unlearner").mkdir(parents=True)
    (tmp_path / "own" / "unlearner" / "mine.yaml").write_text("# Of my own. And more.\nname: mine\n")
    ended = cli.expunge("--config-dir", "own", "--list", "unlearner", cwd=tmp_path)
    assert re.search(r"^  mine +Of my own$", ended.out, re.M)
    assert max(map(len, ended.out.splitlines())) <= 80


def test_a_list_of_nothing_is_one_line(tmp_path):
    assert "unlearner: bad_teacher, " in told(tmp_path, "--list")
    ended = cli.expunge("--list", "unlerner", cwd=tmp_path)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert ended.err.startswith(
        "expunge: --list: got 'unlerner' (did you mean unlearner?), allowed: groups, "
    )
