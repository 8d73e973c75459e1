"""Real shells, and stand-ins for the programs that say what arguments they were given."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.readme.pages import PROGRAMS

# Without the user's own files. bash, too, is to stumble over a pattern that matches nothing.
SHELLS = {"bash": ("bash", "--norc", "-O", "failglob", "-c"), "zsh": ("zsh", "-f", "-c")}
_SAYS = """#!/bin/sh
exec > "$WORDS"
printf '%s\\0' "PYTHONPATH=$PYTHONPATH" "${0##*/}" "$@"
"""


def absent(shell: str) -> str | None:
    """Why this shell cannot be asked, or None."""
    return None if shutil.which(shell) else f"needs {shell}, found none on PATH"


def stand_ins(folder: Path) -> Path:
    """Write a program of each name into ``folder``."""
    folder.mkdir()
    for name in PROGRAMS:
        if name not in ("cd", "source"):  # words of the shell itself
            (folder / name).write_text(_SAYS)
            (folder / name).chmod(0o755)
    return folder


def read_by(shell: str, line: str, programs: Path, cwd: Path) -> list[str]:
    """Return the words that the program of a line gets from this shell, ``PYTHONPATH=...`` first.

    Raises:
        AssertionError: The shell does not take the line.
    """
    words = cwd / "words"
    words.write_bytes(b"")
    word, _, place = line.partition(" ")
    if word == "cd":  # which no program is run for, as for the next
        (cwd / place).mkdir(exist_ok=True)
        words.write_bytes(b"\0")
    if word == "source":
        (cwd / place).parent.mkdir(parents=True, exist_ok=True)
        (cwd / place).touch()
        words.write_bytes(b"\0")
    env = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "WORDS": str(words), "HOME": str(cwd)}
    done = subprocess.run([*SHELLS[shell], line], cwd=cwd, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), f"{shell}: {line}: {done.stderr or done.returncode}"
    content = words.read_text()
    assert content, f"{shell}: {line}: no program was run"
    return content.split("\0")[:-1]


def run_by(shell: str, line: str, programs: Path, cwd: Path) -> int:
    """Run a line for real, with this folder of programs before all others; return its exit code."""
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run([*SHELLS[shell], line], cwd=cwd, env={**os.environ, "PATH": path}).returncode
