"""What a run is made from besides its settings, by digests: over other data it would be another run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from expunge import __version__
from expunge.core.errors import DataError
from expunge.core.files import read_text, write_json
from expunge.core.hashing import sha256_of
from expunge.core.json_text import parse_json
from expunge.core.mapped import require_unchanged
from expunge.core.sources import digests_of, files_in, sources_of, targets_in
from expunge.datasets import Dataset
from expunge.record.requests import Request
from expunge.record.settings import comparable

FILE = "inputs.json"
_SETTINGS = "settings"
_FROM_DATA = ("dataset", "removal")  # groups whose files count by what was read from them
_ASKED = ("count", "sha256")
_SHOWN = 12  # hexadecimal digits of a digest in a message


@dataclass(frozen=True)
class Inputs:
    """Digests of all that settings only name, and what is asked for.

    Attributes:
        digests: Name -> SHA-256 of content: parts of the data set, files, sources of a user's own modules,
            the settings with all references in them followed; and the version of this package.
        requests: The rows of each request; None where none are asked for (a study).
        asked_by: The key that names the requests.
        files: Key -> file, of those whose content is in ``digests``.
    """

    digests: Mapping[str, str] = field(default_factory=dict)
    requests: tuple[tuple[int, ...], ...] | None = None
    asked_by: str = "removal"
    files: Mapping[str, Path] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Mapping[str, Any], data_dir: Path) -> Inputs:
        """Return what can be told before anything is loaded or imported.

        Args:
            settings: Those that results depend on, resolved.
            data_dir: Where files are looked for that are not under the current directory.

        Raises:
            DataError: A file that a setting names cannot be read.
        """
        files = files_in({k: v for k, v in settings.items() if k not in _FROM_DATA}, (Path(), data_dir))
        text = json.dumps(comparable(settings), sort_keys=True, default=str)
        sources = {f"source of {name}": d for name, d in sources_of(targets_in(settings)).items()}
        told = {"expunge": __version__, _SETTINGS: sha256_of([text.encode()])}
        removal = settings.get("removal") or {}
        listed = (f"removal.{key}" for key in ("rows", "ids") if isinstance(removal.get(key), str))
        asked_by = next(listed, "removal")
        return cls({**told, **digests_of(files), **sources}, asked_by=asked_by, files=files)

    def with_files(self, digests: Mapping[str, str]) -> Inputs:
        """Return them with files that no setting names."""
        return replace(self, digests={**self.digests, **digests})

    def with_data(self, digests: Mapping[str, str], settings: Any) -> Inputs:
        """Return them with the parts of a data set; ``settings`` are those of its group, to name its file."""
        names = settings if isinstance(settings, Mapping) else {}
        key = next((f".{key}" for key in ("path", "file", "folder") if names.get(key)), "")
        other = next((f".{key}" for key in ("test_path", "test_file") if names.get(key)), key)
        own = {f"dataset{other if 'test' in part else key}, {part}": d for part, d in digests.items()}
        return replace(self, digests={**self.digests, **own})

    def with_requests(self, requests: Sequence[Request]) -> Inputs:
        """Return them with what is asked for."""
        return replace(self, requests=tuple(request.rows for request in requests))

    def of_study(self, study: Any) -> Inputs:
        """Return them with the data set that a study may have."""
        dataset = getattr(study, "dataset", None)
        return self.with_data(dataset.digests(), {}) if isinstance(dataset, Dataset) else self

    def as_json(self) -> dict[str, Any]:
        """What is kept of them."""
        kept: dict[str, Any] = {"digests": dict(self.digests)}
        if self.requests is not None:
            kept["requests"] = {"count": len(self.requests), "sha256": _digest(self.requests)}
        return kept

    def shown(self) -> dict[str, str]:
        """What the summary says: without the settings, of which parts may be secret."""
        kept = {name: digest for name, digest in self.digests.items() if name != _SETTINGS}
        return kept if self.requests is None else {**kept, "requests": _digest(self.requests)}

    def write(self, folder: Path) -> None:
        """Keep them in a run folder, for its owner alone: a short secret can be guessed from its digest."""
        write_json(folder / FILE, self.as_json(), secret=True)

    def difference(self, begun: Any) -> str | None:
        """Say in what these differ from those that ``as_json`` gave when a run began, or None.

        Requests that have been added after all others are no difference.
        """
        if not self.is_of_inputs(begun):
            return f"{FILE}: missing or damaged, so that nobody knows what the run began with"
        old, asked = begun["digests"], begun.get("requests")
        count, digest = (asked["count"], asked["sha256"]) if asked else (0, _digest(()))
        names = [name for name in (old | dict(self.digests)) if old.get(name) != self.digests.get(name)]
        if names:
            more = f"; so does: {'; '.join(names[1:])}" if names[1:] else ""
            return _said(names[0], old.get(names[0]), self.digests.get(names[0])) + more
        now = self.requests or ()
        if len(now) < count:
            return f"{self.asked_by}: asks for {len(now)} requests, the run began with {count}"
        if _digest(now[:count]) != digest:
            return f"{self.asked_by}: its first {count} requests are not those that the run began with"
        return None

    def is_of_inputs(self, begun: Any) -> bool:
        """Whether ``as_json`` can have given it, of a run that asks for rows as this one does."""
        if not isinstance(begun, dict) or (self.requests is not None) != ("requests" in begun):
            return False
        digests, asked = begun.get("digests"), begun.get("requests", {"count": 0, "sha256": ""})
        texts = isinstance(digests, dict) and all(isinstance(digest, str) for digest in digests.values())
        return texts and isinstance(asked, dict) and [*map(type, map(asked.get, _ASKED))] == [int, str]

    def added(self, begun: Any) -> int:
        """Number of requests that have come since, where there is no ``difference``."""
        return len(self.requests or ()) - ((begun.get("requests") or {}).get("count", 0))

    def require_unchanged(self, thorough: bool = False) -> None:
        """See that mapped files hold what they did, and, if ``thorough``, all that settings name.

        Raises:
            DataError: One does not.
        """
        require_unchanged(thorough)
        for key, digest in digests_of(self.files if thorough else {}).items():
            if digest != self.digests[key]:
                raise DataError(f"{self.files[key]}: has changed since the run began", key)


def read(folder: Path) -> Any:
    """Return what a run folder keeps of the inputs of its run; None where it is missing or damaged."""
    try:
        return parse_json(read_text(folder / FILE))
    except (OSError, ValueError):
        return None


def _said(name: str, old: str | None, new: str | None) -> str:
    if name == "expunge":
        return f"expunge: version {new} is not the {old} that the run began with"
    if name == _SETTINGS:
        return "settings: a value that is taken from elsewhere (such as ${oc.env:NAME}) differs"
    if old is None or new is None:
        return f"{name}: {'was not' if old is None else 'is no longer'} among the inputs of the run"
    short = f"sha256 {new[:_SHOWN]} was {old[:_SHOWN]}"
    return f"{name}: content differs from what the run began with ({short})"


def _digest(requests: Sequence[Sequence[int]]) -> str:
    return sha256_of(f"{json.dumps([int(row) for row in rows])}\n".encode() for rows in requests)
