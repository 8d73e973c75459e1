"""Files of a user's, opened and read without waiting: a pipe or a device may have no end, or no beginning."""

from __future__ import annotations

import errno
import os
import stat
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from expunge.core.memory import in_words, room_below

_SMALL = 2**20  # bytes; of fewer it is not asked whether there is room: most files are of settings
_NOW = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)  # else a pipe is waited for


def open_regular(path: Path | str) -> BinaryIO:
    """Open a file to read its bytes.

    Raises:
        OSError: It cannot be opened, or is no file: a folder, a pipe, a device.
    """
    descriptor = os.open(path, os.O_RDONLY | _NOW)
    try:
        kind = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(kind):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(kind):
            raise OSError(errno.EINVAL, "no regular file", str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def append_to(path: Path | str) -> FileIO:
    """Open a file to add bytes at its end, without a buffer; it is made where there is none.

    Raises:
        OSError: It cannot be opened, or is a pipe that nobody reads.
    """
    return FileIO(path, "ab", opener=lambda name, flags: os.open(name, flags | _NOW, 0o666))


def size_of(file: BinaryIO) -> int:
    """Bytes that a file has now."""
    return os.fstat(file.fileno()).st_size


def read_regular(path: Path | str) -> bytes:
    """Read the bytes that a file has when it is opened, and none that others append meanwhile.

    Raises:
        OSError: As of ``open_regular``; or there are more than fit into memory.
    """
    with open_regular(path) as file:
        size = size_of(file)
        if size > _SMALL and (there := room_below(size)):
            reason = f"its {in_words(size)} do not fit into memory, of which {there} are left"
            raise OSError(errno.EFBIG, reason, str(path))
        return file.read(size)
