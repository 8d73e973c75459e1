"""The file of a model that is being served: no process overwrites what another has removed meanwhile.

A saved file carries a version: the ``lineage`` of the training that it comes from, the number of ``requests``
served, and a ``token`` of its own. A model knows the tokens that it comes from; a file with another one has
been written by somebody else since.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from expunge.core.errors import DataError
from expunge.core.files import State, load_header, load_state, save_state
from expunge.core.locks import exclusive
from expunge.linear.classes import width_of
from expunge.linear.memory import require_matrices

log = logging.getLogger(__name__)

_KEY, _REMOVED, _DATA = "version", "removed_rows", "fingerprint"


def read_model(path: Path) -> State:
    """Read what ``Version.save`` wrote.

    Raises:
        DataError: It is missing, damaged, or something else.
        InvalidValue: ``features``: there are more than fit into memory here.
    """
    values = load_header(path)
    if "n_features" in values:
        width = width_of(len(values["labels"]["values"] if "labels" in values else values["classes"]))
        require_matrices(values["n_features"], width, 2 * width)  # as stored, and as used
    return load_state(path)


class MovedOn(DataError):
    """A file holds removals that the model which is to take its place does not know of."""


@dataclass(frozen=True)
class Version:
    """Where a model comes from.

    Attributes:
        lineage: Of its training; another training, even of the same rows, has another.
        tokens: Of the files that it was loaded from or saved to, each as it was then.
        paths: Of those files.
    """

    lineage: str = field(default_factory=lambda: secrets.token_hex(8))
    tokens: tuple[str, ...] = ()
    paths: frozenset[Path] = frozenset()

    @classmethod
    def loaded(cls, path: Path, values: dict[str, Any]) -> Version:
        """The version of a model that was read from ``path``, whose header holds ``values``."""
        there = _there(values)
        return cls(there["lineage"], (there["token"],), frozenset([path.resolve()]))

    def save(self, path: Path, state: State, requests: int) -> Version:
        """Write ``state`` to ``path`` and return the version that the model has then.

        Its values have the ``fingerprint`` of the training data, and its arrays ``removed_rows``. A file that
        another training left is replaced, unless it has served removals of the same data that this model has
        not: they would be undone.

        Raises:
            MovedOn: The file is not the one that this model comes from, and would lose removals.
            OSError: It cannot be written.
        """
        target, token = path.resolve(), secrets.token_hex(8)
        if not target.parent.is_dir():
            raise DataError(f"{path}: {target.parent} is not a folder")
        with exclusive(target.with_name(f".{target.name}.lock")):
            self._require_successor(path, target, state, requests)
            own = {"lineage": self.lineage, "requests": requests, "token": token}
            save_state(target, State(state.arrays, {**state.values, _KEY: own}))
        return replace(self, tokens=(*self.tokens, token), paths=self.paths | {target})

    def _require_successor(self, path: Path, target: Path, state: State, requests: int) -> None:
        values = load_header(target) if target.exists() else {}
        if _DATA not in values:  # nothing, or no model that was saved here
            return
        there, allowed = _there(values), "load it and repeat what came since, or save elsewhere"
        if there["token"] in self.tokens:
            return
        said = f"holds a model after {there['requests']} requests (version {there['token'] or 'unknown'})"
        if target in self.paths or there["lineage"] == self.lineage:
            known = (self.tokens or ("none",))[-1] or "unknown"
            mine = f"this one, after {requests} requests, comes from version {known}"
            raise MovedOn(f"{path}: {said}, and {mine}: the file has moved on; allowed: {allowed}")
        gone = _removed_rows(target)
        back = np.setdiff1d(gone, state.arrays[_REMOVED])
        if values[_DATA] == state.values[_DATA] and len(back):
            undone = f"this one, trained anew on the same data, still has {len(back)} of those it removed"
            raise MovedOn(f"{path}: {said}, and {undone} (row {back[0]}); allowed: {allowed}")
        log.info("%s: %s of another training, which is replaced", path, said)


def _there(values: dict[str, Any]) -> dict[str, Any]:
    """The version in a header; files of earlier releases have none."""
    found: dict[str, Any] = values.get(_KEY) or {"lineage": "", "requests": values.get("served"), "token": ""}
    return found


def _removed_rows(path: Path) -> NDArray[np.int64]:
    try:
        with safe_open(str(path), framework="numpy") as file:
            return np.asarray(file.get_tensor(_REMOVED), dtype=np.int64)
    except (SafetensorError, OSError):  # damaged: nobody can load it
        return np.empty(0, dtype=np.int64)
