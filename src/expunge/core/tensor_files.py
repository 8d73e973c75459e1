"""The header of a safetensors file, of which nothing is believed.

The format: 8 bytes, the length of the header; the header, a JSON object of names -> ``dtype``, ``shape`` and
``data_offsets`` (beginning and end, counted from the end of the header); the tensors' bytes. The library that
reads such files takes the last of two entries of one name, and stumbles over more dimensions than NumPy has.
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from expunge.core.json_text import parse_json
from expunge.core.regular import open_regular, size_of

_LENGTH = 8
_LONGEST = 100_000_000  # bytes of a header, as safetensors has it
_METADATA = "__metadata__"
_MOST_DIMENSIONS = 32  # what every NumPy takes
_BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "I8", "U8", "BOOL"), 8),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    "F4": 4,
}


def read_entries(file: BinaryIO) -> tuple[dict[str, Any], dict[str, str], int]:
    """The tensors' entries, the metadata, and the byte at which the tensors begin.

    Each tensor has the bytes that its shape needs, and together they are all that follow, none shared.

    Raises:
        ValueError: It is not so.
    """
    size = size_of(file)
    length = int.from_bytes(file.read(_LENGTH), "little")
    if not 2 <= length <= min(_LONGEST, size - _LENGTH):
        raise ValueError(f"a header of {length:,} bytes in a file of {size:,}")
    header = parse_json(file.read(length))
    if not isinstance(header, dict):
        raise ValueError("a header that is no mapping")
    metadata = header.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise ValueError("metadata that is no mapping of texts")
    start = _LENGTH + length
    end = 0
    for begin, stop in sorted(_place(name, entry) for name, entry in header.items()):
        if begin != end:
            raise ValueError("tensors that share bytes, or leave some between them")
        end = stop
    if end != size - start:
        raise ValueError(f"{size - start:,} bytes of tensors, its header speaks of {end:,}")
    return header, metadata, start


def _place(name: str, entry: Any) -> tuple[int, int]:
    """Where a tensor's bytes begin and end."""
    match entry:
        case {
            "dtype": str() as kind,
            "shape": list() as shape,
            "data_offsets": [begin, end],
        }:
            sizes = [*shape, begin, end]
        case _:
            raise ValueError(f"no type, shape and place of {name[:80]!r}")
    if not all(type(size) is int and 0 <= size < 2**63 for size in sizes):
        raise ValueError(f"a shape or place of {name[:80]!r} that is none")
    if len(shape) > _MOST_DIMENSIONS:
        raise ValueError(f"{len(shape)} dimensions of {name[:80]!r}, allowed: at most {_MOST_DIMENSIONS}")
    if kind not in _BITS:
        raise ValueError(f"{name[:80]!r} is of type {kind[:20]!r}, which is not known")
    if prod(shape) * _BITS[kind] != 8 * (end - begin):
        raise ValueError(f"{end - begin:,} bytes of {name[:80]!r}, which do not hold shape {shape} of {kind}")
    return begin, end


def require_tensors(path: Path) -> None:
    """See that a file is one of safetensors, as ``read_entries`` has it.

    Raises:
        OSError: It cannot be read.
        ValueError: It is another.
    """
    with open_regular(path) as file:
        read_entries(file)
