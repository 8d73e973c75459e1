"""Files that are either whole or not there: safetensors with a JSON header and a digest, JSON. No pickles.

In the metadata of a safetensors file ``expunge`` is its header, JSON text, and ``sha256`` the hash of the
whole file with zeros in its place: a byte that is not as it was written is found on reading.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import DataError, RunFolderError
from expunge.core.folders import aside
from expunge.core.folders import sweep_up as sweep_up
from expunge.core.json_text import parse_json
from expunge.core.plain import as_json
from expunge.core.progress import progress_bar
from expunge.core.regular import open_regular, read_regular
from expunge.core.system_errors import naming
from expunge.core.tensor_files import read_entries

if TYPE_CHECKING:
    from torch import Tensor

Kept = TypeVar("Kept")

_HEADER, _DIGEST, _UNKNOWN = "expunge", "sha256", "0" * 64
_SIGNATURE = re.compile(rb'(?<="sha256":")[0-9a-f]{64}(?=")')
_LENGTH, _ALIGN = 8, 8
_BLOCK = 1 << 22


@dataclass
class State:
    """Arrays and values that are kept together, such as all that a model needs to go on where it stopped.

    ``arrays`` go to safetensors and ``values`` to JSON; nothing is ever pickled.
    """

    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)


def under(arrays: Mapping[str, Kept], prefix: str) -> dict[str, Kept]:
    """Those whose names begin with ``prefix``, by the rest of the name."""
    return {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}


def _for_the_owner(path: str, flags: int) -> int:
    return os.open(path, flags, mode=0o600)


@contextmanager
def atomically(path: Path, secret: bool = False) -> Iterator[BinaryIO]:
    """Open a file to write that takes the place of ``path`` when it is whole and on the disk.

    Until then it has a name of its own: two processes may write one path. An error leaves nothing. A
    ``secret`` one only its owner may read.
    """
    temporary = aside(path)
    try:
        with naming(path, temporary):
            with open(temporary, "xb", opener=_for_the_owner if secret else None) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, content: bytes, secret: bool = False) -> None:
    """Write ``content`` beside ``path``, flush it to disk, then put it in place; ``secret`` as above."""
    with atomically(path, secret) as file:
        file.write(content)


def require_no_links(folder: Path, names: Iterable[str]) -> None:
    """Refuse links where a folder's own files and folders are to be: what is written would be elsewhere.

    Raises:
        RunFolderError: There is one.
    """
    for path in (folder / name for name in names):
        if path.is_symlink():
            raise RunFolderError(f"{path}: a link, allowed: a file or folder of the run's own, or nothing")


def read_text(path: Path) -> str:
    """Read a text file of the user's: UTF-8, or UTF-16 where it begins with the mark of that.

    Raises:
        OSError: It cannot be read.
        UnicodeDecodeError: It is neither.
    """
    content = read_regular(path)
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if wide else "utf-8-sig")


def write_json(path: Path, value: Any, secret: bool = False) -> None:
    """Write ``value`` as indented JSON (NaN and infinity are errors, for JSON has none); ``secret`` as above.

    Raises:
        InvalidValue: It holds what JSON does not have; see ``expunge.core.plain``.
    """
    write_atomically(path, (as_json(value, path.name, indent=2) + "\n").encode(), secret)


def save_state(path: Path, state: State, secret: bool = False) -> None:
    """Write a ``State``: arrays as safetensors, values as JSON in its header.

    A ``secret`` one only its owner may read, from the first byte on.

    Raises:
        InvalidValue: A value is nothing that JSON has; see ``expunge.core.plain``. Nothing is written.
    """
    from safetensors.numpy import save

    arrays = {name: np.asarray(array, order="C") for name, array in state.arrays.items()}
    _save(path, save(arrays), state.values, secret)


def load_state(path: Path, signed: bool = True) -> State:
    """Read a ``State``; unless it must be ``signed`` one of the first versions will do, without a digest.

    Raises:
        DataError: The file is missing, damaged, or was not written by ``save_state``.
    """
    return State(*_load(path, "numpy", signed))


def save_tensors(
    path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any], secret: bool = False
) -> None:
    """Write torch tensors, which may lie on any device and share memory, and a header of JSON values.

    A ``secret`` file only its owner may read.

    Raises:
        OSError: It cannot be written.
    """
    from safetensors.torch import save

    own = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    _save(path, save(own), header, secret)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read torch tensors (on the CPU) and header.

    Raises:
        DataError: The file is missing, damaged, or was not written by ``save_tensors``.
    """
    return _load(path, "pt")


def write_blocks(
    path: Path,
    entries: Mapping[str, Any],
    header: Mapping[str, Any],
    blocks: Iterable[Any],
    secret: bool = False,
) -> None:
    """Write a file of tensors, into a folder that exists, whose bytes come a block at a time.

    ``entries``: tensor -> its ``dtype``, ``shape`` and ``data_offsets``, as safetensors has them; ``header``:
    JSON values, NaN and infinity are errors; ``blocks``: the bytes of the tensors, one after the other;
    ``secret``: only its owner may read the file.

    Raises:
        OSError: It cannot be written.
    """
    head = _head(entries, as_json(header, path.name))
    found = hashlib.sha256(head)
    with atomically(path, secret) as file:
        file.write(head)
        for block in blocks:
            file.write(block)
            found.update(block)
        file.seek(0)
        file.write(_SIGNATURE.sub(found.hexdigest().encode(), head, count=1))


def read_header(
    path: Path, progress: bool = False, signed: bool = True
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read the whole file, compare it with its digest, and return the tensors' entries and the header.

    Unless it must be ``signed`` one of the first versions will do, which had no digest: nothing but the
    header in its metadata. Anything else beside it was a digest once, or is none of ours.

    Raises:
        DataError: It cannot be read, was not written here, or a byte is not as it was written.
    """
    try:
        with open_regular(path) as file:
            entries, metadata, start = read_entries(file)
            file.seek(0)
            head = file.read(start)
            header = parse_json(metadata[_HEADER])
            if not isinstance(header, dict):
                raise TypeError("its header is no mapping")
            if not signed and metadata.keys() == {_HEADER}:
                return entries, header
            found = hashlib.sha256(_SIGNATURE.sub(_UNKNOWN.encode(), head, count=1))
            size = os.fstat(file.fileno()).st_size - len(head)
            with progress_bar(progress, total=size, desc="checking", unit="B", unit_scale=True) as bar:
                while block := file.read(_BLOCK):
                    found.update(block)
                    bar.update(len(block))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: not a file written by expunge ({reason})") from None
    if metadata.get(_DIGEST) != found.hexdigest():
        raise DataError(f"{path}: damaged or cut short, it is not what was written")
    return entries, header


def _save(path: Path, content: bytes, header: Mapping[str, Any], secret: bool = False) -> None:
    """Write what safetensors made of tensors, with our header."""
    end = _LENGTH + int.from_bytes(content[:_LENGTH], "little")
    write_blocks(path, json.loads(content[_LENGTH:end]), header, [memoryview(content)[end:]], secret)


def _load(path: Path, framework: str, signed: bool = True) -> tuple[dict[str, Any], dict[str, Any]]:
    from safetensors import SafetensorError, safe_open

    while True:
        seen = _stamp(path)
        header = read_header(path, signed=signed)[1]
        try:
            with safe_open(str(path), framework=framework) as file:
                found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        except (SafetensorError, OSError, AttributeError, TypeError, ValueError) as error:
            if seen == _stamp(path):  # of a type, or of dimensions, that the framework does not have
                raise DataError(f"{path}: not a file written by expunge ({error})") from None
            continue
        if seen == _stamp(path):  # else another took its place in between, and header and tensors are of two
            return found, header


def _stamp(path: Path) -> tuple[int, int] | None:
    """What changes when a file takes the place of another."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _head(entries: Mapping[str, Any], header: str) -> bytes:
    """Length and JSON header, filled up with spaces to a multiple of 8 bytes; zeros for the digest."""
    metadata = {_HEADER: header, _DIGEST: _UNKNOWN}
    text = json.dumps({"__metadata__": metadata, **entries}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGN)
    return len(text).to_bytes(_LENGTH, "little") + text


def load_header(path: Path) -> dict[str, Any]:
    """Read the values of a ``State`` alone; none of a file of tensors that holds no state.

    Nothing is checked: they may say who is to read the file, and no more (``read_header`` compares digests).

    Raises:
        DataError: It cannot be read, or is no file of tensors.
    """
    try:
        with open_regular(path) as file:
            values = parse_json(read_entries(file)[1].get(_HEADER, "{}"))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        raise DataError(f"{path}: not a safetensors file, or damaged") from error
    return values if isinstance(values, dict) else {}
