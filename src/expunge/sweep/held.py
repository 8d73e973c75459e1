"""The sweep that this process has begun: its folder, kept from others until all is written, and its bar."""

from __future__ import annotations

from contextlib import ExitStack

from expunge.sweep.progress import Watch

HELD = ExitStack()
"""What the sweep's callback holds; workers hold nothing."""


class _Watched:
    now: Watch | None = None


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
