"""Versions of packages, this one's where it is not installed included."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_OWN = "expunge"


def version_of(package: str) -> str | None:
    """Return a package's version, None where it is not there.

    Our own is the checkout's where it is imported from one: another may be installed, or none.
    """
    own = _of_checkout() if package == _OWN else None
    if own is not None:
        return own
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _of_checkout() -> str | None:
    """What ``pyproject.toml`` says, two folders above the package; Python 3.10 has no reader of TOML."""
    file = Path(__file__).parents[3] / "pyproject.toml"
    if not file.is_file():
        return None
    text = file.read_text(encoding="utf-8")
    found = re.search(rf'^\[project\]\nname = "{_OWN}"\nversion = "([^"]+)"$', text, re.MULTILINE)
    return found[1] if found else None
