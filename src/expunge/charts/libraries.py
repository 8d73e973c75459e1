"""The libraries that make charts live: the converter has them, and takes seconds to put them together."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from expunge.charts.rendering import converter
from expunge.core.errors import one_line
from expunge.core.files import write_atomically
from expunge.core.homes import private_folder

log = logging.getLogger(__name__)

_SNIPPET = "window.vegaEmbed = vegaEmbed;"


def libraries() -> str:
    """Return them as one script, of the version that drew the pictures.

    It is kept in the folder that is this user's alone, with its digest: one that is damaged, or cannot be
    read or written, is put together again, which takes longer.
    """
    folder = private_folder()
    return put_together() if folder is None else _kept(folder / f"vega-{converter().__version__}.js")


def put_together() -> str:
    """Return what the installed converter makes of them."""
    script: str = converter().javascript_bundle(_SNIPPET)
    return f"{script}\n"


def _kept(path: Path) -> str:
    try:
        digest, _, script = path.read_text(encoding="utf-8").partition("\n")
        if digest == _digest(script):
            return script
        log.debug("%s: damaged; it is made again", path)
    except FileNotFoundError:
        pass
    except (OSError, UnicodeDecodeError) as error:
        log.debug("%s: cannot be read (%s); it is made again", path, one_line(error))
    script = put_together()
    try:
        write_atomically(path, f"{_digest(script)}\n{script}".encode())
    except OSError as error:
        log.debug("%s: cannot be kept (%s)", path, one_line(error))
    return script


def _digest(script: str) -> str:
    return hashlib.sha256(script.encode()).hexdigest()
