"""The sweep that this process has begun: its folder, kept from others until all is written, and its bar."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from expunge.core.errors import UserError
from expunge.sweep.progress import Watch

HELD = ExitStack()
"""What the sweep's callback holds; workers hold nothing."""


class _Watched:
    now: Watch | None = None


class NotBegun(SystemExit):
    """A sweep that was refused before its first cell, which has been said."""


class _Asked:
    one_run = False


@contextmanager
def one_run_alone() -> Iterator[None]:
    """Refuse sweeps as long as this lasts: one run is asked for, and what it is given may be a sweep's."""
    _Asked.one_run = True
    try:
        yield
    finally:
        _Asked.one_run = False


def require_sweeps() -> None:
    """Refuse a sweep where one run is asked for.

    Raises:
        UserError: It is.
    """
    if _Asked.one_run:
        raise UserError("overrides: got a sweep, allowed: those of one run; expunge.sweep takes several")


def watch(new: Watch) -> None:
    """Have the cells of the sweep watched that this process begins."""
    _Watched.now = new


def watching() -> Watch | None:
    """What watches the cells; None in a worker."""
    return _Watched.now


def end_watch() -> None:
    """Take the bar away: something else is to be said."""
    if _Watched.now is not None:
        _Watched.now.close()
        _Watched.now = None


def let_go() -> None:
    """Give it back, also where an exception has ended the sweep."""
    end_watch()
    HELD.close()
