"""Where a user's own files go, also those of one without a home folder or a name."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from pathlib import Path
from urllib.parse import quote

from expunge.core.errors import DataError


def expanded(path: str | Path) -> Path:
    """The path with its ``~`` replaced by a home folder.

    Raises:
        DataError: There is no such home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        reason = "nobody knows the home folder that it begins with; write the path without ~"
        raise DataError(f"{path}: {reason}") from None


def resolved(path: Path) -> Path:
    """The path with its symbolic links followed.

    Raises:
        OSError: They lead in a circle.
    """
    try:
        return path.resolve()
    except RuntimeError:  # of CPython before 3.13
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path)) from None


def link(folder: Path, out: Path) -> str | None:
    """Return the address of ``folder`` for a page in ``out``, relative to it; None where there is none.

    There is none where the two have nothing in common but the root of the file system: the way from one to
    the other would be a machine's own path.
    """
    folder, out = folder.resolve(), resolved(out)
    try:
        common = Path(os.path.commonpath([folder, out]))
    except ValueError:  # on different drives
        return None
    if common == Path(common.anchor):
        return None
    return quote(Path(os.path.relpath(folder, out)).as_posix()) + "/"


def has_home() -> bool:
    """Whether this user has a home folder."""
    home = os.path.expanduser("~")  # which stays as it is where nobody knows
    return os.path.isabs(home) and os.path.isdir(home)


def private_folder() -> Path | None:
    """A folder among the temporary ones that this user alone can use, made where it is not there.

    For what can be made again, in place of a home folder; None where there is none to be had.
    """
    if not hasattr(os, "getuid"):
        return None
    try:
        root = Path(tempfile.gettempdir())
        if root == Path.cwd():  # the last that is tried where no other can be written to
            return None
        folder = root / f"expunge-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    own = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
    return folder if own else None
