"""Files that are written once, each with its SHA-256 in a file beside it: they are read again as they were.

The sum is on disk before the file: one that is there without it, or with another, is not what was written. It
is as secret as the file: of one that holds a seed it would let guesses be confirmed. ``summary.sha256`` has
more lines, ``SUM  NAME``, of what the run has left beside its summary.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from expunge.core.errors import RunFolderError
from expunge.core.files import write_atomically
from expunge.core.hashing import sha256_of_file
from expunge.core.plain import as_json
from expunge.core.regular import read_regular
from expunge.record.ledger import FILE, RESULTS
from expunge.record.sums import LENGTH, MEND, require_sums, sum_of, sums_of

SUMMARY = "summary.json"
_SECRET = "state.safetensors"  # who made a run may keep it elsewhere
_BESIDE = (_SECRET, "model.safetensors", "inputs.json")
_LINE = re.compile(r"([0-9a-f]{64})  (\S+)\n")


def write_once(path: Path, content: bytes, more: bytes = b"") -> None:
    """Write a file that only its owner may read, after its sum, which ``more`` may follow."""
    write_atomically(sums_of(path), sum_of(content) + more, secret=True)
    write_atomically(path, content, secret=True)


def write_summary(folder: Path, summary: Any) -> None:
    """Write the summary of a run or study, with the sums of it and of what else there is.

    Raises:
        InvalidValue: It holds what JSON does not have; see ``expunge.core.plain``.
    """
    there = [name for name in _BESIDE if (folder / name).exists()]
    more = "".join(f"{sha256_of_file(folder / name)}  {name}\n" for name in there)
    write_once(folder / SUMMARY, (as_json(summary, SUMMARY, indent=2) + "\n").encode(), more.encode())


def require_as_written(paths: Sequence[Path]) -> None:
    """Compare files with their sums, if there are any: folders of earlier versions have none.

    Raises:
        RunFolderError: One is not what was written, or one of the sums is missing.
        OSError: One cannot be read.
    """
    summed = [sums_of(path) for path in paths if sums_of(path).exists()]
    for path in paths if summed else ():
        sums = sums_of(path)
        if sums not in summed:
            raise RunFolderError(f"{sums}: missing, and {summed[0].name} is there; {MEND}")
        if not path.exists():
            raise RunFolderError(f"{path}: missing, and {sums.name} is there; {MEND}")
        known = read_regular(sums)
        known = known[:LENGTH] if path.name == SUMMARY else known
        if known != sum_of(read_regular(path)):
            raise _damaged(path, sums)


def require_complete(folder: Path, all_of_it: bool = True) -> None:
    """Compare summary and ledger of a run, or study, that is complete with their sums.

    So is, with ``all_of_it``, what the run has left beside them; the secret state may be elsewhere.

    Raises:
        RunFolderError: One is not what was written, or is missing.
        OSError: One cannot be read.
    """
    summary = folder / SUMMARY
    require_as_written([summary])
    sums = sums_of(summary)
    for ledger in filter(Path.exists, _ledgers(folder)):
        require_sums(ledger)
        there = [one for one in (sums, sums_of(ledger)) if one.exists()]
        if len(there) == 1:
            (missing,) = {sums, sums_of(ledger)} - {*there}
            raise RunFolderError(f"{missing}: missing, and {there[0].name} is there; {MEND}")
    if all_of_it and sums.exists():
        _require_beside(sums)


def _require_beside(sums: Path) -> None:
    content = read_regular(sums)[LENGTH:].decode("latin-1")
    known = {name: found for found, name in _LINE.findall(content)}
    if "".join(f"{found}  {name}\n" for name, found in known.items()) != content:
        raise RunFolderError(f"{sums}: damaged, it has lines that are no sums; {MEND}")
    for path in (sums.with_name(name) for name in _BESIDE):
        if path.exists() and path.name not in known:
            raise RunFolderError(f"{path}: has no sum in {sums.name}; {MEND}")
        if path.exists() and sha256_of_file(path) != known[path.name]:
            raise _damaged(path, sums)
        if not path.exists() and path.name in known and path.name != _SECRET:
            raise RunFolderError(f"{path}: missing, and {sums.name} has its sum; {MEND}")


def _damaged(path: Path, sums: Path) -> RunFolderError:
    return RunFolderError(f"{path}: damaged, it is not that of {sums.name}; {MEND}")


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
