"""Limits of what a packed file stands for, seen before any of it is unpacked.

DEFLATE (of zip, gzip and MATLAB's files) makes at most 1,032 bytes of one: a file that speaks of more is a
lie, and what is within that must still fit into memory.
"""

from __future__ import annotations

import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from expunge.core.memory import in_words, room_below
from expunge.core.regular import size_of

_BEST, _LEAST = 1032, 1024
_PIECE = 1 << 18
_ENCRYPTED = 1


def require_room(size: int) -> None:
    """Raise ``ValueError`` if so many bytes do not fit into memory."""
    if there := room_below(size):
        raise ValueError(f"its {in_words(size)} do not fit into memory, of which {there} are left")


def require_unpackable(packed: int, size: int) -> None:
    """Raise ``ValueError`` unless ``packed`` bytes of DEFLATE can make ``size`` of them, which have room."""
    if size > _BEST * packed + _LEAST:
        raise ValueError(f"{packed:,} packed bytes cannot make {size:,}")
    require_room(size)


def pieces(packed: memoryview, size: int) -> Iterator[bytes]:
    """What zlib has packed, a piece at a time: exactly ``size`` bytes, and its checksum holds.

    Raises:
        ValueError: It is more, or less.
        zlib.error: It is damaged.
    """
    reader, left = zlib.decompressobj(), size
    for start in range(0, len(packed), _PIECE):
        source: memoryview | bytes = packed[start : start + _PIECE]
        while source and not reader.eof:
            piece = reader.decompress(source, min(_PIECE, left) + 1)
            left, source = left - len(piece), reader.unconsumed_tail
            if left < 0:
                raise ValueError(f"more is packed in it than {size:,} bytes")
            yield piece
    if left or not reader.eof:
        raise ValueError("what is packed in it is cut short")


def opened_archive(file: BinaryIO) -> zipfile.ZipFile:
    """Open a zip archive whose members are where it says, stored or deflated, and no larger than can be.

    Raises:
        ValueError, zipfile.BadZipFile: It is another archive.
    """
    archive = zipfile.ZipFile(file)
    require_members(archive.infolist(), size_of(file))
    return archive


def require_members(members: Iterable[zipfile.ZipInfo], size: int) -> None:
    """Raise ``ValueError`` for a member that does not lie within ``size`` bytes, or is not what it can be."""
    known = list(members)
    name, count = Counter(member.filename for member in known).most_common(1)[0] if known else ("", 1)
    if count > 1:
        raise ValueError(f"{name} is in it {count} times")
    for member in known:
        if member.header_offset + member.compress_size > size:
            raise ValueError(f"{member.filename} is cut short")
        if member.flag_bits & _ENCRYPTED:
            raise ValueError(f"{member.filename} is encrypted")
        if member.compress_type == zipfile.ZIP_STORED:
            if member.compress_size != member.file_size:
                raise ValueError(f"{member.filename} is not as long as its header says")
        elif member.compress_type != zipfile.ZIP_DEFLATED:
            raise ValueError(f"{member.filename} is packed by another method than zip's own, DEFLATE")
