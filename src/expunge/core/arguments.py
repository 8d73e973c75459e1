"""The parser of our commands: what it refuses is one line, like everything else that is refused."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NoReturn

from expunge.core.errors import one_line

_BAD_INPUT = 2


class Parser(argparse.ArgumentParser):
    """``argparse``'s, without a page of usage before what is wrong."""

    def error(self, message: str) -> NoReturn:
        """End the command with one line."""
        sys.stderr.write(f"{self.prog}: {one_line(message)} (see --help)\n")
        sys.exit(_BAD_INPUT)


def folder(text: str) -> Path:
    """Return a folder's path; no text, as of a shell's variable that is not set, is none."""
    if not text:
        raise argparse.ArgumentTypeError("got '', allowed: a folder ('.' is the current one)")
    return Path(text)
