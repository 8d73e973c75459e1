"""The file of a model that is being served: no process overwrites what another has removed meanwhile.

A saved file carries a version: the ``lineage`` of the training that it comes from, the number of ``requests``
served, and a ``token`` of its own. A model knows the tokens that it comes from; a file with another one has
been written by somebody else since.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from expunge.core.checks import require_count
from expunge.core.errors import DataError
from expunge.core.files import State, load_state, read_header, save_state, sweep_up
from expunge.core.homes import resolved
from expunge.core.locks import exclusive
from expunge.core.read_back import array_of, ids_of, of_file, read_as, same
from expunge.core.regular import open_regular
from expunge.linear.classes import width_of
from expunge.linear.memory import require_matrices

log = logging.getLogger(__name__)

DIGESTS, REMOVED = "row_digests", "removed_rows"
"""Arrays of a saved model: what the rows that stay are known by, and the ids of those that do not."""
MODEL = "a model written by save"
FINGERPRINT = "fingerprint"  # of all rows together: in the header of files of earlier versions
_KEY = "version"
_START = 1 << 16
_MARKS = (b'"__metadata__":{"expunge":', b'\\"version\\":', b'"row_digests":{', b'"removed_rows":{')


def read_model(path: Path) -> State:
    """Read what ``Version.save`` wrote.

    A file without a digest must be of a version that wrote none, when models knew their data as a whole.

    Raises:
        DataError: It is missing, damaged, or something else, or has more features than fit into memory here.
    """
    entries, values = read_header(path, signed=False)
    with of_file(path), read_as(MODEL):
        if "n_features" in values:
            width = width_of(len(values["labels"]["values"] if "labels" in values else values["classes"]))
            # as stored, and as used
            require_matrices(require_count("n_features", values["n_features"]), width, 2 * width)
    state = load_state(path, signed=DIGESTS in entries)
    with of_file(path), read_as(MODEL):
        _require_header(state)
    return state


def _require_header(state: State) -> None:
    """Refuse a header that cannot be one, and digests that are not those of the rows that stay."""
    saved, arrays = state.values, state.arrays
    require_count("n_iter", saved["n_iter"])
    require_count("classes_of_fit", saved.get("classes_of_fit", 2), least=2)
    _require_texts("feature_names", saved.get("feature_names"), none=True)
    if FINGERPRINT in saved:
        _require_texts("fingerprint", [saved[FINGERPRINT]])
        return
    require_count("n_features", saved["n_features"])
    digests = array_of(arrays, DIGESTS, np.uint8, (None, 16))
    for name in (REMOVED, "erased_rows"):
        ids_of(arrays, name, len(digests) + len(arrays[REMOVED]))
    same("labels", len(saved["labels"]["values"]), len(saved["classes"]))
    _require_texts("labels.dtype", [saved["labels"]["dtype"]])
    dtype = np.dtype(saved["labels"]["dtype"])
    np.array(saved["labels"]["values"], dtype=np.int64 if dtype.kind in "mM" else dtype)  # as they are read
    least = len(saved["classes"])  # a class leaves with its last row
    require_count("classes_of_fit", saved.get("classes_of_fit", least), least, least + len(arrays[REMOVED]))
    for number in saved["classes"]:
        require_count("classes", number, least=0, most=saved.get("classes_of_fit", len(saved["classes"])) - 1)
    if "feature_type" in saved and np.dtype(saved["feature_type"]).kind != "f":
        raise DataError(f"feature_type: got {saved['feature_type']!r}, allowed: a type of real numbers")


def _require_texts(name: str, found: Any, none: bool = False) -> None:
    texts = isinstance(found, list) and all(isinstance(one, str) for one in found)
    if not (texts or (none and found is None)):
        raise DataError(f"{name}: got {found!r}, allowed: text")


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
        _require_texts(_KEY, [there["lineage"], there["token"]])
        return cls(there["lineage"], (there["token"],), frozenset([resolved(path)]))

    def save(self, path: Path, state: State, requests: int, fingerprint: Callable[[], str]) -> Version:
        """Write ``state`` to ``path`` and return the version that the model has then.

        Its arrays have ``row_digests`` of the training data that stay, and ``removed_rows``; ``fingerprint``
        makes what earlier versions knew the data by. A file that another training left is replaced, unless it
        has served removals of the same data that this model has not: they would be undone.

        Raises:
            MovedOn: The file is not the one that this model comes from, and would lose removals.
            OSError: It cannot be written.
        """
        target, token = resolved(path), secrets.token_hex(8)
        if not target.parent.is_dir():
            raise DataError(f"{path}: {target.parent} is not a folder")
        with exclusive(target.with_name(f".{target.name}.lock")):
            self._require_successor(path, target, state, requests, fingerprint)
            own = {"lineage": self.lineage, "requests": requests, "token": token}
            save_state(target, State(state.arrays, {**state.values, _KEY: own}), secret=True)
            # What a kill amid an earlier saving has left: it may know rows that have left since.
            sweep_up(target.parent, target.name)
        return replace(self, tokens=(*self.tokens, token), paths=self.paths | {target})

    def _require_successor(
        self, path: Path, target: Path, state: State, requests: int, fingerprint: Callable[[], str]
    ) -> None:
        values = _saved_at(target)
        if not {_KEY, FINGERPRINT} & values.keys():  # nothing, or no model that was saved here
            return
        there, allowed = _there(values), "load it and repeat what came since, or save elsewhere"
        if there["token"] in self.tokens:
            return
        said = f"holds a model after {there['requests']} requests (version {there['token'] or 'unknown'})"
        if target in self.paths or there["lineage"] == self.lineage:
            known = (self.tokens or ("none",))[-1] or "unknown"
            mine = f"this one, after {requests} requests, comes from version {known}"
            raise MovedOn(f"{path}: {said}, and {mine}: the file has moved on; allowed: {allowed}")
        gone, digests = _rows(target)
        back = np.setdiff1d(gone, state.arrays[REMOVED])
        if FINGERPRINT in values:
            same = values[FINGERPRINT] == fingerprint()
        else:
            same = _alike(gone, digests, state.arrays[REMOVED], state.arrays[DIGESTS])
        if same and len(back):
            undone = f"this one, trained anew on the same data, still has {len(back)} of those it removed"
            raise MovedOn(f"{path}: {said}, and {undone} (row {back[0]}); allowed: {allowed}")
        log.info("%s: %s of another training, which is replaced", path, said)


def _there(values: dict[str, Any]) -> dict[str, Any]:
    """The version in a header; files of earlier releases have none."""
    found: dict[str, Any] = values.get(_KEY) or {"lineage": "", "requests": values.get("served"), "token": ""}
    return found


def _saved_at(path: Path) -> dict[str, Any]:
    """The header of a file that was saved here; empty where there is none, or it is somebody else's.

    Raises:
        DataError: It was, and is damaged: nobody knows any more what it has removed.
    """
    if not path.exists():
        return {}
    with open_regular(path) as file:
        start = file.read(_START)
    if not any(mark in start for mark in _MARKS):
        return {}
    try:
        return read_header(path, signed=False)[1]
    except DataError as error:
        allowed = "delete it, or save elsewhere"
        raise DataError(
            f"{error}, and the removals that it may hold would be lost; allowed: {allowed}"
        ) from None


def _rows(path: Path) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Which rows a file that is whole has removed, and the digests of the others, where it has them."""
    with of_file(path), read_as(MODEL), safe_open(str(path), framework="numpy") as file:
        removed = np.asarray(file.get_tensor(REMOVED), dtype=np.int64)
        known = DIGESTS in set(file.keys())
        return removed, file.get_tensor(DIGESTS) if known else np.empty((0, 0), dtype=np.uint8)


def _alike(
    gone: NDArray[np.int64],
    digests: NDArray[np.uint8],
    other_gone: NDArray[np.int64],
    other_digests: NDArray[np.uint8],
) -> bool:
    """Whether two models may be of the same data: as many rows, and the same ones where both have them."""
    counts = len(gone) + len(digests), len(other_gone) + len(other_digests)
    if counts[0] != counts[1]:
        return False
    pair = [np.zeros((counts[0], digests.shape[1]), dtype=np.uint8) for _ in counts]
    both = np.ones(counts[0], dtype=bool)
    for table, left, found in zip(pair, (gone, other_gone), (digests, other_digests), strict=True):
        stay = np.setdiff1d(np.arange(counts[0]), left)
        table[stay] = found
        both[left] = False
    return np.array_equal(pair[0][both], pair[1][both])
