"""What there was before a command began, so that bad input leaves just that: Hydra makes folders early."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from expunge.core.folders import content, delete, missing, names, sweep_up, unmake


@dataclass(frozen=True)
class Before:
    """A folder before a command.

    ``made`` are the folders that were not there, itself first; ``names`` is what was in it.
    """

    made: tuple[Path, ...] = ()
    names: frozenset[str] = frozenset()

    @classmethod
    def now(cls, folder: Path) -> Before:
        """As it is now."""
        return cls(tuple(missing(folder)), frozenset(names(folder)))

    def restore(self, folder: Path) -> None:
        """Delete what has come into the folder since; its lock stays with who holds it."""
        for path in content(folder, self.names):
            delete(path)
        sweep_up(folder)

    def unmake(self) -> None:
        """Delete the folders that were not there, as far as nothing is in them."""
        unmake(self.made)


_OF_COMMAND: ContextVar[Before | None] = ContextVar("before", default=None)


def note(folder: Path | None) -> None:
    """Keep, for the command under way, what there is of its run folder; None: it has none yet."""
    _OF_COMMAND.set(None if folder is None else Before.now(folder))


def noted() -> Before:
    """What ``note`` kept for the command under way."""
    return _OF_COMMAND.get() or Before()
