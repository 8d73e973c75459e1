"""Files that are either whole or not there: safetensors with a JSON header, JSON. Nothing is pickled."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import DataError

_HEADER = "expunge"


@dataclass
class State:
    """Arrays and values that are kept together, such as all that a model needs to go on where it stopped.

    ``arrays`` go to safetensors and ``values`` to JSON; nothing is ever pickled.
    """

    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` beside ``path``, flush it to disk, then put it in place."""
    temporary = path.with_name(path.name + ".part")
    with open(temporary, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON (NaN and infinity are errors, for JSON has none)."""
    write_atomically(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def save_state(path: Path, state: State) -> None:
    """Write a ``State``: arrays as safetensors, values as JSON in its header."""
    from safetensors.numpy import save

    arrays = {
        name: np.ascontiguousarray(array).reshape(np.shape(array))  # which makes vectors of scalars
        for name, array in state.arrays.items()
    }
    header = {_HEADER: json.dumps(state.values, allow_nan=False)}
    write_atomically(path, save(arrays, metadata=header))


def load_state(path: Path) -> State:
    """Read a ``State``.

    Raises:
        DataError: The file is missing, damaged, or was not written by ``save_state``.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            values = json.loads((file.metadata() or {})[_HEADER])
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (SafetensorError, OSError, KeyError, json.JSONDecodeError) as error:
        raise DataError(f"{path}: not a state file written by expunge ({error})") from None
    return State(arrays, values)


def load_header(path: Path) -> dict[str, Any]:
    """Read the values of a ``State`` alone; none where the file is damaged, or not one of ours."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            values = json.loads((file.metadata() or {})[_HEADER])
    except (SafetensorError, OSError, KeyError, json.JSONDecodeError):
        return {}
    return values if isinstance(values, dict) else {}
