"""Arrays in ``.npz`` and ``.safetensors`` files, mapped into memory and never unpickled.

An array on disk costs no memory until it is used, and then only what is used. The members of a compressed
``.npz`` cannot be mapped, nor can bfloat16 tensors; they are read into memory, these as float32.
"""

from __future__ import annotations

import math
import struct
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any, BinaryIO, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from expunge.core.errors import DataError, last_line
from expunge.core.mapped import map_array
from expunge.core.packed import opened_archive, require_unpackable
from expunge.core.regular import open_regular, size_of
from expunge.core.tensor_files import read_entries

Reader = Callable[[], NDArray[Any]]
SINGLE = "array"

_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, (skipped), length of the name and of the extra field
_BLOCK = 1 << 20
_MOST_DIMENSIONS = 32
_NARROW = "BF16"  # the upper half of a float32, for which NumPy has no type
_FLOATS = ("F64", "F32", "F16", _NARROW)
_COMPRESSED = {"csr": sp.csr_array, "csc": sp.csc_array}
_TENSOR_TYPES = (*_FLOATS, *(f"{kind}{bits}" for kind in "IU" for bits in (64, 32, 16, 8)), "BOOL")


def open_arrays(path: Path) -> dict[str, Reader]:
    """Return the name of each array in a file, and a function that maps or reads it.

    The one of an ``.npy`` file has none there and is called ``SINGLE`` here.

    Raises:
        DataError: The file is missing, damaged or of another kind; the functions raise it likewise.
    """
    formats = {
        ".npz": (_members, "an .npz archive"),
        ".npy": (_single, "an .npy file"),
        ".safetensors": (_tensors, "a .safetensors file"),
    }
    if path.suffix not in formats:
        raise DataError(f"{path}: cannot tell its format, allowed: a name ending in {', '.join(formats)}")
    read, kind = formats[path.suffix]
    try:
        with open_regular(path) as file:
            found = read(path, file)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    except Exception as error:  # damaged bytes make zipfile, zlib and numpy's header parser raise all sorts
        raise DataError(f"{path}: not {kind}, or damaged ({last_line(error)})") from None
    return {name: partial(_array, path, name, reader) for name, reader in found.items()}


def _array(path: Path, name: str, reader: Reader) -> NDArray[Any]:
    try:
        return reader()
    except DataError:
        raise
    except Exception as error:  # as above
        raise DataError(f"{path}: array {name} cannot be read ({last_line(error)})") from None


def _single(path: Path, file: BinaryIO) -> dict[str, Reader]:
    shape, order, dtype, start = _layout(file)
    _require_filled(shape, dtype, size_of(file) - start)
    return {SINGLE: partial(_map, path, dtype, shape, start, order)}


def _members(path: Path, file: BinaryIO) -> dict[str, Reader]:
    with opened_archive(file) as archive:
        infos = archive.infolist()
    names = Counter(info.filename.removesuffix(".npy") for info in infos)
    if twice := next((name for name, count in names.items() if count > 1), None):
        raise ValueError(f"{twice} is in it twice, with .npy and without")
    return {info.filename.removesuffix(".npy"): partial(_member, path, info) for info in infos}


def _member(path: Path, info: zipfile.ZipInfo) -> NDArray[Any]:
    """A member of a zip archive, all of which is looked at first: its checksum must be right.

    One that is not packed is mapped: local zip header, then ``.npy`` header, then the entries themselves.
    """
    with open_regular(path) as file, zipfile.ZipFile(file) as archive:
        stored = info.compress_type == zipfile.ZIP_STORED
        if not stored:
            require_unpackable(info.compress_size, info.file_size)
        with archive.open(info) as member:
            shape, order, dtype, length = _layout(member)
            _require_filled(shape, dtype, info.file_size - length)
            if not stored:
                return _unpacked(member, dtype, shape, order)
            while member.read(_BLOCK):  # the last of which compares the checksum
                pass
        file.seek(info.header_offset)
        _, name, extra = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
        offset = info.header_offset + _LOCAL_HEADER.size + name + extra + length
    return _map(path, dtype, shape, offset, order)


def _layout(member: IO[bytes]) -> tuple[tuple[int, ...], Literal["C", "F"], np.dtype[Any], int]:
    """Shape, order and type of what comes after an ``.npy`` header, and the header's length."""
    version = np.lib.format.read_magic(member)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"format version {version}, allowed: (1, 0) and (2, 0)")
    first = version == (1, 0)
    header = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = header(member)
    return shape, "F" if fortran else "C", dtype, member.tell()


def _require_filled(shape: tuple[int, ...], dtype: np.dtype[Any], size: int) -> None:
    """Raise ``ValueError`` unless entries of a plain type, in this shape, are so many bytes."""
    if dtype.hasobject:
        raise ValueError("it holds pickled Python objects, allowed: numbers")
    if dtype.fields or dtype.subdtype or not dtype.itemsize:
        raise ValueError(f"its entries are {dtype}, allowed: numbers")
    if len(shape) > _MOST_DIMENSIONS or not all(0 <= side < 2**63 for side in shape):
        raise ValueError(f"shape {shape}, allowed: {_MOST_DIMENSIONS} sides or fewer, none below 0")
    if math.prod(shape) * dtype.itemsize != size:
        raise ValueError(f"{size} bytes do not hold shape {shape} of {dtype}")


def _unpacked(
    member: IO[bytes], dtype: np.dtype[Any], shape: tuple[int, ...], order: Literal["C", "F"]
) -> NDArray[Any]:
    """Read what is packed into memory, which takes no more of it than there is to read."""
    found = np.empty(math.prod(shape), dtype)
    target, end = found.view(np.uint8).data, 0
    while block := member.read(_BLOCK):
        target[end : end + len(block)] = block
        end += len(block)
    if end != found.nbytes:
        raise ValueError("cut short")
    return found.reshape(shape, order=order)


def _tensors(path: Path, file: BinaryIO) -> dict[str, Reader]:
    entries, _, start = read_entries(file)
    return {name: partial(_map_tensor, path, name, entry, start) for name, entry in entries.items()}


def _map_tensor(path: Path, name: str, entry: Mapping[str, Any], start: int) -> NDArray[Any]:
    kind = entry["dtype"]
    if kind not in _TENSOR_TYPES:
        raise DataError(f"{path}: tensor {name} is of type {kind}, allowed: {', '.join(_TENSOR_TYPES)}")
    offset = start + entry["data_offsets"][0]
    name = {"BOOL": "?", _NARROW: "<u2"}.get(kind) or f"<{kind[0].lower()}{int(kind[1:]) // 8}"
    found = _map(path, np.dtype(name), tuple(entry["shape"]), offset, "C")
    return (found.astype(np.uint32) << 16).view(np.float32) if kind == _NARROW else found


def _map(path: Path, dtype: Any, shape: tuple[int, ...], offset: int, order: Any) -> NDArray[Any]:
    if math.prod(shape) == 0:  # nothing there to map
        return np.empty(shape, dtype)
    return map_array(path, dtype, shape, offset, order)


def pick(path: Path, arrays: Mapping[str, Reader], names: tuple[str, ...]) -> NDArray[Any]:
    """Return the first array that goes by one of ``names``.

    Raises:
        DataError: None does, or it cannot be read.
    """
    for name in names:
        if name in arrays:
            return arrays[name]()
    found = ", ".join(map(str, arrays)) or "no arrays"
    raise DataError(f"{path}: needs an array named {' or '.join(names)}, found: {found}")


def sparse_parts(path: Path, arrays: Mapping[str, Reader], names: tuple[str, ...]) -> Any:
    """Return the sparse matrix that a file has by one of ``names``, or as its only one; None if it has none.

    Its parts are ``data``, ``indices``, ``indptr`` and ``shape``, as scipy.sparse.save_npz writes them, or
    these with the name before them: ``x_data``, ``x_test_indices``. Where there is no ``format`` it is csr.

    Raises:
        DataError: The parts are not those of a matrix.
    """
    prefixes = [f"{name}_" for name in names] + ([""] if not names[0].endswith("_test") else [])
    for prefix in prefixes:
        parts = [f"{prefix}{part}" for part in ("data", "indices", "indptr", "shape")]
        if not arrays.keys() >= {*parts}:
            continue
        data, indices, starts, shape = (arrays[part]() for part in parts)
        kind = arrays[f"{prefix}format"]().item() if f"{prefix}format" in arrays else "csr"
        kind = kind.decode(errors="replace") if isinstance(kind, bytes) else kind
        if kind not in _COMPRESSED:
            raise DataError(f"{path}: {prefix}format is {kind!r}, allowed: {' or '.join(_COMPRESSED)}")
        try:
            found = _COMPRESSED[kind]((data, indices, starts), shape=tuple(shape.tolist()))
            found.check_format(full_check=True)
        except (ValueError, TypeError, IndexError, AttributeError) as error:
            said = f"{', '.join(parts)} are no sparse matrix ({last_line(error)})"
            raise DataError(f"{path}: {said}") from None
        return found.tocsr()
    return None
