"""Files that are written once, each with its SHA-256 in a file beside it: they are read again as they were.

The sum is on disk before the file: one that is there without it, or with another, is not what was written. It
is as secret as the file: of one that holds a seed it would let guesses be confirmed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from expunge.core.errors import RunFolderError
from expunge.core.files import write_atomically
from expunge.core.plain import as_json
from expunge.core.regular import read_regular
from expunge.record.ledger import FILE, RESULTS
from expunge.record.sums import MEND, require_sums, sum_of, sums_of


def write_once(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, after its sum."""
    write_atomically(sums_of(path), sum_of(content), secret=True)
    write_atomically(path, content, secret=True)


def write_json_once(path: Path, value: Any) -> None:
    """The same of a value, as indented JSON.

    Raises:
        InvalidValue: It holds what JSON does not have; see ``expunge.core.plain``.
    """
    write_once(path, (as_json(value, path.name, indent=2) + "\n").encode())


def require_as_written(path: Path) -> None:
    """Compare a file with its sum, if there is one: folders of earlier versions have none.

    Raises:
        RunFolderError: It is not what was written.
        OSError: One of them cannot be read.
    """
    sums = sums_of(path)
    if sums.exists() and read_regular(sums) != sum_of(read_regular(path)):
        raise RunFolderError(f"{path}: damaged, it is not that of {sums.name}; {MEND}")


def require_complete(folder: Path) -> None:
    """Compare summary and ledger of a run, or study, that is complete with their sums.

    Raises:
        RunFolderError: One is not what was written.
        OSError: One cannot be read.
    """
    require_as_written(folder / "summary.json")
    for ledger in _ledgers(folder):
        if ledger.exists():
            require_sums(ledger)


def require_not_lost(folder: Path) -> None:
    """Refuse a folder that has the sums of a ledger, and no ledger: a run would begin among its remains.

    Raises:
        RunFolderError: So it is.
    """
    for ledger in _ledgers(folder):
        sums = sums_of(ledger)
        if not ledger.exists() and sums.exists() and sums.stat().st_size:
            raise RunFolderError(f"{ledger}: missing, and {sums.name} is there; {MEND}")


def _ledgers(folder: Path) -> list[Path]:
    return [folder / name for name in (FILE, RESULTS)]
