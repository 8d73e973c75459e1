"""What the system refuses (room, memory, files, permission), in one line: where, what, and what to do."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from pathlib import Path

from expunge.core.errors import PeerLost, one_line

_CURES = {
    **dict.fromkeys(("ENOSPC",), "make room there, or use another disk"),
    **dict.fromkeys(("EDQUOT",), "make room: the quota is used up"),
    **dict.fromkeys(("EFBIG",), "files may be no larger here: see ulimit -f"),
    **dict.fromkeys(("EMFILE",), "no more may be open at a time: see ulimit -n"),
    **dict.fromkeys(("ENFILE",), "no more may be open on this machine: close other programs"),
    **dict.fromkeys(("EACCES", "EPERM"), "the user who runs this must be allowed to"),
    **dict.fromkeys(("EROFS",), "choose a folder that can be written to"),
    **dict.fromkeys(("ENAMETOOLONG",), "choose a shorter path"),
    **dict.fromkeys(("EIO", "ENXIO", "EREMOTEIO"), "the disk or the connection to it fails"),
    **dict.fromkeys(("ESTALE",), "the network file system has lost it: look whether it is mounted"),
    **dict.fromkeys(("ELOOP",), "symbolic links lead in a circle"),
    **dict.fromkeys(("ENOMEM",), "free memory, or see ulimit -v"),
    **dict.fromkeys(("EAGAIN",), "no more processes or threads may be started: see ulimit -u"),
}
_CURE = {getattr(errno, name): cure for name, cure in _CURES.items() if hasattr(errno, name)}
_MEMORY = "not enough memory"
_LESS = "free some, see ulimit -v, or ask for less at a time"
_OF_MEMORY = re.compile(
    "not enough memory|can't allocate memory|cannot allocate memory|out of memory|std::bad_alloc"
    "|failed to map segment|Unable to allocate",
    re.IGNORECASE,
)
_OF_THREADS = re.compile("can't start new thread|Resource temporarily unavailable", re.IGNORECASE)
_OF_FILES = re.compile("too many open files|cannot open shared object file: Error 24", re.IGNORECASE)
_ELSEWHERE = (RuntimeError, ImportError, SystemError, ValueError)  # what libraries make of it
_LONGEST = 200
_LEAST = 256 << 20  # bytes


def require_addresses(least: int = _LEAST, what: str = "to begin") -> None:
    """Refuse what would wait for memory for ever, as numpy's BLAS, or end the process without a word.

    Raises:
        MemoryError: The process may have less than ``least`` bytes of addresses (``ulimit -v``).
    """
    try:
        import resource
    except ImportError:  # not a Unix
        return
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    if most != resource.RLIM_INFINITY and most < least:
        raise MemoryError(f"{most >> 20} MiB of addresses, at least {least >> 20} are needed {what}")


@contextmanager
def naming(path: Path | str, temporary: Path | None = None) -> Iterator[None]:
    """Give an error of the system the path that it is about, where it has none, as of a write.

    A ``temporary`` file's name, which nobody knows, gives way to it.
    """
    try:
        yield
    except OSError as error:
        named = None if error.filename is None else str(error.filename)
        if error.errno is not None and (named is None or named == str(temporary)):
            error.filename, error.filename2 = str(path), None
        raise


def system_error(error: BaseException) -> str | None:
    """Say what the system has refused; None for an error that is none of the system's.

    An error that was made of another (``raise ... from ...``) is what that is.
    """
    seen: BaseException | None = error
    while seen is not None:
        if said := _said_of(seen):
            return said
        seen = seen.__cause__
    return None


def _said_of(error: BaseException) -> str | None:
    text = one_line(error)[:_LONGEST]
    if isinstance(error, PeerLost):
        return one_line(error)
    if isinstance(error, MemoryError) or (isinstance(error, _ELSEWHERE) and _OF_MEMORY.search(text)):
        return f"{_MEMORY}{f': {text}' if text else ''} ({_LESS})"
    if isinstance(error, RecursionError):
        return f"nested too deeply: {text} (it must be simpler)"
    if isinstance(error, BrokenExecutor):
        return "a worker process ended before its time (killed, or out of memory)"
    if isinstance(error, _ELSEWHERE) and _OF_THREADS.search(text):
        return f"{text} ({_CURE[errno.EAGAIN]})"
    if isinstance(error, _ELSEWHERE) and _OF_FILES.search(text):
        return f"{text} ({_CURE[errno.EMFILE]})"
    return _of_system(error) if isinstance(error, OSError) else None


def _of_system(error: OSError) -> str:
    if error.errno is None:
        return f"{type(error).__name__}: {one_line(error)}"
    what = os.strerror(error.errno)
    named = (error.filename, error.filename2)  # or a descriptor, which says nothing
    paths = [os.fsdecode(path) for path in named if isinstance(path, (str, bytes, os.PathLike))]
    where = f"{' -> '.join(paths)}: " if paths else ""
    cure = _CURE.get(error.errno)
    return one_line(f"{where}{what[:1].lower()}{what[1:]}{f' ({cure})' if cure else ''}")
