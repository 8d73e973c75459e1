"""Whether a folder holds a run that ``resume`` can go on with: a mistyped name must begin none."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from expunge.core.errors import InvalidValue, RunFolderError
from expunge.record.inputs import FILE as INPUTS
from expunge.record.ledger import FILE, RESULTS
from expunge.record.resume import FILE as CHECKPOINT
from expunge.record.resume import FROM_CHECKPOINT, IF_THERE
from expunge.record.sums import sums_of
from expunge.run.before import noted

_LEFT = (
    *(".hydra", INPUTS, f"{CHECKPOINT}*", "*.part", ".lock", ".gone-*"),
    *(sums_of(Path(name)).name for name in (FILE, RESULTS)),
)
"""What a run that ended before its first record leaves: it is begun again."""


def require_begun(folder: Path, resume: Any, there: Iterable[Path]) -> None:
    """Refuse to ``resume`` where ``there``, which is all that a folder without a ledger holds, is of no run.

    Raises:
        RunFolderError: It was not there before this command, or holds something else.
    """
    if resume not in (True, FROM_CHECKPOINT):  # nobody asks for it, or it is a value that is refused
        return
    others = sorted(path.name for path in there if not any(fnmatch(path.name, left) for left in _LEFT))
    if not others and folder.absolute() not in noted().made:
        return
    what = f"it holds {others[0]}" if others else "there is no such folder"
    allowed = (
        f"hydra.run.dir of a run that was interrupted, or resume={IF_THERE} to begin one where there is none"
    )
    raise RunFolderError(f"resume: {folder} holds no run ({what}), allowed: {allowed}")


def require_no_resume(resume: Any) -> None:
    """Refuse to ``resume`` what ``force`` deletes.

    Raises:
        InvalidValue: It is asked for.
    """
    if resume not in (None, False):
        how = str(resume).lower()
        allowed = f"false with resume={how}: it deletes the run that the other goes on with"
        raise InvalidValue("force", True, allowed)
