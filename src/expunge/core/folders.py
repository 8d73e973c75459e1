"""Folders whose content comes and goes at once or not at all, and of which only what we have made is deleted.

What a folder holds cannot be deleted in one step. So one step decides it, the making of ``.gone-*`` in it:
all else is moved there, and then deleted. Who finds such a folder, under the lock, finishes that first.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
import uuid
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path

from expunge.core.locks import LOCK, Taken, exclusive

_UNIQUE = "[0-9a-f]" * 32  # in the name of what is being written or deleted
_GONE = ".gone-"
_NO_CONTENT = re.compile(rf"{re.escape(LOCK)}|{re.escape(_GONE)}{_UNIQUE}$|.*\.{_UNIQUE}\.part$")


def aside(path: Path) -> Path:
    """A name of its own for what takes the place of ``path`` when it is whole: two processes may write it."""
    return path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")


def sweep_up(folder: Path, name: str | None = None) -> None:
    """Delete what kills amid writing ``name`` (None: anything) in ``folder`` have left, files and folders.

    Nobody else may be writing it.
    """
    pattern = "*" if name is None else glob.escape(name)
    for left in folder.glob(f"{pattern}.{_UNIQUE}.part"):
        delete(left)


def content(folder: Path, but: Collection[str] = ()) -> list[Path]:
    """What a folder holds, in order of names; none where there is none.

    Names in ``but`` do not count, nor do locks, what is being deleted, and what was never whole.
    """
    if not os.path.isdir(folder):
        return []
    there = sorted(name for name in os.listdir(folder) if name not in but)
    return [folder / name for name in there if not _NO_CONTENT.match(name)]


def sweep_up_cache(folder: Path) -> None:
    """Delete what kills have left in a folder where every file ``X.*`` has a lock ``X.lock``, that included.

    What another process is at work on stays, and what may not be deleted: it is in nobody's way.
    """
    parts = {path.name.rsplit(".", 2)[0] for path in folder.glob(f"*.{_UNIQUE}.part")}
    locks = {path.name.removesuffix(LOCK) for path in folder.glob(f"?*{LOCK}")}
    for name in sorted(parts | locks):
        lock = folder / f"{name.removesuffix('.safetensors').removesuffix('.part')}{LOCK}"
        with suppress(Taken, OSError), exclusive(lock, wait=False):
            sweep_up(folder, name)


def names(folder: Path) -> list[str]:
    """The names of all that is in a folder, in order; none where there is none, or nobody may look."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def delete(path: Path) -> None:
    """Delete a file, or a folder with all in it, write-protected or not; of a symbolic link the link alone.

    Raises:
        OSError: Something cannot be deleted.
    """
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    try:
        shutil.rmtree(path)
    except PermissionError:  # of a folder in it that must not be written to
        path.chmod(0o700)
        for here, below, _ in os.walk(path):
            for folder in (Path(here, name) for name in below):
                if not folder.is_symlink():
                    folder.chmod(0o700)
        shutil.rmtree(path)


def empty(folder: Path, but: Collection[str] = (), first: Collection[str] = ()) -> None:
    """Delete all that a folder holds ``but`` these names, so that a kill in between leaves it to ``finish``.

    What is named ``first`` goes before all else: readers without the lock take it for the mark of a whole.

    Raises:
        OSError: Something cannot be moved or deleted.
    """
    if content(folder, but):
        gone = folder / f"{_GONE}{uuid.uuid4().hex}"
        gone.mkdir(mode=0o700)
        _through(gone, but, first)


def finish(folder: Path, but: Collection[str] = (), first: Collection[str] = ()) -> None:
    """Delete to the end what ``empty``, called like this, has begun to."""
    for gone in sorted(folder.glob(f"{_GONE}{_UNIQUE}")):
        if gone.is_dir() and not gone.is_symlink():
            _through(gone, but, first)


def _through(gone: Path, but: Collection[str], first: Collection[str]) -> None:
    """Move what is beside ``gone`` into it, and delete it."""
    for path in sorted(content(gone.parent, but), key=lambda path: path.name not in first):
        if path.is_dir() and not path.is_symlink() and not os.access(path, os.W_OK):
            path.chmod(0o700)  # a folder that must not be written to cannot be moved
        os.replace(path, gone / path.name)
    delete(gone)


@contextmanager
def whole(folder: Path) -> Iterator[Path]:
    """A folder to be made and filled, which takes the place of ``folder`` when the block has ended well.

    So what is called ``folder`` is complete. Where nothing has been made, nothing is put in place.
    """
    filled = aside(folder)
    try:
        yield filled
        if not filled.exists():
            return
        discard(folder)
        os.replace(filled, folder)
    except BaseException:
        delete(filled)
        raise


def discard(path: Path) -> None:
    """Delete a file or a folder, which is there with all that is in it until it is not there."""
    if os.path.lexists(path):
        os.replace(path, old := aside(path))
        delete(old)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Make a folder for what a command writes, and keep others out of it; an error leaves no new folder.

    Raises:
        OSError: It cannot be made, or written to.
    """
    made = missing(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with exclusive(folder):
            sweep_up(folder)
            yield
    except BaseException:
        unmake(made)
        raise


def missing(folder: Path) -> list[Path]:
    """The folders that have to be made for ``folder`` to be there, itself first."""
    folder = Path(os.path.abspath(folder))
    return list(takewhile(lambda one: not os.path.lexists(one), (folder, *folder.parents)))


def unmake(made: Iterable[Path]) -> None:
    """Delete the folders that ``missing`` has named, as far as they are there and nothing is in them."""
    for folder in made:
        with suppress(OSError):  # not there, or cannot be, or not empty: then its parents are not either
            folder.rmdir()
