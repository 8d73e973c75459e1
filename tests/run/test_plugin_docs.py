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


def commands() -> list[str]:
    (shell,) = (text for kind, text in BLOCKS if kind == "bash")
    lines = shell.replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith("PYTHONPATH")]


@pytest.mark.parametrize("command", commands())
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


def test_its_unlearner_is_one(mine):
    code = next(text for _, text in BLOCKS if "check_unlearner(" in text)
    env = os.environ | {"PYTHONPATH": "code"}
    subprocess.run([sys.executable, "-c", code], cwd=mine, env=env, check=True, timeout=300)
