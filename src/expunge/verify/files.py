"""What is read of a run folder: configuration, summary, ledger, model, and the secret state."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import DataError, RunFolderError
from expunge.core.files import load_header, read_header
from expunge.core.json_text import parse_json
from expunge.core.regular import read_regular
from expunge.core.tensor_files import require_tensors
from expunge.run.again import settings_again

CONFIG, SUMMARY, LEDGER, MODEL = ".hydra/config.yaml", "summary.json", "removals.jsonl", "model.safetensors"
INPUTS, STATE, VERIFIED = "inputs.json", "state.safetensors", "verified.json"
SUMS = "removals.sha256"  # of the ledger's lines, each in hex
RESULTS = "results.jsonl"  # of a study
CHECKED = (CONFIG, SUMMARY, LEDGER, MODEL, INPUTS)
"""Files whose digests are kept; that of the secret state is not: it would let guesses be confirmed."""


@dataclass(frozen=True)
class RunFiles:
    """A run folder as it was read.

    Attributes:
        settings: The configuration with all references followed.
        ledger: The bytes of ``removals.jsonl``.
        sums: Those of ``removals.sha256``; None where it is not there.
        model: Arrays of ``model.safetensors``; ``model_fault`` says why there are none.
        state: Arrays of ``state.safetensors``, and ``state_values``; None where it is not given.
        digests: File -> SHA-256.
    """

    folder: Path
    settings: dict[str, Any]
    summary: dict[str, Any]
    ledger: bytes
    sums: bytes | None
    inputs: dict[str, Any]
    model: Mapping[str, NDArray[Any]]
    model_fault: str | None
    state: Mapping[str, NDArray[Any]] | None
    state_values: dict[str, Any] = field(default_factory=dict)
    state_fault: str | None = None
    digests: dict[str, str] = field(default_factory=dict)


def read_run(folder: Path) -> RunFiles:
    """Read a run folder.

    Raises:
        RunFolderError: It is no folder of a finished run, or a file cannot be read.
    """
    if not folder.is_dir():
        raise RunFolderError(f"{folder}: no such folder")
    if not (folder / SUMMARY).is_file():
        what = "an unfinished run" if (folder / LEDGER).is_file() else "not a run folder"
        raise RunFolderError(f"{folder}: {what}, it has no {SUMMARY}")
    content = {name: _bytes(folder / name, name == INPUTS) for name in CHECKED}
    model, model_fault = _arrays(folder / MODEL)
    state, values, state_fault = _secret(folder / STATE)
    return RunFiles(
        folder,
        settings_again(folder / CONFIG),
        _object(folder / SUMMARY, content[SUMMARY]),
        content[LEDGER] or b"",
        _bytes(folder / SUMS, True),
        _object(folder / INPUTS, content[INPUTS]) if content[INPUTS] is not None else {},
        model,
        model_fault,
        state,
        values,
        state_fault,
        {name: _digest(found) for name, found in content.items() if found is not None},
    )


def mapping(value: Any) -> dict[str, Any]:
    """``value`` if it is a mapping, else an empty one: a file may hold anything."""
    return value if isinstance(value, dict) else {}


def _bytes(path: Path, optional: bool) -> bytes | None:
    try:
        return read_regular(path)
    except FileNotFoundError:
        if optional:
            return None
        raise RunFolderError(f"{path}: missing from the run folder") from None
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be read ({error.strerror})") from None


def _object(path: Path, content: bytes | None) -> dict[str, Any]:
    try:
        found = parse_json(content or b"")
    except ValueError as error:
        raise RunFolderError(f"{path}: not JSON that can be read ({error})") from None
    if not isinstance(found, dict):
        raise RunFolderError(f"{path}: must be a JSON object")
    return found


def _arrays(path: Path) -> tuple[Mapping[str, NDArray[Any]], str | None]:
    """The arrays of a safetensors file, and what is wrong with it: it may hold a digest that it is not of."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        require_tensors(path)
        arrays = load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        return {}, f"cannot be read ({error})"
    try:
        read_header(path, signed=False)
    except DataError as error:
        said = str(error).removeprefix(f"{path}: ")
        return arrays, said if "damaged" in said else None
    return arrays, None


def _secret(path: Path) -> tuple[Mapping[str, NDArray[Any]] | None, dict[str, Any], str | None]:
    if not path.is_file():
        return None, {}, "not given: it is a secret of who made the run"
    arrays, fault = _arrays(path)
    if fault is not None:
        return None, {}, fault
    try:
        return arrays, load_header(path), None
    except DataError as error:
        return None, {}, str(error).removeprefix(f"{path}: ")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def matrix(array: Any) -> NDArray[np.float64] | None:
    """Weights (d,) or (d, K) as (d, K), if they are float64 and finite."""
    if not isinstance(array, np.ndarray) or array.dtype != np.float64 or array.ndim not in (1, 2):
        return None
    found = array[:, None] if array.ndim == 1 else array
    return found if found.size and np.isfinite(found).all() else None
