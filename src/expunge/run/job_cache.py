"""What the jobs of one process have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from expunge.core.files_read import FilesRead
from expunge.core.hashing import sha256_of_settings


@dataclass
class JobCache:
    """What jobs of one process have in common, so that a grid loads its data and computes its features once.

    Attributes:
        parts: Name of a part -> hash of what it is made from, the files that were read for it, and the part;
            the last of each is kept.
    """

    parts: dict[str, tuple[str, FilesRead, Any]] = field(default_factory=dict)

    def get(
        self,
        part: str,
        made_from: Mapping[str, Any],
        make: Callable[[], Any],
        reuse: bool = True,
        reads: bool = True,
    ) -> Any:
        """Return a part, made again where the last one was made from other things, or its files have changed.

        Without ``reuse`` it is made again in any case: nobody knows what it reads. Unless it ``reads``, all
        that it depends on is in ``made_from``, by content.
        """
        key = sha256_of_settings(made_from)
        known = self.parts.get(part)
        if not (reuse and known and known[0] == key and (not reads or known[1].unchanged())):
            known = None
            self.parts.pop(part, None)  # the old one goes before the new one comes
            files = FilesRead()
            with files.recording():
                self.parts[part] = key, files, make()
        return self.parts[part][2]


@cache
def of_this_process() -> JobCache:
    """Return the one store of a process that works on cells and on nothing else."""
    return JobCache()


class Once:
    """An extractor that extracts once: later calls, for the same data, return what the first one found."""

    def __init__(self, extractor: Any) -> None:
        self._extractor, self._found = extractor, None

    def extract(self, dataset: Any) -> Any:
        """Return training and test inputs."""
        if self._found is None:
            self._found = self._extractor.extract(dataset)
        return self._found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._extractor, name)
