"""``docs/plugins.md`` is enough: its blocks, written to files as they say, run by its commands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import cli

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "plugins.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """The folder that the page describes."""
    folder = tmp_path_factory.mktemp("mine")
    for _, text in BLOCKS:
        named = re.search(r"^# ((?:code|conf)/\S+)$", text, re.MULTILINE)
        if named:
            file = folder / named[1]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    return folder


(SHELL,) = (text.replace("\\\n", " ").splitlines() for kind, text in BLOCKS if kind == "bash")


def commands() -> list[str]:
    return [line for line in SHELL if line.startswith("PYTHONPATH")]


@pytest.mark.parametrize("command", [commands()[0], commands()[-1]])
def test_its_commands_run(mine, command):
    line = command.replace(" expunge ", f" {sys.executable} -m expunge ", 1) + " threads=1"
    env = os.environ | {"EXPUNGE_CACHE": str(mine / "cache")}
    ended = subprocess.run(
        ["bash", "-c", line], cwd=mine, env=env, capture_output=True, text=True, timeout=300
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_what_they_leave(mine):
    test_its_commands_run(mine, commands()[0].replace("dir=run", "dir=again"))
    summary = cli.summary(mine / "again")
    assert (summary["unlearner"], summary["role"], summary["removed"]) == ("mean", "reference", 5)
    assert summary["columns"]["label_share"]["head"] == "positive share"
    assert (mine / "again" / "lines.txt").read_text().splitlines()[-1] == "5 removed"


def test_its_figures_are_drawn(mine):
    test_its_commands_run(mine, commands()[1])
    for name in ("accuracy", "classes"):
        assert (mine / "figure" / "figures" / f"{name}.png").is_file()
    drawn = (mine / "figure" / "figures" / "classes.svg").read_text()
    assert "Class with the lowest accuracy" in drawn
    assert "Class with the highest accuracy" in drawn
    (script,) = (line for line in SHELL if line.startswith("python "))
    subprocess.run([sys.executable, *script.split()[1:]], cwd=mine, check=True, timeout=300)
    assert (mine / "change.png").read_bytes().startswith(b"\x89PNG")


def test_its_unlearner_is_one(mine):
    code = next(text for _, text in BLOCKS if "check_unlearner(" in text)
    env = os.environ | {"PYTHONPATH": "code"}
    subprocess.run([sys.executable, "-c", code], cwd=mine, env=env, check=True, timeout=300)
