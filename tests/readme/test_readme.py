"""Every command of the README and of ``docs/``: bash and zsh read it alike, and it runs, made small.

``python -m tests.readme`` runs them from real shells, ``--full`` as they stand.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from expunge import reporting
from expunge.audit import app as audit
from expunge.core import door
from expunge.datasets import market
from expunge.help import help_text
from expunge.report import app as report
from expunge.reproduce import app as reproduce
from expunge.run.config_files import config_dir
from expunge.verify import app as verify
from tests import cli, test_experiments
from tests.readme import shells
from tests.readme.pages import OURS, PAGES, RECORDS, ROOT, Command, commands, fragments, python_blocks
from tests.readme.small import Left, place_in, small

TOLD = [command for page in PAGES for command in commands(page)]
WRITTEN = [command for page in (*PAGES, *RECORDS) for command in (*commands(page), *fragments(page))]
PLUGINS = "docs/plugins.md"  # tests/run/test_plugin_docs.py runs these, with the files that the page shows


def in_help() -> list[Command]:
    """The commands in what our programs say of themselves."""
    apps = (audit, report, reproduce, verify)
    texts = [help_text(config_dir(), []), *(app._DESCRIPTION + app._EXAMPLES for app in apps)]
    lines = [re.split(r" {2,}", line.strip())[0] for text in texts for line in text.splitlines()]
    found = [line for line in lines if re.match(r"expunge(-\w+)? [-+a-z]*[=A-Z/ -]", line)]
    quoted = [span for text in texts for span in re.findall(r"`(expunge[^`]+)`", text)]
    return [Command(line, "--help") for line in dict.fromkeys([*found, *quoted])]


def in_files() -> list[Command]:
    """Settings with a list in the comments of configuration files, which are there to be typed."""
    found = []
    for file in sorted((ROOT / "conf").rglob("*.yaml")):
        comments = " ".join(re.findall(r"# (.*)", file.read_text()))
        found += [Command(f"expunge {word}", file.name) for word in re.findall(r"\S*\w=\[\S*\]\S*", comments)]
    return found


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    return shells.stand_ins(tmp_path_factory.mktemp("shells") / "bin")


def test_pages_have_commands_of_every_program():
    assert len(TOLD) > 50
    named = {word for command in TOLD for word in command.words if word in shells.PROGRAMS}
    assert named >= {*OURS, "python", "make", "pytest"}
    assert len(in_help()) > 15
    assert in_files()


@pytest.mark.parametrize("shell", shells.SHELLS)
@pytest.mark.parametrize("of", ["pages", "help", "files"])
def test_shells_read_every_command_alike(shell, of, programs, tmp_path):
    """They give the program the very words that stand there, whatever a pattern may mean to them."""
    if reason := shells.absent(shell):
        pytest.skip(reason)
    for command in {"pages": WRITTEN, "help": in_help(), "files": in_files()}[of]:
        words = shells.read_by(shell, command.text, programs, tmp_path)
        if command.words[0] in ("cd", "source"):
            continue
        env = [word for word in command.words if word.startswith("PYTHONPATH=")] or ["PYTHONPATH="]
        assert words == [*env, *(word for word in command.words if word not in env)], command


def test_a_pattern_that_is_not_quoted_is_found(programs, tmp_path):
    for shell in (shell for shell in shells.SHELLS if not shells.absent(shell)):
        with pytest.raises(AssertionError, match="no match"):
            shells.read_by(shell, "expunge extractor.filters=[16]", programs, tmp_path)


# -- they run ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return place_in(tmp_path_factory.mktemp("reader"))


def run(words: list[str], cwd: Path, capsys) -> None:
    """Run a command in this process where that comes to the same."""
    program, *given = words
    if program == "expunge":
        ended = cli.expunge(*given, cwd=cwd)
        code, told = ended.code, ended.err
    elif program == "make":
        done = subprocess.run([*words, "-n"], cwd=ROOT, capture_output=True, text=True)  # what it would do
        code, told = done.returncode, done.stderr
    else:
        mains = {"expunge-report": reporting.main, "expunge-reproduce": reproduce.main, "python": market.main}
        mains["expunge-verify"] = verify.main
        mains["expunge-audit"] = audit.main
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(cwd)
            code = mains[program](given[2:] if program == "python" else given)
        told = capsys.readouterr().err
    assert code == 0, told


def heavy(command: Command) -> str | None:
    """Where else a command is run, of those that nothing makes small."""
    words = command.words
    if words[:2] == ["python", "-m"] and words[2].startswith("experiments.benchmarks."):
        name = words[2].rpartition(".")[2]
        tests = {"removal": "test_benchmarks"}.get(name, f"test_{name}_benchmark")
        assert (ROOT / "tests" / "benchmarks" / f"{tests}.py").is_file()
        return f"tests/benchmarks/{tests}.py"
    if words[:2] == ["python", "examples/deletion_service.py"]:
        return "tests/test_deletion_service.py"
    if words[:3] == ["python", "-m", "experiments.truth.rowless"]:
        return "tests/unlearners/test_rowless.py"
    if words[:3] == ["python", "-m", "experiments.truth"]:
        return "tests/test_truth.py"
    if words[:3] == ["python", "-m", "experiments.leaderboard"]:
        return "tests/test_leaderboard.py"
    if words[0] == "pytest":
        assert (ROOT / words[2]).is_file()
        return words[2]
    if words[0].startswith("PYTHONPATH="):
        return "tests/readme/test_own_method.py"
    if words[:3] == ["python", "-m", "venv"]:
        return "an installation"
    elsewhere = {"pip": "an installation", "source": "an installation", "cd": "a folder of the page"}
    return elsewhere.get(words[0])


ALONE = list({tuple(c.words): c for c in TOLD if c.page != PLUGINS and heavy(c) is None}.values())
DONE: set[frozenset[str]] = set()  # commands that come to the same when they are small


@pytest.mark.parametrize("command", ALONE, ids=lambda command: " ".join(command.words)[:90])
def test_a_command_runs(command, place, tmp_path, capsys):
    experiment = next((word for word in command.words if word.startswith("+experiment=")), None)
    try:
        words = small(command.words, place)
    except Left as reason:
        pytest.skip(str(reason))
    if experiment:  # tests/test_experiments.py runs each of them, reduced
        known = {**test_experiments.CELLS, **test_experiments.ELSEWHERE}
        assert experiment.partition("=")[2] in known
        words = [*words, "--cfg", "job"]
    if frozenset(words) not in DONE:
        run(words, tmp_path, capsys)
        DONE.add(frozenset(words))


def test_commands_of_the_page_on_plugins_are_run_there():
    page = (ROOT / "tests" / "run" / "test_plugin_docs.py").read_text()
    assert 'line.startswith("PYTHONPATH")' in page
    texts = {command.words[0] for command in TOLD if command.page == PLUGINS}
    assert texts <= {"cd", "PYTHONPATH=code", "expunge", "python"}
    assert 'line.startswith("python ")' in page


# -- Python -----------------------------------------------------------------------------------------------


def names() -> dict[str, object]:
    """What the blocks of the pages take for granted."""
    rng = np.random.default_rng(5)
    wide = rng.normal(size=(4300, 4))
    images = rng.integers(0, 256, size=(60, 6, 6, 1), dtype=np.uint8)
    return {
        "X": wide,
        "y": (wide[:, 0] > 0).astype(int),
        "network": torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36, 3)),
        "images": images,
        "labels": torch.tensor(rng.integers(0, 3, size=60)),
        "rows": np.arange(60),
        "seed": 3,
    }


ELSEWHERE = {  # pages whose blocks belong together, and where they are run
    "docs/certificate.md": "tests/readme/test_certificate_page.py",
    "docs/own_data.md": "tests/readme/small.py",
    "docs/plugins.md": "tests/run/test_plugin_docs.py",
}
PYTHON = {page.relative_to(ROOT).as_posix(): python_blocks(page) for page in PAGES}


def test_pages_have_blocks_of_python():
    assert {page for page, blocks in PYTHON.items() if blocks} >= {"README.md", "docs/python.md", *ELSEWHERE}
    assert all((ROOT / test).is_file() for test in ELSEWHERE.values())


@pytest.mark.parametrize(
    "page", [page for page, blocks in PYTHON.items() if blocks and page not in ELSEWHERE]
)
def test_blocks_of_python_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = names()
    for code in PYTHON[page]:
        if code.startswith("# expunge_plugins/"):  # tests/readme/test_own_method.py runs it
            continue
        if "foci(" in code:
            columns = given["X"][:200]
            own = {"y": columns[:, 0], "z": columns[:, 1], "x": columns[:, 2], "X": columns[:, 1:]}
        elif "Scrub(" in code:
            own = {**given, "x": given["images"], "y": given["labels"]}
        else:
            own = dict(given)
        exec(compile(code, page, "exec"), own)


def test_the_python_here_is_that_of_the_programs(monkeypatch):
    """The entry points that are called here are those that an installation makes commands of."""
    text = (ROOT / "pyproject.toml").read_text()
    entered = []
    monkeypatch.setattr(door, "enter", lambda *asked: entered.append(asked))
    programs = re.findall(r'^(expunge[\w-]*) = "expunge\.core\.door:(\w+)"$', text, re.M)
    for _, name in programs:
        getattr(door, name)()
    other = {
        "expunge-report": "expunge.reporting"
    }  # which adds to the report what knows more than run folders
    assert entered == [(name, other.get(name, f"{name.replace('-', '.')}.app")) for name, _ in programs]
    assert len(programs) == 5
    assert shutil.which(sys.executable)
