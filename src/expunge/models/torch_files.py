"""Files of ``torch.save``, old and new, read without letting them call or import anything.

A file is a pickle in which every tensor is a view of a numbered storage, and the storages' bytes: a zip
archive, or (before torch 1.6) one after the other. torch's own restricted reader refuses a file for any name
beyond its list, such as the settings and the optimiser that most training scripts keep beside the weights.
Here all that is no tensor is a record (see ``expunge.core.records``), and nobody looks at it.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from io import BytesIO
from math import prod
from pathlib import Path
from typing import IO, Any, BinaryIO, NamedTuple

import torch
from torch import Tensor

from expunge.core.packed import opened_archive
from expunge.core.pickles import RecordReader
from expunge.core.records import Record
from expunge.core.regular import open_regular, size_of

ZIP = b"PK\x03\x04"
MAGIC = b"l\xfc\x9cF\xf9 j\xa8P\x19"  # of old files, within the first bytes
_SETTINGS = 3  # pickles before the tensors' own: magic number, version, the writer's machine
_MOST_DIMENSIONS, _MOST_NUMBERS = 64, 2**59
_KEPT = 4  # storages at a time: several tensors may be views of one
_LENGTH = struct.Struct("<q")
_TYPES = {
    "Double": torch.float64,
    "Float": torch.float32,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Untyped": torch.uint8,
    "Bool": torch.bool,
}
_PLAIN = {
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_tensor_v3",
}
_WRAPPED = {"torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"}
_ATTRIBUTED = "torch._tensor._rebuild_from_type_v2"
_OTHER = "a tensor of another kind than torch writes"


class Damaged(ValueError):
    """A file is not what torch writes; the text says in what."""


class _Storage(NamedTuple):
    """Numbers that tensors are views of: the type's name, the storage's key and its length."""

    kind: str
    key: str
    length: int


Storages = Callable[[str, int], bytes]
"""The first so many bytes of the storage of a key."""


class _Reader(RecordReader):
    """Reads the tensors' pickle; ``seen`` are the storages that it names."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self.seen: dict[str, _Storage] = {}

    def persistent_load(self, pid: Any) -> Any:
        match pid:
            case ("storage", type() as kind, str() as key, _, int() as length, *view) if not any(view):
                name = getattr(kind, "asked", "").rpartition(".")[2].removesuffix("Storage")
                return self.seen.setdefault(key, _Storage(name, key, length))
            case ("module", kind, *_):  # a network's class, with its source
                return kind
        raise Damaged("it refers to what torch does not write")


@contextmanager
def opened(path: Path, head: bytes) -> Iterator[tuple[Any, Storages]]:
    """Give what was saved, tensors as records (see ``tensor_of``), and the storages' bytes.

    ``head`` are the first bytes of the file.

    Raises:
        Damaged: It is cut short, or is another kind of archive.
    """
    with open_regular(path) as file:
        if head.startswith(ZIP):
            with opened_archive(file) as archive:
                yield _of_archive(archive)
        else:
            yield _of_old_file(file)


def _of_archive(archive: zipfile.ZipFile) -> tuple[Any, Storages]:
    names = archive.namelist()
    roots = [name.removesuffix("data.pkl") for name in names if name.endswith("/data.pkl")]
    if any(name.endswith("/constants.pkl") for name in names):
        raise Damaged("a network in TorchScript; save its state_dict() instead")
    if not roots:
        raise Damaged(f"a zip archive of other things ({', '.join(names[:3]) or 'nothing'}); unpack it")
    root = min(roots, key=len)
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
        raise Damaged("compressed, which torch.save does not do; write it again")
    if f"{root}byteorder" in names and archive.read(f"{root}byteorder") != b"little":
        raise Damaged("written on a machine of another byte order; write it again as safetensors")

    @lru_cache(maxsize=_KEPT)
    def storage(key: str, size: int) -> bytes:
        return archive.read(f"{root}data/{key}")[:size]

    # As a whole, for then its checksum is looked at.
    return _Reader(BytesIO(archive.read(f"{root}data.pkl"))).load(), storage


def _of_old_file(file: BinaryIO) -> tuple[Any, Storages]:
    for _ in range(_SETTINGS):
        RecordReader(file).load()
    reader = _Reader(file)
    saved, keys = reader.load(), RecordReader(file).load()
    starts: dict[str, int] = {}
    whole = size_of(file)
    for key in keys:
        (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
        size = length * _type_of(reader.seen[key].kind).itemsize
        if not 0 <= size <= whole - file.tell():
            raise Damaged("cut short")
        starts[key] = file.seek(size, 1) - size

    @lru_cache(maxsize=_KEPT)
    def storage(key: str, size: int) -> bytes:
        file.seek(starts[key])
        return file.read(size)

    return saved, storage


def kind_of(found: Any) -> str | None:
    """What a value is that is no tensor, in a word; None for a tensor."""
    if not isinstance(found, Record):
        return type(found).__name__
    if found.asked in _WRAPPED:
        return kind_of(found.arguments[0] if found.arguments else None)
    if found.asked == _ATTRIBUTED:
        return kind_of(_attributed(found))
    return None if found.asked in _PLAIN else found.asked


def tensor_of(found: Any, storages: Storages | None = None) -> Tensor:
    """Return the tensor that a record asks for, on the CPU; without ``storages``, one that has no numbers.

    Raises:
        Damaged: It is no view of its storage, or not of a type that is read.
    """
    if found.asked in _WRAPPED:
        return tensor_of(found.arguments[0], storages)
    if found.asked == _ATTRIBUTED:
        return tensor_of(_attributed(found), storages)
    match found.arguments:
        case (_Storage() as storage, int() as offset, shape, strides, *rest):
            shape, strides = _sizes(shape), _sizes(strides)
        case _:
            raise Damaged(_OTHER)
    stored = _type_of(storage.kind)
    kind, flags = (_named(rest), rest[3:]) if found.asked.endswith("_v3") else (stored, rest[2:])
    if any(flags):
        raise Damaged("a tensor that is stored conjugate or negative")
    if len(shape) != len(strides) or len(shape) > _MOST_DIMENSIONS or prod(shape) > _MOST_NUMBERS:
        raise Damaged("a tensor of another shape than torch makes")
    if storages is None or 0 in shape:
        return torch.empty(shape, dtype=kind, device="meta" if storages is None else "cpu")
    count = storage.length * stored.itemsize // kind.itemsize
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    if not 0 <= offset <= last < count:
        raise Damaged("a tensor that is larger than what is stored of it")
    end = (last + 1) * kind.itemsize
    content = storages(storage.key, count * kind.itemsize)
    if len(content) != count * kind.itemsize:
        raise Damaged("cut short")
    # Of the storage what the tensor reaches over; of that, where it skips some, what it has.
    own = torch.frombuffer(bytearray(content[offset * kind.itemsize : end]), dtype=kind)
    view = own.as_strided(shape, strides)
    return view.clone() if view.numel() < len(own) else view


def _sizes(found: Any) -> tuple[int, ...]:
    """Shape or strides, as a tuple or as ``torch.Size``."""
    match found:
        case Record(asked="torch.Size", arguments=(found,)):
            pass
    if not isinstance(found, (tuple, list)) or not all(type(n) is int and n >= 0 for n in found):
        raise Damaged(_OTHER)
    return tuple(found)


def _attributed(found: Record) -> Record:
    """The record of a tensor that has attributes of its own."""
    match found.arguments:
        case (type() as kind, _, tuple() as arguments, *_) if issubclass(kind, Record):
            return kind(*arguments)
    raise Damaged(_OTHER)


def _type_of(name: str) -> torch.dtype:
    if name not in _TYPES:
        raise Damaged(f"numbers of type {name}, allowed: {', '.join(_TYPES)}")
    return _TYPES[name]


def _named(rest: list[Any]) -> torch.dtype:
    """The type that newer records name."""
    name = getattr(rest[2], "asked", "") if len(rest) > 2 else ""
    found = getattr(torch, name.removeprefix("torch."), None) if name.count(".") == 1 else None
    if not isinstance(found, torch.dtype):
        raise Damaged(f"numbers of type {name or 'none'}")
    return found
