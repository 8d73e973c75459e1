"""Files of arrays that metrics left in a run folder."""

from __future__ import annotations

import logging
from pathlib import Path

from expunge.core.errors import DataError
from expunge.core.files import load_header
from expunge.record.columns import picture_of
from expunge.record.folders.runs import Run

log = logging.getLogger(__name__)


def files_of(run: Run, kind: str, what: str) -> list[Path]:
    """Return the files of a kind (``maps``, ``margins``), by what they say of themselves, or by name.

    One that cannot be read costs a line of the log, with ``what`` it may hold.
    """
    found = []
    for path in sorted(run.folder.glob("*.safetensors")):
        try:
            header = load_header(path)
        except DataError as error:
            header = {}  # who reads it says what is wrong
            if picture_of(path.name, header) != kind:
                log.warning("%s; if it holds %s, they are not shown", error, what)
        if picture_of(path.name, header) == kind:
            found.append(path)
    return found
