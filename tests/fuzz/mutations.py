"""What is done to a valid file, by chance but from a seed."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable
from pathlib import Path

_EXTREMES = (b"\xff", b"\x7f", b"\x80", b"\0", b"\xfe")
_NUMBERS = (
    b"0",
    b"-1",
    b"1e999",
    b"NaN",
    b"9" * 30,
    b"9" * 5000,
    b"2147483648",
    b"null",
    b"[]",
    b'""',
    b"0x1p3",
)


def spoil(file: Path, others: list[bytes], draw: random.Random) -> str:
    """Do something to a file, and say what."""
    how = draw.choice([*CONTENTS, "another kind", *PLACES])
    if how in PLACES:
        PLACES[how](file)
        return how
    content = file.read_bytes()
    spoiled = CONTENTS[how](content, draw) if how in CONTENTS else draw.choice(others)
    for _ in range(draw.choice((0, 0, 1, 2))):  # and something more
        more = draw.choice([_flip, _cut_out, _field, _number])
        how, spoiled = f"{how}, {more.__name__[1:]}", more(spoiled, draw)
    file.write_bytes(spoiled)
    return how


def _place(content: bytes, draw: random.Random) -> int:
    """Mostly near the beginning or the end, where headers and directories are."""
    size = len(content)
    return draw.choice(
        (draw.randrange(size + 1), min(size, draw.randrange(200)), max(0, size - draw.randrange(200)))
    )


def _flip(content: bytes, draw: random.Random) -> bytes:
    found = bytearray(content)
    for _ in range(draw.choice((1, 1, 4, 16)) if content else 0):
        found[min(_place(content, draw), len(found) - 1)] ^= 1 << draw.randrange(8)
    return bytes(found)


def _cut(content: bytes, draw: random.Random) -> bytes:
    return content[: _place(content, draw)]


def _cut_out(content: bytes, draw: random.Random) -> bytes:
    at = _place(content, draw)
    return content[:at] + content[at + draw.choice((1, 4, 50)) :]


def _twice(content: bytes, draw: random.Random) -> bytes:
    at, size = _place(content, draw), draw.choice((1, 8, 300))
    return content[:at] + content[at : at + size] * draw.choice((2, 40)) + content[at + size :]


def _inserted(content: bytes, draw: random.Random) -> bytes:
    at = _place(content, draw)
    return content[:at] + draw.randbytes(draw.choice((1, 7, 100))) + content[at:]


def _field(content: bytes, draw: random.Random) -> bytes:
    """A length, perhaps, made the largest or the smallest."""
    at, width = _place(content, draw), draw.choice((1, 2, 4, 8))
    return content[:at] + draw.choice(_EXTREMES) * width + content[at + width :]


def _number(content: bytes, draw: random.Random) -> bytes:
    """Another number in text."""
    found = list(re.finditer(rb"[0-9]+", content[:20000]))
    if not found:
        return content
    place = draw.choice(found)
    return content[: place.start()] + draw.choice(_NUMBERS) + content[place.end() :]


def _appended(content: bytes, draw: random.Random) -> bytes:
    return content + draw.choice((b"\0" * 64, content, draw.randbytes(30), b"\n{"))


CONTENTS = {
    "bits": _flip,
    "cut": _cut,
    "cut out": _cut_out,
    "twice": _twice,
    "inserted": _inserted,
    "field": _field,
    "number": _number,
    "appended": _appended,
    "empty": lambda content, draw: b"",
    "zeros": lambda content, draw: bytes(len(content)),
    "noise": lambda content, draw: draw.randbytes(len(content)),
}


def _folder(file: Path) -> None:
    file.unlink()
    file.mkdir()
    (file / "inside").write_text("")


def _pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _linked(to: str) -> Callable[[Path], None]:
    def place(file: Path) -> None:
        file.unlink()
        file.symlink_to(to.format(name=file.name))

    return place


PLACES = {
    "a folder": _folder,
    "a pipe": _pipe,
    "a link to nothing": _linked("nowhere"),
    "a link to itself": _linked("{name}"),
    "a link to a device": _linked("/dev/zero"),
    "a link to a folder": _linked(".."),
    "a link to a terminal": _linked("/dev/stdin"),
    "gone": lambda file: file.unlink(),
    "not to be read": lambda file: file.chmod(0),
}
