"""The public text file of CelebA's binary attributes, ``list_attr_celeba.txt``."""

from __future__ import annotations

import lzma
from collections.abc import Iterator
from io import BytesIO, TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import DataError
from expunge.core.regular import open_regular, size_of

KINDS = "list_attr_celeba.txt, or that as .xz"
_ALLOWED = {"-1", "1"}
_MOST = 2**28  # bytes of text in a compressed file; the whole of CelebA's are a tenth of that


def read_celeba_attributes(path: Path, n: int | None = None) -> tuple[NDArray[np.uint8], list[str]]:
    """Read the attributes of the first ``n`` images (None: of all); a file that ends in .xz is decompressed.

    The first line is the number of images, the second the names of the attributes; then comes a line for each
    image, its file name and -1 (no) or 1 (yes) for each attribute.

    Returns:
        The table, (n, p) of 0 and 1, and the p names.

    Raises:
        DataError: The file is missing or not in this format, or has fewer than ``n`` images.
    """
    try:
        with open_regular(path) as file:
            plain, size = _decompressed(path, file) if path.suffix == ".xz" else (file, size_of(file))
            lines = TextIOWrapper(plain, encoding="utf-8-sig")
            return _parse(path, enumerate(lines, start=1), n, size)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: not UTF-8 text, allowed: the text of list_attr_celeba.txt") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None


def _decompressed(path: Path, file: BinaryIO) -> tuple[BinaryIO, int]:
    """The text of a compressed file, which may be far longer than the file, and how many bytes it has."""
    try:
        with lzma.LZMAFile(file) as plain:
            text = plain.read(_MOST + 1)
    except (lzma.LZMAError, EOFError) as error:
        raise DataError(f"{path}: not a whole .xz file ({error})") from None
    if len(text) > _MOST:
        raise DataError(f"{path}: got more than {_MOST} bytes of text, allowed: at most that")
    return BytesIO(text), len(text)


def _parse(
    path: Path, lines: Iterator[tuple[int, str]], n: int | None, size: int
) -> tuple[NDArray[np.uint8], list[str]]:
    first = next(lines, (1, ""))[1].strip()
    # A line is a byte or more: a file of so many images has more digits.
    if not (first.isascii() and first.isdecimal() and len(first) <= len(str(size)) and int(first)):
        allowed = "the number of images in the file, a whole number >= 1"
        raise DataError(f"{path}:1: got {_short(first)}, allowed: {allowed}")
    count = int(first)
    names = next(lines, (2, ""))[1].split()
    if again := next((name for name in names if names.count(name) > 1), None):
        raise DataError(f"{path}:2: got {_short(again)} twice, allowed: distinct names of attributes")
    if not names:
        raise DataError(f"{path}:2: got '', allowed: distinct names of attributes")
    if n is not None and n > count:
        raise DataError(f"{path}:1: got {count} images, allowed: at least the {n} asked for")
    wanted = count if n is None else n
    rows = [_row(path, number, line, len(names)) for number, line in islice(lines, wanted)]
    if len(rows) < wanted:
        raise DataError(
            f"{path}:{len(rows) + 3}: got the end of the file, allowed: image {len(rows) + 1} of {count}"
        )
    if n is None and (number := next((k for k, line in lines if line.strip()), 0)):
        raise DataError(
            f"{path}:{number}: got a line too many, allowed: the {count} images of the first line"
        )
    return np.array(rows, dtype=np.uint8), names


def _row(path: Path, number: int, line: str, width: int) -> list[bool]:
    values = line.split()[1:]
    if len(values) != width:
        raise DataError(f"{path}:{number}: got {len(values)} values after the file name, allowed: {width}")
    if not _ALLOWED.issuperset(values):
        wrong = next(value for value in values if value not in _ALLOWED)
        raise DataError(f"{path}:{number}: got {_short(wrong)}, allowed: -1 or 1")
    return [value == "1" for value in values]


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:39]}…")
