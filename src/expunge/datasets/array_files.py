"""Arrays in ``.npz`` and ``.safetensors`` files, mapped into memory and never unpickled.

An array on disk costs no memory until it is used, and then only what is used. The members of a compressed
``.npz`` cannot be mapped; they are read into memory.
"""

from __future__ import annotations

import json
import math
import struct
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from expunge.core.errors import DataError, last_line
from expunge.core.mapped import map_array

Reader = Callable[[], NDArray[Any]]

_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, (skipped), length of the name and of the extra field
_ENCRYPTED = 1
_TENSOR_TYPES = ("F64", "F32", "F16", "I64", "I32", "I16", "I8", "U8", "BOOL")


def open_arrays(path: Path) -> dict[str, Reader]:
    """Return the name of each array in a file, and a function that maps or reads it.

    Raises:
        DataError: The file is missing, damaged or of another kind; the functions raise it likewise.
    """
    formats = {".npz": (_npz_members, "an .npz archive"), ".safetensors": (_tensors, "a .safetensors file")}
    if path.suffix not in formats:
        raise DataError(f"{path}: cannot tell its format, allowed: a name ending in {' or '.join(formats)}")
    read, kind = formats[path.suffix]
    try:
        return read(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    except Exception as error:  # see _npz_member
        raise DataError(f"{path}: not {kind}, or damaged ({last_line(error)})") from None


def _npz_members(path: Path) -> dict[str, Reader]:
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
    return {info.filename.removesuffix(".npy"): partial(_npz_member, path, info) for info in infos}


def _npz_member(path: Path, info: zipfile.ZipInfo) -> NDArray[Any]:
    try:
        if info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & _ENCRYPTED:
            return _map_member(path, info)
        with zipfile.ZipFile(path) as archive, archive.open(info) as member:
            array: NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
            return array
    except Exception as error:  # damaged bytes make zipfile, zlib and numpy's header parser raise all sorts
        raise DataError(f"{path}: array {info.filename} cannot be read ({last_line(error)})") from None


def _map_member(path: Path, info: zipfile.ZipInfo) -> NDArray[Any]:
    """Map an uncompressed member: local zip header, then ``.npy`` header, then the entries themselves."""
    with open(path, "rb") as file:
        file.seek(info.header_offset)
        signature, name, extra = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
        if signature != b"PK\x03\x04":
            raise ValueError("no zip entry where the directory says")
        file.seek(name + extra, 1)
        start = file.tell()
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"format version {version}, allowed: (1, 0) and (2, 0)")
        first = version == (1, 0)
        header = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = header(file)
        offset = file.tell()
    if dtype.hasobject:
        raise ValueError("it holds pickled Python objects, allowed: numbers")
    if offset - start + math.prod(shape) * dtype.itemsize != info.file_size:
        raise ValueError(f"{info.file_size} bytes do not hold shape {shape} of {dtype}")
    return _map(path, dtype, shape, offset, "F" if fortran else "C")


def _tensors(path: Path) -> dict[str, Reader]:
    with safe_open(path, framework="numpy"), open(path, "rb") as file:  # it checks the whole header
        start = 8 + int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(start - 8))
    header.pop("__metadata__", None)
    return {name: partial(_map_tensor, path, name, entry, start) for name, entry in header.items()}


def _map_tensor(path: Path, name: str, entry: Mapping[str, Any], start: int) -> NDArray[Any]:
    kind = entry["dtype"]
    if kind not in _TENSOR_TYPES:
        raise DataError(f"{path}: tensor {name} is of type {kind}, allowed: {', '.join(_TENSOR_TYPES)}")
    offset = start + entry["data_offsets"][0]
    dtype = np.dtype("?" if kind == "BOOL" else f"<{kind[0].lower()}{int(kind[1:]) // 8}")
    return _map(path, dtype, tuple(entry["shape"]), offset, "C")


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
