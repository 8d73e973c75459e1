"""Where the configuration files are, and how a text is written in an override."""

from __future__ import annotations

import re
from pathlib import Path

from expunge.core.errors import UserError


def config_dir() -> Path:
    """The YAML that travels in the wheel, or that of the checkout when run from one.

    Raises:
        UserError: It is in neither place, as where the package is run from within an archive.
    """
    package = Path(__file__).parents[1]
    for folder in (package / "conf", package.parents[1] / "conf"):
        if (folder / "config.yaml").is_file():
            return folder
    raise UserError(f"{package}: no folder conf beside it; unpack the archive, or install it (pip install)")


def quoted(text: str) -> str:
    """A text as a value in Hydra's grammar, whatever characters it has."""
    # Hydra takes a backslash for one unless a quote follows.
    return "'" + re.sub(r"(\\+)(?='|$)", r"\1\1", text).replace("'", "\\'") + "'"
