"""The README's own method is complete: its two files and its command put a row into the table."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import expunge
from tests.readme.pages import ROOT

TEXT = (ROOT / "README.md").read_text()
FILES = {
    name: block
    for block in re.findall(r"```(?:python|yaml)\n(.*?)```", TEXT, re.DOTALL)
    for name in re.findall(r"\A# (\S+\.(?:py|yaml))$", block, re.MULTILINE)
}


def test_it_takes_fifteen_lines():
    lines = [line for block in FILES.values() for line in block.splitlines()]
    assert len([line for line in lines if line.strip() and not line.startswith("#")]) <= 15


def test_its_command_puts_it_in_the_table(tmp_path):
    for name, block in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(block)
    (line,) = re.findall(r"^PYTHONPATH=.*$", TEXT, re.MULTILINE)
    small = "training.epochs=5 threads=1 figures=false"
    words = line.replace(" expunge ", f" {sys.executable} -m expunge ", 1)
    ended = subprocess.run(
        ["bash", "-c", f"{words} {small} hydra.sweep.dir=runs"],
        cwd=tmp_path,
        env=os.environ | {"EXPUNGE_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    runs = expunge.load(tmp_path / "runs").set_index("unlearner")
    assert set(runs.index) == {"shake", "finetune", "none"}
    assert (runs.loc["shake", "removed"], runs.loc["none", "removed"]) == (1, 0)
    assert re.search(r"^shake +\d", ended.stdout, re.MULTILINE)
