"""Groups of models in a folder: what one run of a study has trained is not trained again by another."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import DataError
from expunge.core.files import State, load_state, save_state
from expunge.core.folders import sweep_up_cache
from expunge.core.hashing import sha256_of_settings
from expunge.core.locks import exclusive
from expunge.core.plain import plain

log = logging.getLogger(__name__)

Arrays = dict[str, NDArray[np.float64]]


class Kept:
    """One safetensors file per group of models, named by the digest of all that the group depends on.

    What is the same for two runs is trained by the one that comes first, while the other waits. A file that
    is damaged, or was made from other things, is not used: a line says so, and the models are trained again.
    A folder that cannot be written to costs one line.

    Args:
        folder: Where they are kept; None: only in this process.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._made: dict[str, Arrays] = {}
        self._warned = self._told = False

    def through(self, ingredients: Mapping[str, Any], make: Callable[[], Arrays]) -> Arrays:
        """The arrays that were made from these before, here or in the folder; else those of ``make``.

        Args:
            ingredients: JSON values: all that the arrays depend on.
            make: Gives float64 arrays, at least one, all finite.
        """
        key = sha256_of_settings(ingredients)
        if key not in self._made:
            with self._making(key) as path:
                found = None if path is None else _read(path, ingredients)
                if found is not None and not self._told:
                    log.info("groups of models that were trained before are taken from %s", self.folder)
                    self._told = True
                if found is None:
                    found = make()
                    self._put(path, found, ingredients)
                self._made[key] = found
        return self._made[key]

    @contextmanager
    def _making(self, key: str) -> Iterator[Path | None]:
        """The file, which no other process looks for or makes meanwhile; None where there is no folder."""
        if self.folder is None:
            yield None
            return
        path = self.folder / f"{key}.safetensors"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            writable = os.access(self.folder, os.W_OK)
        except OSError:
            writable = False
        if not writable:
            self._warn("no permission, or no folder")
            yield path
            return
        sweep_up_cache(self.folder)
        with exclusive(self.folder / f"{key}.lock"):
            yield path

    def _put(self, path: Path | None, found: Arrays, ingredients: Mapping[str, Any]) -> None:
        if path is None:
            return
        try:
            save_state(path, State(dict(found), {"made_from": dict(ingredients)}), secret=True)
        except OSError as error:
            self._warn(str(error.strerror))

    def _warn(self, reason: str) -> None:
        if not self._warned:
            log.warning("%s: cannot be written to (%s); groups of models are not kept", self.folder, reason)
        self._warned = True


def _read(path: Path, ingredients: Mapping[str, Any]) -> Arrays | None:
    """What the file holds, if it says itself that it was made from these."""
    if not path.is_file():
        return None
    try:
        state = load_state(path)
        if state.values.get("made_from") != plain(dict(ingredients), "ingredients"):
            raise DataError("not made from the same things")
        for name, array in state.arrays.items():
            if array.dtype != np.float64 or not np.isfinite(array).all():
                raise DataError(f"{name} holds what is no number, or is no float64")
        if not state.arrays:
            raise DataError("nothing is in it")
    except (DataError, KeyError, TypeError, ValueError) as error:
        log.warning("%s: cannot be used (%s); the models are trained again", path, error)
        return None
    return dict(state.arrays)
