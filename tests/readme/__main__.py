"""Run the commands of the README and of ``docs/`` from real shells.

``python -m tests.readme [--full] [--shell zsh] [--only WORD]``: small by default. With ``--full`` they run as
they stand, in this checkout, whose records ``--write`` renews: it takes days, real data, and a GPU for some.
Placeholders are filled either way.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from pathlib import Path

from tests.readme import shells
from tests.readme.pages import PAGES, ROOT, commands
from tests.readme.small import Left, full, place_in, small


def main() -> int:
    """Return 1 if a command failed."""
    parser = argparse.ArgumentParser("python -m tests.readme", description=__doc__)
    parser.add_argument("--full", action="store_true", help="as they stand, but for placeholders")
    parser.add_argument("--shell", choices=shells.SHELLS, action="append", help="one of them; default: all")
    parser.add_argument("--only", default="", metavar="WORD", help="commands that have this in them")
    options = parser.parse_args()
    failed = 0
    for shell in options.shell or shells.SHELLS:
        if reason := shells.absent(shell):
            sys.stdout.write(f"{shell}: left out: {reason}\n")
            continue
        with tempfile.TemporaryDirectory() as folder:
            failed += run_all(shell, Path(folder), options.full, options.only)
    return 1 if failed else 0


def run_all(shell: str, cwd: Path, whole: bool, only: str) -> int:
    """Run them in ``cwd`` and return how many failed."""
    place, failed = place_in(cwd), 0
    for command in [command for page in PAGES for command in commands(page) if only in command.text]:
        try:
            words = (full if whole else small)(command.words, place)
        except Left as reason:
            sys.stdout.write(f"{shell}: left out: {command.text}: {reason}\n")
            continue
        ours = words[0] in ("make", "pytest") or words[:2] == ["python", "-m"]
        if not whole and words[0] in ("make", "pip"):
            words += ["--dry-run"]
        line = shlex.join(words)
        code = shells.run_by(shell, line, Path(sys.executable).parent, ROOT if ours else cwd)
        failed += code != 0
        sys.stdout.write(f"{shell}: {'ok' if code == 0 else f'exit code {code}'}: {line}\n")
        sys.stdout.flush()
    return failed


if __name__ == "__main__":
    sys.exit(main())
