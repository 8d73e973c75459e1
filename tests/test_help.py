"""``expunge --help``: what it says, and that it loads nothing heavy to say it."""

from __future__ import annotations

import pytest

from expunge.app import config_dir
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
